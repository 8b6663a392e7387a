package bcache

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A dotSet is a set: whatever the order, it holds what was added, as few
// intervals as there are gaps, and covered is the end of what has no gap.
func TestDotSetIsASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s dotSet
		model := map[uint64]bool{}
		for _, seq := range rapid.SliceOf(rapid.Uint64Range(1, 60)).Draw(t, "seqs") {
			if !s.room(seq) {
				t.Fatalf("room(%d) = false", seq)
			}
			s.add(seq)
			model[seq] = true
			covered := uint64(0)
			for model[covered+1] {
				covered++
			}
			if s.covered != covered {
				t.Fatalf("covered = %d, want %d", s.covered, covered)
			}
			last := s.covered
			for _, iv := range s.ahead {
				if iv.from <= last || iv.to <= iv.from {
					t.Fatalf("intervals %v after %d", s.ahead, s.covered)
				}
				last = iv.to
			}
			for seq := range uint64(62) {
				if got := s.has(seq); got != (model[seq] || seq == 0) {
					t.Fatalf("has(%d) = %v", seq, got)
				}
				run := s.run(seq)
				if s.has(seq) != (seq == 0 || run.from < seq && seq <= run.to) {
					t.Fatalf("run(%d) = %v", seq, run)
				}
			}
		}
	})
}

// genDots draws a dotSet with seqs up to 60.
var genDots = rapid.Custom(func(t *rapid.T) *dotSet {
	s := &dotSet{}
	for _, seq := range rapid.SliceOf(rapid.Uint64Range(1, 60)).Draw(t, "seqs") {
		s.add(seq)
	}
	return s
})

// A union is the union of the sets, and a difference the difference, but for what may be on
// its way.
func TestDotSetMergeAndMinus(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genDots.Draw(t, "a"), genDots.Draw(t, "b")
		a.settled = rapid.Uint64Range(0, 62).Draw(t, "settled")
		lacks := map[uint64]bool{}
		for _, iv := range a.minus(b, a.overdue(b)) {
			if iv.from >= iv.to {
				t.Fatalf("minus: interval %v", iv)
			}
			for seq := iv.from + 1; seq <= iv.to; seq++ {
				lacks[seq] = true
			}
		}
		for seq := uint64(1); seq <= 62; seq++ {
			want := a.has(seq) && !b.has(seq) && seq <= max(a.settled, b.last())
			if lacks[seq] != want {
				t.Fatalf("%v minus %v: dot %d is missing: %v, want %v", a, b, seq, lacks[seq], want)
			}
		}
		m, n := dotSet{covered: a.covered, ahead: slices.Clone(a.ahead)}, dotSet{covered: b.covered, ahead: slices.Clone(b.ahead)}
		m.merge(b)
		n.merge(a)
		for seq := uint64(1); seq <= 62; seq++ {
			if m.has(seq) != (a.has(seq) || b.has(seq)) {
				t.Fatalf("%v merged with %v is %v: dot %d", a, b, m, seq)
			}
		}
		if m.print(1) != n.print(1) || (m.print(1) == 0) != (m.last() == 0) {
			t.Fatalf("prints of %v and %v", m, n)
		}
	})
}

func TestDotSetIsBounded(t *testing.T) {
	var s dotSet
	for i := range uint64(maxIntervals) {
		if seq := 10 + 2*i; !s.room(seq) {
			t.Fatalf("no room for nr %d", i)
		} else {
			s.add(seq)
		}
	}
	for _, seq := range []uint64{5, 1_000_000, math.MaxUint64} {
		if s.room(seq) {
			t.Errorf("room for one gap too many, at %d", seq)
		}
	}
	for _, seq := range []uint64{1, 9, 10, 11, 13, 10 + 2*maxIntervals - 1} { // no gap more
		if !s.room(seq) {
			t.Errorf("no room at %d", seq)
		}
	}
	for seq := uint64(1); s.covered < 10+2*(maxIntervals-1); seq++ {
		s.add(seq)
	}
	if len(s.ahead) > 0 || !s.room(1_000_000) {
		t.Errorf("%v left", s.ahead)
	}
	var far dotSet
	for i := range uint64(maxIntervals) {
		far.add(1001 + 2*i)
		s.add(5000 + 2*i)
	}
	far.merge(&s)
	if dropped := far.merge(&dotSet{ahead: []interval{{9000, 9001}, {9002, 9003}}}); dropped != 2 || len(far.ahead) > 2*maxIntervals {
		t.Errorf("%d intervals dropped, %d left", dropped, len(far.ahead))
	}
}

