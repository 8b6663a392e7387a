package dots

import (
	"math"
	"slices"
	"testing"

	"github.com/iwanbk/bcache/internal/delta"
	"pgregory.net/rapid"
)

// A Set is a set: whatever the order, it holds what was added, as few
// intervals as there are gaps, and covered is the end of what has no gap.
func TestDotSetIsASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Set
		model := map[uint64]bool{}
		for _, seq := range rapid.SliceOf(rapid.Uint64Range(1, 60)).Draw(t, "seqs") {
			if !s.room(seq) {
				t.Fatalf("room(%d) = false", seq)
			}
			s.Add(seq)
			model[seq] = true
			covered := uint64(0)
			for model[covered+1] {
				covered++
			}
			if s.Covered != covered {
				t.Fatalf("covered = %d, want %d", s.Covered, covered)
			}
			last := s.Covered
			for _, iv := range s.Ahead {
				if iv.From <= last || iv.To <= iv.From {
					t.Fatalf("intervals %v after %d", s.Ahead, s.Covered)
				}
				last = iv.To
			}
			for seq := range uint64(62) {
				if got := s.Has(seq); got != (model[seq] || seq == 0) {
					t.Fatalf("has(%d) = %v", seq, got)
				}
				run := s.Run(seq)
				if s.Has(seq) != (seq == 0 || run.From < seq && seq <= run.To) {
					t.Fatalf("run(%d) = %v", seq, run)
				}
			}
		}
	})
}

// genDots draws a Set with seqs up to 60.
var genDots = rapid.Custom(func(t *rapid.T) *Set {
	s := &Set{}
	for _, seq := range rapid.SliceOf(rapid.Uint64Range(1, 60)).Draw(t, "seqs") {
		s.Add(seq)
	}
	return s
})

// A union is the union of the sets, and a difference the difference, but for what may be on
// its way.
func TestDotSetMergeAndMinus(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genDots.Draw(t, "a"), genDots.Draw(t, "b")
		a.Settled = rapid.Uint64Range(0, 62).Draw(t, "settled")
		lacks := map[uint64]bool{}
		for _, iv := range a.minus(b, a.overdue(b)) {
			if iv.From >= iv.To {
				t.Fatalf("minus: interval %v", iv)
			}
			for seq := iv.From + 1; seq <= iv.To; seq++ {
				lacks[seq] = true
			}
		}
		for seq := uint64(1); seq <= 62; seq++ {
			want := a.Has(seq) && !b.Has(seq) && seq <= max(a.Settled, b.Last())
			if lacks[seq] != want {
				t.Fatalf("%v minus %v: dot %d is missing: %v, want %v", a, b, seq, lacks[seq], want)
			}
		}
		m, n := Set{Covered: a.Covered, Ahead: slices.Clone(a.Ahead)}, Set{Covered: b.Covered, Ahead: slices.Clone(b.Ahead)}
		m.merge(b)
		n.merge(a)
		for seq := uint64(1); seq <= 62; seq++ {
			if m.Has(seq) != (a.Has(seq) || b.Has(seq)) {
				t.Fatalf("%v merged with %v is %v: dot %d", a, b, m, seq)
			}
		}
		if m.Print(1) != n.Print(1) || (m.Print(1) == 0) != (m.Last() == 0) {
			t.Fatalf("prints of %v and %v", m, n)
		}
	})
}

func TestDotSetIsBounded(t *testing.T) {
	var s Set
	for i := range uint64(MaxIntervals) {
		if seq := 10 + 2*i; !s.room(seq) {
			t.Fatalf("no room for nr %d", i)
		} else {
			s.Add(seq)
		}
	}
	for _, seq := range []uint64{5, 1_000_000, math.MaxUint64} {
		if s.room(seq) {
			t.Errorf("room for one gap too many, at %d", seq)
		}
	}
	for _, seq := range []uint64{1, 9, 10, 11, 13, 10 + 2*MaxIntervals - 1} { // no gap more
		if !s.room(seq) {
			t.Errorf("no room at %d", seq)
		}
	}
	for seq := uint64(1); s.Covered < 10+2*(MaxIntervals-1); seq++ {
		s.Add(seq)
	}
	if len(s.Ahead) > 0 || !s.room(1_000_000) {
		t.Errorf("%v left", s.Ahead)
	}
	var far Set
	for i := range uint64(MaxIntervals) {
		far.Add(1001 + 2*i)
		s.Add(5000 + 2*i)
	}
	far.merge(&s)
	if dropped := far.merge(&Set{Ahead: []Interval{{9000, 9001}, {9002, 9003}}}); dropped != 2 || len(far.Ahead) > 2*MaxIntervals {
		t.Errorf("%d intervals dropped, %d left", dropped, len(far.Ahead))
	}
}

