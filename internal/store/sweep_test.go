package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
)

func TestStoreDeadlines(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 10})
	r.setTTL("short", "", time.Second)
	r.setTTL("shorter", "", time.Minute)
	r.setTTL("shorter", "", time.Second)
	r.setTTL("longer", "", time.Second)
	r.setTTL("longer", "", time.Minute)
	r.setTTL("for ever", "", time.Second)
	r.set("for ever", "")
	r.set("no longer", "")
	r.setTTL("no longer", "", time.Second)

	r.pass(999 * time.Millisecond)
	r.sweep()
	if r.Len() != 5 {
		t.Fatalf("%d entries before any deadline", r.Len())
	}
	r.pass(time.Millisecond)
	for key, want := range map[string]bool{
		"short": false, "shorter": false, "no longer": false, "longer": true, "for ever": true,
	} {
		if _, ok := r.Peek(key); !ok {
			t.Errorf("%s isn't held before the sweep", key)
		}
		if key == "short" {
			continue // for the sweep to find; a get removes what it finds expired
		}
		if got := r.has(key); got != want {
			t.Errorf("%s: %v before the sweep", key, got)
		}
		if _, ok := r.Peek(key); ok != want {
			t.Errorf("%s: held %v after a get", key, ok)
		}
	}
	r.pass(-time.Minute)
	if r.has("shorter") {
		t.Error("what has expired is back when the clock is set back")
	}
	r.pass(time.Minute)
	rec, _ := r.Peek("short")
	r.sweep()
	if r.Len() != 2 || r.Stats().Expirations != 3 {
		t.Errorf("%d entries, %+v after the sweep", r.Len(), r.Stats())
	}
	if f := r.FloorOf(delta.BucketOf("short")); f < rec.Stamp {
		t.Errorf("floor %d below %d", f, rec.Stamp)
	}
	storeCheck(t, r.Store)
	r.pass(time.Minute)
	r.sweep()
	if r.Len() != 1 || !r.has("for ever") {
		t.Errorf("%d entries in the end", r.Len())
	}
}

func TestStoreSweepOfManyDead(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 5000, DeletionDelay: time.Second})
	for i := range 4000 {
		r.setTTL(fmt.Sprint(i), "", time.Second)
	}
	for i := range 1000 {
		r.del(fmt.Sprint("d", i))
		r.set(fmt.Sprint("c", i), "")
	}
	if r.Len() != 5000 || r.Tombstones() != 1000 {
		t.Fatal(r.Len(), r.Tombstones())
	}
	r.pass(time.Second)
	r.Apply(r.now, &delta.Record{Kind: delta.KindClear, Version: delta.Version{Stamp: r.stamp, Origin: 2}}, true)
	r.set("last", "")
	r.sweep()
	if r.Len() != 1 || r.Tombstones() != 0 {
		t.Errorf("%d entries, %d tombstones", r.Len(), r.Tombstones())
	}
	storeCheck(t, r.Store)
}

func TestStoreTombstonesAreCollected(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 10, DeletionDelay: 10 * time.Second})
	r.set("a", "")
	r.del("a")
	r.del("b")
	r.pass(5 * time.Second)
	r.del("b") // starts again
	r.pass(5 * time.Second)
	r.now.Wall -= 1_000_000 // doesn't matter
	a, _ := r.Peek("a")
	r.sweep()
	if _, ok := r.Peek("a"); ok || r.Tombstones() != 1 {
		t.Errorf("a: %v, %d tombstones", ok, r.Tombstones())
	}
	if f := r.FloorOf(delta.BucketOf("a")); f != a.Stamp {
		t.Errorf("floor %d, want %d", f, a.Stamp)
	}
	if rec, ok := r.Peek("b"); !ok || rec.Kind != delta.KindTombstone {
		t.Errorf("b: %+v", rec)
	}
	if o := r.Apply(r.now, &delta.Record{Key: "a", Version: a.Version}, false); o != outcomeRefused {
		t.Errorf("a came back: outcome %d", o)
	}
	r.pass(5 * time.Second)
	r.sweep()
	if st := r.Stats(); r.Tombstones() != 0 || st.tombstonesCollected != 2 || st.FloorRefusals != 1 {
		t.Errorf("%d tombstones, %+v", r.Tombstones(), st)
	}
	storeCheck(t, r.Store)
}

func TestStoreTombstoneBounds(t *testing.T) {
	for _, shards := range []int{1, 64} {
		r := newStoreRig(Config{MaxKeys: 1, MaxTombstones: 100, DeletionDelay: time.Hour, Shards: shards})
		var first delta.Version
		for i := range 1000 {
			r.pass(time.Millisecond)
			r.del(fmt.Sprint(i))
			if i == 0 {
				rec, _ := r.Peek("0")
				first = rec.Version
			}
			if n := r.Tombstones(); n != min(i+1, 100) {
				t.Fatalf("%d shards: %d tombstones after %d", shards, n, i+1)
			}
		}
		if f := r.FloorOf(delta.BucketOf("0")); f < first.Stamp {
			t.Errorf("%d shards: floor %d below %d", shards, f, first.Stamp)
		}
		if st := r.Stats(); st.TombstonesDropped != 900 || st.tombstonesCollected != 0 {
			t.Errorf("%+v", st)
		}
		if shards == 1 {
			for i := range 1000 {
				if _, ok := r.Peek(fmt.Sprint(i)); ok != (i >= 900) {
					t.Fatalf("%d: %v", i, ok)
				}
			}
		}
		storeCheck(t, r.Store)

		big := strings.Repeat("k", 16<<20)
		for i := range 6 {
			r.del(fmt.Sprint(big[:16<<20-10], i))
			if n := r.tombSums.bytes.Load(); n > maxTombstoneBytes {
				t.Fatalf("%d bytes", n)
			}
		}
		if n := r.Tombstones(); n < 2 {
			t.Errorf("%d shards: %d tombstones", shards, n)
		}
	}
}

// What has ended, its stale time included, goes with the next sweep, and not a millisecond before: the
// index knows ends less exactly.
func TestSweepIsExact(t *testing.T) {
	const n = 3 * endUnit
	r := newStoreRig(Config{MaxKeys: 10 * n})
	for i := range n {
		rec := delta.Record{Key: fmt.Sprint(i), Deadline: r.now.Wall + int64(i+1)}
		if i%2 == 1 { // it goes at the end of its stale time
			rec.Deadline, rec.StaleUntil = r.now.Wall+int64(i+1)/2, rec.Deadline
		}
		r.write(rec, true)
	}
	for left := n - 1; left >= 0; left-- {
		if r.pass(time.Millisecond); left%5 == 0 {
			r.set("evicts nothing", "")
			r.del("evicts nothing")
		}
		if r.sweep(); r.Len() != left {
			t.Fatalf("%d entries, want %d", r.Len(), left)
		}
	}
	storeCheck(t, r.Store)
}

// A lifetime of decades doesn't make sweeps ask everything.
func TestSweepAsksFew(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 1000})
	r.setTTL("first", "", 20*365*24*time.Hour)
	for i := range 900 {
		r.setTTL(fmt.Sprint(i), "", time.Hour+time.Duration(i)*time.Second)
	}
	now := r.ends.of(r.now.Wall)
	for e := range r.table.at(0).entries.index.all {
		if r.ends.of(e.end()) <= now {
			t.Fatalf("%q is asked in each sweep", e.Key)
		}
	}
}