func TestVectorDropsTheOldest(t *testing.T) {
	const most = 100
	c := newVersionVector(7, most)
	c.live[1001] = true // connected, but quiet
	for i := range uint64(most - 1) {
		if c.add(1000+i, 1, 1000+i, 0) != 0 {
			t.Fatal("dropped below the bound")
		}
	}
	c.add(1000, 2, 5000, 0) // has written again
	d := newVersionVector(8, 2*most)
	for _, o := range []uint64{1002, 1003} {
		d.add(o, 1, o, 0)
	}
	if c.add(1, 1, 6000, 0) != 1 || len(c.origins) != most {
		t.Errorf("%d origins", len(c.origins))
	}
	if c.origins[1002] != nil || c.origins[1001] == nil || c.origins[1000] == nil || c.origins[7] == nil {
		t.Error("the wrong one was dropped")
	}
	if c.admits(1002, 2, 1002) || !c.admits(1002, 2, 7000) || !c.admits(1001, 2, 1) {
		t.Error("dots behind the horizon are admitted, or others aren't")
	}
	if !d.matches(c.horizon) || d.origins[1002] != nil || d.origins[1003] == nil || d.horizon != c.horizon {
		t.Error("another node doesn't follow")
	}
	e := newVersionVector(9, most)
	e.add(1002, 2, 1002, 0) // has more of it
	if before := e.horizon; e.matches(c.horizon) || e.origins[1002] == nil || e.horizon != before {
		t.Error("a node that knows something else follows")
	}
}

func TestClockIncreases(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c clock
		last := uint64(0)
		for range 100 {
			wall := rapid.Int64Range(-1000, 1<<40).Draw(t, "wall")
			if rapid.Bool().Draw(t, "observe") {
				seen := rapid.Uint64Range(0, 1<<60).Draw(t, "seen")
				c.observe(seen)
				last = max(last, seen)
			}
			got := c.tick(wall)
			if got <= last || got < stampOf(wall) {
				t.Fatalf("tick(%d) = %d after %d", wall, got, last)
			}
			last = got
		}
	})
}

func TestVersionOrderIsTotal(t *testing.T) {
	gen := rapid.Custom(func(t *rapid.T) version {
		return version{rapid.Uint64Range(0, 3).Draw(t, "stamp"), rapid.Uint64Range(0, 3).Draw(t, "origin")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := gen.Draw(t, "a"), gen.Draw(t, "b"), gen.Draw(t, "c")
		if a.less(b) == b.less(a) && a != b {
			t.Fatal("not antisymmetric or not total")
		}
		if a.less(b) && b.less(c) && !a.less(c) {
			t.Fatal("not transitive")
		}
		if a.less(a) {
			t.Fatal("not irreflexive")
		}
	})
}

// The log never claims what it doesn't know: a dot is either as it was put, or unknown.
func TestDeltaLogIsTruthfulAndBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 200).Draw(t, "size")
		l := newDeltaLog(size)
		type dot struct{ origin, seq uint64 }
		model := map[dot]record{}
		for i := range rapid.IntRange(0, 500).Draw(t, "puts") {
			d := dot{rapid.Uint64Range(1, 4).Draw(t, "origin"), rapid.Uint64Range(1, 400).Draw(t, "seq")}
			rec := record{key: rapid.StringN(0, 3, -1).Draw(t, "key"), version: version{uint64(i + 1), d.origin}, kind: kindTombstone}
			l.put(d.origin, d.seq, &rec)
			model[d] = rec
			if slot, ok := l.get(d.origin, d.seq); !ok || slot.version != rec.version {
				t.Fatalf("what was just put is %v, %v", slot, ok)
			}
		}
		records, keyBytes := 0, 0
		for d, rec := range model {
			if slot, ok := l.get(d.origin, d.seq); ok {
				records++
				keyBytes += len(rec.key)
				if slot != (logSlot{rec.key, rec.version, rec.kind}) {
					t.Fatalf("get%v = %v, want %v", d, slot, rec)
				}
			}
		}
		if records != l.records || int64(keyBytes) != l.keyBytes {
			t.Fatalf("records %d, keyBytes %d, counted %d, %d", l.records, l.keyBytes, records, keyBytes)
		}
		if records > size || l.pages() > l.maxPages {
			t.Fatalf("%d records in %d pages, size %d", records, l.pages(), size)
		}
		if slot, ok := l.get(9, 1); ok {
			t.Fatalf("an unknown origin's dot is %v", slot)
		}
	})
}