func TestVectorDropsTheOldest(t *testing.T) {
	const most = 100
	c := NewVector(7, most)
	c.live[1001] = true // connected, but quiet
	for i := range uint64(most - 1) {
		if c.Add(1000+i, 1, 1000+i, 0) != 0 {
			t.Fatal("dropped below the bound")
		}
	}
	c.Add(1000, 2, 5000, 0) // has written again
	d := NewVector(8, 2*most)
	for _, o := range []uint64{1002, 1003} {
		d.Add(o, 1, o, 0)
	}
	if c.Add(1, 1, 6000, 0) != 1 || len(c.Origins) != most {
		t.Errorf("%d origins", len(c.Origins))
	}
	if c.Origins[1002] != nil || c.Origins[1001] == nil || c.Origins[1000] == nil || c.Origins[7] == nil {
		t.Error("the wrong one was dropped")
	}
	if c.Admits(1002, 2, 1002) || !c.Admits(1002, 2, 7000) || !c.Admits(1001, 2, 1) {
		t.Error("dots behind the horizon are admitted, or others aren't")
	}
	if !d.matches(c.Horizon) || d.Origins[1002] != nil || d.Origins[1003] == nil || d.Horizon != c.Horizon {
		t.Error("another node doesn't follow")
	}
	e := NewVector(9, most)
	e.Add(1002, 2, 1002, 0) // has more of it
	if before := e.Horizon; e.matches(c.Horizon) || e.Origins[1002] == nil || e.Horizon != before {
		t.Error("a node that knows something else follows")
	}
}

func TestClockIncreases(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c delta.Clock
		last := uint64(0)
		for range 100 {
			wall := rapid.Int64Range(-1000, 1<<40).Draw(t, "wall")
			if rapid.Bool().Draw(t, "observe") {
				seen := rapid.Uint64Range(0, 1<<60).Draw(t, "seen")
				c.Observe(seen)
				last = max(last, seen)
			}
			got := c.Tick(wall)
			if got <= last || got < delta.StampOf(wall) {
				t.Fatalf("tick(%d) = %d after %d", wall, got, last)
			}
			last = got
		}
	})
}

func TestVersionOrderIsTotal(t *testing.T) {
	gen := rapid.Custom(func(t *rapid.T) delta.Version {
		return delta.Version{Stamp: rapid.Uint64Range(0, 3).Draw(t, "stamp"), Origin: rapid.Uint64Range(0, 3).Draw(t, "origin")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := gen.Draw(t, "a"), gen.Draw(t, "b"), gen.Draw(t, "c")
		if a.Less(b) == b.Less(a) && a != b {
			t.Fatal("not antisymmetric or not total")
		}
		if a.Less(b) && b.Less(c) && !a.Less(c) {
			t.Fatal("not transitive")
		}
		if a.Less(a) {
			t.Fatal("not irreflexive")
		}
	})
}

// The log never claims what it doesn't know: a dot is either as it was put, or unknown.
func TestDeltaLogIsTruthfulAndBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 200).Draw(t, "size")
		l := NewLog(size)
		type dot struct{ origin, seq uint64 }
		model := map[dot]delta.Record{}
		for i := range rapid.IntRange(0, 500).Draw(t, "puts") {
			d := dot{rapid.Uint64Range(1, 4).Draw(t, "origin"), rapid.Uint64Range(1, 400).Draw(t, "seq")}
			rec := delta.Record{Key: rapid.StringN(0, 3, -1).Draw(t, "key"), Version: delta.Version{Stamp: uint64(i + 1), Origin: d.origin}, Kind: delta.KindTombstone}
			l.Put(d.origin, d.seq, &rec)
			model[d] = rec
			if slot, ok := l.Get(d.origin, d.seq); !ok || slot.Version != rec.Version {
				t.Fatalf("what was just put is %v, %v", slot, ok)
			}
		}
		records, keyBytes := 0, 0
		for d, rec := range model {
			if slot, ok := l.Get(d.origin, d.seq); ok {
				records++
				keyBytes += len(rec.Key)
				if slot != (LogSlot{rec.Key, rec.Version, rec.Kind}) {
					t.Fatalf("get%v = %v, want %v", d, slot, rec)
				}
			}
		}
		if records != l.Records || int64(keyBytes) != l.keyBytes {
			t.Fatalf("records %d, keyBytes %d, counted %d, %d", l.Records, l.keyBytes, records, keyBytes)
		}
		if records > size || l.Pages() > l.MaxPages {
			t.Fatalf("%d records in %d pages, size %d", records, l.Pages(), size)
		}
		if slot, ok := l.Get(9, 1); ok {
			t.Fatalf("an unknown origin's dot is %v", slot)
		}
	})
}

