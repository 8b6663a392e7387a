package store

import (
	"testing"

	"github.com/iwanbk/bcache/internal/delta"
)

func TestStoreEntries(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 10})
	hash := func(key string) uint64 { return r.hash.Of(key) }
	add := func(key string, local bool) *Entry {
		sh := r.table.need(hash(key))
		e := newEntry(&delta.Record{Key: key, Val: "val", Version: delta.Version{Stamp: 7, Origin: 1}}, 7)
		sh.entries.insert(hash(key), e, local)
		return e
	}
	cost := add("1", true).cost()
	add("2", true)
	add("3", false)
	counted := func() [2]int64 { return [2]int64{r.tally.entries.Load(), r.tally.bytes.Load()} }
	if got, want := counted(), [2]int64{3, 3 * cost}; got != want {
		t.Errorf("counted %v, want %v", got, want)
	}

	x := &r.table.at(0).entries
	longer := newEntry(&delta.Record{Key: "another copy", Val: "value", Deadline: 50}, 7)
	old := x.find(hash("2"), "2")
	x.replace(hash("2"), old, longer)
	if x.find(hash("2"), "2") != longer || x.nextExpiry != 50 {
		t.Errorf("what replaced 2 isn't found, or its deadline isn't known: %d", x.nextExpiry)
	}
	if longer.used.Load() != old.used.Load() {
		t.Error("what replaced 2 has another place in the order")
	}
	if got, want := counted(), [2]int64{3, 3*cost + 2}; got != want {
		t.Errorf("counted %v, want %v", got, want)
	}
	for _, key := range []string{"1", "2", "3"} {
		x.remove(tagOf(hash(key)), x.find(hash(key), key))
	}
	if got := counted(); got != [2]int64{} || x.index.n != 0 || r.policy.probation() != 0 {
		t.Errorf("all removed: counted %v, %d in probation", got, r.policy.probation())
	}
}

// A sweep is told no later that an entry has ended than it has, and no more than a unit too early.
func TestEnds(t *testing.T) {
	var x ends
	x.begin(storeWall)
	x.begin(storeWall * 2) // too late
	if x.of(0) != 0 {
		t.Error("never isn't never")
	}
	for _, end := range []int64{storeWall + 20*365*24*3600*1000, storeWall, storeWall + 1, storeWall + endUnit, storeWall - 5*endUnit, 1, 1 << 61, storeWall + 3} {
		unit := x.of(end)
		if from := x.from(unit); unit == 0 || from > end {
			t.Errorf("%d is in unit %d, in which nothing ends before %d", end, unit, from)
		}
		if from := x.from(unit); end >= storeWall-5*endUnit && end < storeWall+5*endUnit && end-from >= endUnit {
			t.Errorf("%d is in unit %d, which begins at %d", end, unit, from)
		}
		if x.of(end+endUnit) < unit || x.of(max(end-endUnit, 1)) > unit {
			t.Errorf("units don't grow about %d", end)
		}
	}
}

func TestRing(t *testing.T) {
	var r ring
	r.timed = true
	r.head, r.tail = numberMask-2, numberMask-2 // soon the numbers begin again
	numbers := map[tag]uint32{}
	push := func(i tag) {
		if r.full() {
			r.grow()
		}
		numbers[i] = r.push(i, uint32(i))
	}
	for i := range tag(20) {
		push(i + 1)
	}
	for i := range tag(20) {
		if got := *r.cell(numbers[i+1]); got != i+1 {
			t.Fatalf("%d has the place of %d", got, i+1)
		}
	}
	for i := tag(1); i <= 20; i++ { // all but 5, 10, 15, 20
		if i%5 != 0 {
			r.remove(numbers[i])
		}
	}
	if r.n != 4 || *r.cell(r.head) != 5 || r.bornAt() != 5 {
		t.Fatalf("%d are left, the oldest is %d of %d", r.n, *r.cell(r.head), r.bornAt())
	}
	r.close(func(i tag, from, to uint32) {
		if numbers[i] != from {
			t.Errorf("%d was at %d, not %d", i, numbers[i], from)
		}
		numbers[i] = to
	})
	if r.span() != 4 {
		t.Errorf("%d cells are in use for 4", r.span())
	}
	for i := tag(5); i <= 20; i += 5 {
		if *r.cell(numbers[i]) != i || *r.cell(r.head) != i || r.bornAt() != uint32(i) {
			t.Errorf("the oldest is %d of %d, not %d", *r.cell(r.head), r.bornAt(), i)
		}
		r.remove(numbers[i])
	}
	if r.n != 0 || r.span() != 0 || len(r.cells) != minCells {
		t.Errorf("%d are left, %d cells of %d in use", r.n, r.span(), len(r.cells))
	}
}

// Ghosts are as many as entries, about; they are taken once, and mistaken seldom.
func TestGhosts(t *testing.T) {
	const n = 100_000
	var g ghosts
	tagOfNumber := func(i uint64) tag { return tagOf(i * 0x9e3779b97f4a7c15) }
	for i := range uint64(2 * n) {
		g.add(i%64, tagOfNumber(i), n)
	}
	var old, recent, twice, wrong int
	count := func(n *int, ok bool) {
		if ok {
			*n++
		}
	}
	for i := range uint64(n / 2) {
		count(&old, g.take(i%64, tagOfNumber(i)))
		count(&recent, g.take((2*n-1-i)%64, tagOfNumber(2*n-1-i)))
		count(&twice, g.take((2*n-1-i)%64, tagOfNumber(2*n-1-i)))
		count(&wrong, g.take(i%64, tagOfNumber(3*n+i)))
	}
	if old > n/2/10 || recent < n/2*95/100 || twice > n/2/500 || wrong > n/2/500 {
		t.Errorf("of %d each: %d old ones, %d recent ones, %d twice, %d that never were", n/2, old, recent, twice, wrong)
	}
	if g.add(0, 1, 10); g.take(1, 2) || !g.take(0, 1) {
		t.Error("a small store has other ghosts")
	}
	if testing.AllocsPerRun(10, func() { g.add(0, 1, 10) }) != 0 {
		t.Error("ghosts are made anew")
	}

}