func TestDeltaLogKeepsTheRecent(t *testing.T) {
	l := newDeltaLog(1024)
	for seq := uint64(1); seq <= 5000; seq++ {
		l.put(1, seq, &record{key: "k", version: version{seq, 1}})
	}
	for seq := uint64(5000 - 1024 + 64); seq <= 5000; seq++ {
		if _, ok := l.get(1, seq); !ok {
			t.Fatalf("dot %d of the last 1024 is gone", seq)
		}
	}
	if cap(l.order) > 4*l.maxPages+16 {
		t.Errorf("the page order has grown to %d for %d pages", cap(l.order), l.maxPages)
	}
}

// next, last and knows find the same as asking for one dot after the other.
func TestDeltaLogSearch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newDeltaLog(rapid.IntRange(1, 300).Draw(t, "size"))
		for _, seq := range rapid.SliceOf(rapid.Uint64Range(1, 500)).Draw(t, "seqs") {
			l.put(1, seq, &record{version: version{seq, 1}})
		}
		first, n := rapid.Uint64Range(1, 400).Draw(t, "first"), rapid.Uint64Range(0, 100).Draw(t, "run")
		for seq := first; seq < first+n; seq++ {
			l.put(1, seq, &record{version: version{seq, 1}})
		}
		from, to := rapid.Uint64Range(1, 500).Draw(t, "from"), rapid.Uint64Range(1, 500).Draw(t, "to")
		want, known := uint64(0), false
		for seq := from; seq <= to && !known; seq++ {
			if _, known = l.get(1, seq); known {
				want = seq
			}
		}
		if at, slot, ok := l.next(1, from, to); ok != known || at != want || slot.stamp != want {
			t.Fatalf("from %d to %d: dot %d, %+v, %v; want %d, %v", from, to, at, slot, ok, want, known)
		}

		want, known = 0, false
		for seq := to; seq >= from && !known; seq-- {
			if _, known = l.get(1, seq); known {
				want = seq
			}
		}
		if at, slot, ok := l.last(1, interval{from - 1, to}); ok != known || at != want || slot.stamp != want {
			t.Fatalf("back from %d to %d: dot %d, %+v, %v; want %d, %v", to, from, at, slot, ok, want, known)
		}

		some, all := false, true
		for seq := from; seq <= to; seq++ {
			_, known := l.get(1, seq)
			some, all = some || known, all && known
		}
		if s, a := l.knows(1, interval{from - 1, to}); s != some || a != all {
			t.Fatalf("from %d to %d: knows some %v, all %v; want %v, %v", from, to, s, a, some, all)
		}
	})
}

// A context from elsewhere may have any number of dots that the log has never seen.
func TestDeltaLogSearchIsntCounting(t *testing.T) {
	for _, size := range []int{3, 50, 1024} { // pages of 1, 3 and 64 dots
		l := newDeltaLog(size)
		seqs := []uint64{5, 1 << 40, maxSeq}
		for _, seq := range seqs {
			l.put(1, seq, &record{version: version{seq >> 1, 1}})
		}
		from := uint64(1)
		for _, want := range seqs {
			if at, _, ok := l.next(1, from, maxSeq); at != want || !ok {
				t.Errorf("from %d: dot %d, %v; want %d", from, at, ok, want)
			}
			from = want + 1
		}
		if at, _, ok := l.next(1, from, maxSeq); ok {
			t.Errorf("after the last one: %d", at)
		}
		if some, all := l.knows(1, interval{5, maxSeq}); !some || all {
			t.Errorf("knows some: %v, all: %v", some, all)
		}
		if at, _, ok := l.last(1, interval{0, maxSeq - 1}); at != 1<<40 || !ok {
			t.Errorf("before the last one: %d, %v", at, ok)
		}
		if at, _, ok := l.last(1, interval{5, 1<<40 - 1}); ok {
			t.Errorf("in between: %d", at)
		}
	}
}