func TestDeltaLogKeepsTheRecent(t *testing.T) {
	l := NewLog(1024)
	for seq := uint64(1); seq <= 5000; seq++ {
		l.Put(1, seq, &delta.Record{Key: "k", Version: delta.Version{Stamp: seq, Origin: 1}})
	}
	for seq := uint64(5000 - 1024 + 64); seq <= 5000; seq++ {
		if _, ok := l.Get(1, seq); !ok {
			t.Fatalf("dot %d of the last 1024 is gone", seq)
		}
	}
	if cap(l.order) > 4*l.MaxPages+16 {
		t.Errorf("the page order has grown to %d for %d pages", cap(l.order), l.MaxPages)
	}
}

// next, last and knows find the same as asking for one dot after the other.
func TestDeltaLogSearch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := NewLog(rapid.IntRange(1, 300).Draw(t, "size"))
		for _, seq := range rapid.SliceOf(rapid.Uint64Range(1, 500)).Draw(t, "seqs") {
			l.Put(1, seq, &delta.Record{Version: delta.Version{Stamp: seq, Origin: 1}})
		}
		first, n := rapid.Uint64Range(1, 400).Draw(t, "first"), rapid.Uint64Range(0, 100).Draw(t, "run")
		for seq := first; seq < first+n; seq++ {
			l.Put(1, seq, &delta.Record{Version: delta.Version{Stamp: seq, Origin: 1}})
		}
		from, to := rapid.Uint64Range(1, 500).Draw(t, "from"), rapid.Uint64Range(1, 500).Draw(t, "to")
		want, known := uint64(0), false
		for seq := from; seq <= to && !known; seq++ {
			if _, known = l.Get(1, seq); known {
				want = seq
			}
		}
		if at, slot, ok := l.Next(1, from, to); ok != known || at != want || slot.Stamp != want {
			t.Fatalf("from %d to %d: dot %d, %+v, %v; want %d, %v", from, to, at, slot, ok, want, known)
		}

		want, known = 0, false
		for seq := to; seq >= from && !known; seq-- {
			if _, known = l.Get(1, seq); known {
				want = seq
			}
		}
		if at, slot, ok := l.Last(1, Interval{from - 1, to}); ok != known || at != want || slot.Stamp != want {
			t.Fatalf("back from %d to %d: dot %d, %+v, %v; want %d, %v", to, from, at, slot, ok, want, known)
		}

		some, all := false, true
		for seq := from; seq <= to; seq++ {
			_, known := l.Get(1, seq)
			some, all = some || known, all && known
		}
		if s, a := l.Knows(1, Interval{from - 1, to}); s != some || a != all {
			t.Fatalf("from %d to %d: knows some %v, all %v; want %v, %v", from, to, s, a, some, all)
		}
	})
}

// A context from elsewhere may have any number of dots that the log has never seen.
func TestDeltaLogSearchIsntCounting(t *testing.T) {
	for _, size := range []int{3, 50, 1024} { // pages of 1, 3 and 64 dots
		l := NewLog(size)
		seqs := []uint64{5, 1 << 40, delta.MaxSeq}
		for _, seq := range seqs {
			l.Put(1, seq, &delta.Record{Version: delta.Version{Stamp: seq >> 1, Origin: 1}})
		}
		from := uint64(1)
		for _, want := range seqs {
			if at, _, ok := l.Next(1, from, delta.MaxSeq); at != want || !ok {
				t.Errorf("from %d: dot %d, %v; want %d", from, at, ok, want)
			}
			from = want + 1
		}
		if at, _, ok := l.Next(1, from, delta.MaxSeq); ok {
			t.Errorf("after the last one: %d", at)
		}
		if some, all := l.Knows(1, Interval{5, delta.MaxSeq}); !some || all {
			t.Errorf("knows some: %v, all: %v", some, all)
		}
		if at, _, ok := l.Last(1, Interval{0, delta.MaxSeq - 1}); at != 1<<40 || !ok {
			t.Errorf("before the last one: %d, %v", at, ok)
		}
		if at, _, ok := l.Last(1, Interval{5, 1<<40 - 1}); ok {
			t.Errorf("in between: %d", at)
		}
	}
}

