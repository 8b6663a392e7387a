package dots

import (
	"math"
	"slices"
	"testing"

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
				lacks := uint64(0)
				for i := range seq {
					if !model[i+1] {
						lacks++
					}
				}
				if got := s.Lacks(seq); got != lacks {
					t.Fatalf("lacks(%d) = %d, want %d", seq, got, lacks)
				}
			}
		}
	})
}

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