func TestDeltaLogBoundsItsKeys(t *testing.T) {
	l := newDeltaLog(65_536)
	key := string(slices.Repeat([]byte("k"), 1<<20))
	for seq := uint64(1); seq <= 1000; seq++ {
		l.put(1, seq, &record{key: key, version: version{seq, 1}})
		if l.keyBytes > maxLogKeyBytes {
			t.Fatalf("keys of %d bytes", l.keyBytes)
		}
	}
	if l.records == 0 {
		t.Error("nothing is left")
	}
}

// Who was a neighbour may be behind the horizon when it leaves. The next time something is
// dropped it goes too, and the fingerprint says so, as it does on a node that dropped it before.
func TestVectorDropsFormerNeighbours(t *testing.T) {
	c := newVersionVector(7, 4)
	c.live[1], c.live[2] = true, true
	for o, newest := range map[uint64]uint64{1: 10, 2: 20} {
		c.add(o, 1, newest, 0)
	}
	for o := uint64(3); o <= 5; o++ { // 3 and 4 go, and the horizon is beyond 1 and 2
		c.add(o, 1, 100+o, 0)
	}
	if c.horizon.stamp != 104 || c.origins[1] == nil || c.origins[2] == nil {
		t.Fatalf("horizon %v", c.horizon)
	}
	delete(c.live, 1)
	delete(c.live, 2)
	c.add(6, 1, 106, 0)
	var want uint64
	for o := uint64(1); o <= 4; o++ {
		want ^= (&dotSet{covered: 1}).print(o)
	}
	if c.horizon != (horizon{104, want}) || c.origins[1] != nil || c.origins[2] != nil || c.origins[5] == nil || c.origins[6] == nil {
		t.Errorf("horizon %v, want the fingerprint of all that went: %x", c.horizon, want)
	}
}

// A list stays what it is when the context changes.
func TestVectorListIsOfItsMoment(t *testing.T) {
	c := newVersionVector(7, 100)
	for _, seq := range []uint64{1, 3, 5, 9, 12} {
		c.add(1, seq, 1, 0)
	}
	want := []interval{{2, 3}, {4, 5}, {8, 9}, {11, 12}}
	entries, _ := c.list(longAgo)
	for _, seq := range []uint64{4, 10, 2, 11, 20} {
		c.add(1, seq, 1, 0)
	}
	if e := entries[0]; e.covered != 1 || !slices.Equal(e.ahead, want) {
		t.Errorf("%+v", e)
	}
	if s := c.get(1); s.covered != 5 || !slices.Equal(s.ahead, []interval{{8, 12}, {19, 20}}) {
		t.Errorf("%+v", s)
	}
}

// All of an interval is known only if each dot is, to the last one, on every page.
func TestDeltaLogSearchOfARun(t *testing.T) {
	for _, size := range []int{200, 4096} { // pages of 12 and 64 dots
		l := newDeltaLog(size)
		for seq := uint64(5); seq <= 104; seq++ {
			l.put(1, seq, &record{version: version{seq, 1}})
		}
		for iv, want := range map[interval][2]bool{
			{4, 104}: {true, true}, {4, 105}: {true, false}, {3, 104}: {true, false}, {50, 51}: {true, true},
			{103, 106}: {true, false}, {104, 110}: {false, false}, {0, 4}: {false, false}, {7, 7}: {false, true},
		} {
			if some, all := l.knows(1, iv); some != want[0] || all != want[1] {
				t.Errorf("size %d, %v: knows some %v, all %v", size, iv, some, all)
			}
		}
	}
}