func TestDeltaLogBoundsItsKeys(t *testing.T) {
	l := NewLog(65_536)
	key := string(slices.Repeat([]byte("k"), 1<<20))
	for seq := uint64(1); seq <= 1000; seq++ {
		l.Put(1, seq, &delta.Record{Key: key, Version: delta.Version{Stamp: seq, Origin: 1}})
		if l.keyBytes > maxLogKeyBytes {
			t.Fatalf("keys of %d bytes", l.keyBytes)
		}
	}
	if l.Records == 0 {
		t.Error("nothing is left")
	}
}

// Who was a neighbour may be behind the horizon when it leaves. The next time something is
// dropped it goes too, and the fingerprint says so, as it does on a node that dropped it before.
func TestVectorDropsFormerNeighbours(t *testing.T) {
	c := NewVector(7, 4)
	c.live[1], c.live[2] = true, true
	for o, newest := range map[uint64]uint64{1: 10, 2: 20} {
		c.Add(o, 1, newest, 0)
	}
	for o := uint64(3); o <= 5; o++ { // 3 and 4 go, and the horizon is beyond 1 and 2
		c.Add(o, 1, 100+o, 0)
	}
	if c.Horizon.Stamp != 104 || c.Origins[1] == nil || c.Origins[2] == nil {
		t.Fatalf("horizon %v", c.Horizon)
	}
	delete(c.live, 1)
	delete(c.live, 2)
	c.Add(6, 1, 106, 0)
	var want uint64
	for o := uint64(1); o <= 4; o++ {
		want ^= (&Set{Covered: 1}).Print(o)
	}
	if c.Horizon != (Horizon{104, want}) || c.Origins[1] != nil || c.Origins[2] != nil || c.Origins[5] == nil || c.Origins[6] == nil {
		t.Errorf("horizon %v, want the fingerprint of all that went: %x", c.Horizon, want)
	}
}

// A list stays what it is when the context changes.
func TestVectorListIsOfItsMoment(t *testing.T) {
	c := NewVector(7, 100)
	for _, seq := range []uint64{1, 3, 5, 9, 12} {
		c.Add(1, seq, 1, 0)
	}
	want := []Interval{{2, 3}, {4, 5}, {8, 9}, {11, 12}}
	entries, _ := c.List(LongAgo)
	for _, seq := range []uint64{4, 10, 2, 11, 20} {
		c.Add(1, seq, 1, 0)
	}
	if e := entries[0]; e.Covered != 1 || !slices.Equal(e.Ahead, want) {
		t.Errorf("%+v", e)
	}
	if s := c.Get(1); s.Covered != 5 || !slices.Equal(s.Ahead, []Interval{{8, 12}, {19, 20}}) {
		t.Errorf("%+v", s)
	}
}

// All of an interval is known only if each dot is, to the last one, on every page.
func TestDeltaLogSearchOfARun(t *testing.T) {
	for _, size := range []int{200, 4096} { // pages of 12 and 64 dots
		l := NewLog(size)
		for seq := uint64(5); seq <= 104; seq++ {
			l.Put(1, seq, &delta.Record{Version: delta.Version{Stamp: seq, Origin: 1}})
		}
		for iv, want := range map[Interval][2]bool{
			{4, 104}: {true, true}, {4, 105}: {true, false}, {3, 104}: {true, false}, {50, 51}: {true, true},
			{103, 106}: {true, false}, {104, 110}: {false, false}, {0, 4}: {false, false}, {7, 7}: {false, true},
		} {
			if some, all := l.Knows(1, iv); some != want[0] || all != want[1] {
				t.Errorf("size %d, %v: knows some %v, all %v", size, iv, some, all)
			}
		}
	}
}
