package store

import (
	"fmt"
	"slices"
	"testing"

	"github.com/iwanbk/bcache/internal/delta"
)

// entriesRig has entries of their own, which lie under the numbers that are their keys.
type entriesRig struct {
	entries
	sums tally
}

func newEntriesRig() *entriesRig {
	r := &entriesRig{}
	r.entries.tally = &r.sums
	return r
}

func (r *entriesRig) add(hash uint64, local bool) *Entry {
	e := newEntry(&delta.Record{Key: fmt.Sprint(hash), Val: "val", Version: delta.Version{Stamp: hash, Origin: 1}}, 7)
	r.insert(hash, e, local)
	return e
}

// counted is what the tally says.
func (r *entriesRig) counted() [3]int64 {
	return [3]int64{r.sums.entries.Load(), r.sums.inProbation.Load(), r.sums.bytes.Load()}
}

func TestStoreEntries(t *testing.T) {
	r := newEntriesRig()
	cost := r.add(1, true).cost()
	r.add(2, true)
	seen := r.add(3, false)
	if got, want := r.counted(), [3]int64{3, 1, 3 * cost}; got != want {
		t.Errorf("counted %v, want %v", got, want)
	}

	r.use(1, r.find(1, "1"))
	if got := r.main.keys(); !slices.Equal(got, []uint64{2, 1}) {
		t.Errorf("used 1: main is %v", got)
	}
	r.use(3, seen)
	if got := r.main.keys(); !slices.Equal(got, []uint64{2, 1, 3}) || r.sums.inProbation.Load() != 0 {
		t.Errorf("used 3: main is %v, %d in probation", got, r.sums.inProbation.Load())
	}
	if e := r.victim(false); e == nil || e.Key != "2" || r.victim(true) != nil {
		t.Errorf("the victim is %+v", e)
	}

	longer := newEntry(&delta.Record{Key: "another copy", Val: "value", Deadline: 50}, 7)
	r.replace(2, r.find(2, "2"), longer)
	if r.find(2, "2") != longer || r.nextExpiry != 50 {
		t.Errorf("what replaced 2 isn't found, or its deadline isn't known: %d", r.nextExpiry)
	}
	if got := r.main.keys(); !slices.Equal(got, []uint64{2, 1, 3}) {
		t.Errorf("replaced 2: main is %v", got)
	}
	if got, want := r.counted(), [3]int64{3, 0, 3*cost + 2}; got != want {
		t.Errorf("counted %v, want %v", got, want)
	}

	for _, hash := range []uint64{1, 2, 3} {
		r.remove(hash, r.find(hash, fmt.Sprint(hash)))
	}
	if got := r.counted(); got != [3]int64{} || r.index.n != 0 || len(r.main.keys()) != 0 {
		t.Errorf("all removed: counted %v", got)
	}
}

// With 32 entries or more, one that was moved a few inserts ago is only marked as used; at the back it
// is moved instead of given up.
func TestStoreEntriesSecondChance(t *testing.T) {
	r := newEntriesRig()
	for hash := range uint64(100) {
		r.add(hash, true)
	}
	r.use(99, r.find(99, "99"))
	if e := r.find(99, "99"); e.used.Load()&usedBit == 0 {
		t.Error("a use of what is near isn't noted")
	}
	for hash := range uint64(99) {
		r.main.touch(hash) // as if all others had been moved since
	}
	if e := r.victim(false); e.Key != "0" {
		t.Errorf("the victim is %s", e.Key)
	}
}
