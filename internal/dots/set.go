package dots

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
)

// MaxIntervals is how many gaps the dots of one origin may have. A dot that would
// make one more isn't processed: it comes again when the gaps are repaired.
const MaxIntervals = 128

// A Set is the set of one origin's dots that this node has processed:
// everything up to Covered, and beyond a gap what the intervals say. It is one
// entry of a version vector with exceptions (Malkhi, Terry, "Concise Version
// Vectors in WinFS", 2005).
type Set struct {
	Covered uint64
	Ahead   []Interval // ascending, disjoint, not adjacent, all beyond Covered+1
	shared  bool       // somebody else reads Ahead: it must be copied before it is changed

	// the greatest stamp of its dots: how old it is, the same on all nodes that have it
	Newest uint64
	Heard  time.Duration // when a dot was last processed

	// The last dot as of the tick before the last, and as of the last: what is younger
	// than Settled may still be on its way to others.
	Settled, Recent uint64

	printed uint64 // the last print, 0 after a change
}

// An Interval is the dots (from, to].
type Interval struct{ From, To uint64 }

// Copy returns the dots, and what is known of their age, without what is counted beside them.
func (s *Set) Copy() Set {
	return Set{Covered: s.Covered, Ahead: slices.Clone(s.Ahead), Newest: s.Newest}
}

func (s *Set) Has(seq uint64) bool {
	if seq <= s.Covered {
		return true
	}
	i := s.search(seq)
	return i < len(s.Ahead) && s.Ahead[i].From < seq
}

// HasAll reports whether all dots of an interval are among them.
func (s *Set) HasAll(iv Interval) bool {
	run := s.Run(iv.To)
	return run.From <= iv.From && iv.To <= run.To
}

// Lacks counts the dots up to seq that this node hasn't processed. It is 0 if, and only if, Covered
// reaches seq: a gap counts.
func (s *Set) Lacks(seq uint64) uint64 {
	if seq <= s.Covered {
		return 0
	}
	n := seq - s.Covered
	for _, iv := range s.Ahead {
		if iv.From >= seq {
			break
		}
		n -= min(iv.To, seq) - iv.From
	}
	return n
}

// search returns the index of the first interval that ends at seq or later.
func (s *Set) search(seq uint64) int {
	byEnd := func(iv Interval, seq uint64) int { return cmp.Compare(iv.To, seq) }
	i, _ := slices.BinarySearchFunc(s.Ahead, seq, byEnd)
	return i
}

// room reports whether seq can be added without a gap too many.
func (s *Set) room(seq uint64) bool {
	if len(s.Ahead) < MaxIntervals || seq <= s.Covered+1 {
		return true
	}
	i := s.search(seq)
	return i < len(s.Ahead) && s.Ahead[i].From <= seq || i > 0 && s.Ahead[i-1].To == seq-1
}

// Add marks seq as processed.
func (s *Set) Add(seq uint64) {
	if s.Has(seq) {
		return
	}
	s.printed = 0
	if s.shared {
		s.Ahead, s.shared = slices.Clone(s.Ahead), false
	}
	if seq == s.Covered+1 {
		s.Covered = seq
		s.absorb()
		return
	}
	i := s.search(seq)
	joinsLeft := i > 0 && s.Ahead[i-1].To == seq-1
	joinsRight := i < len(s.Ahead) && s.Ahead[i].From == seq
	switch {
	case joinsLeft && joinsRight:
		s.Ahead[i-1].To = s.Ahead[i].To
		s.Ahead = slices.Delete(s.Ahead, i, i+1)
	case joinsLeft:
		s.Ahead[i-1].To = seq
	case joinsRight:
		s.Ahead[i].From = seq - 1
	default:
		s.Ahead = slices.Insert(s.Ahead, i, Interval{seq - 1, seq})
	}
}

// absorb moves Covered over the intervals that it has reached.
func (s *Set) absorb() {
	n := 0
	for n < len(s.Ahead) && s.Ahead[n].From <= s.Covered {
		s.Covered = max(s.Covered, s.Ahead[n].To)
		n++
	}
	s.Ahead = slices.Delete(s.Ahead, 0, n)
}

// merge adds all dots of t. Of more gaps than two sets may have, the last are
// forgotten; it says how many.
func (s *Set) merge(t *Set) (dropped int) {
	s.printed = 0
	s.Covered = max(s.Covered, t.Covered)
	s.Newest = max(s.Newest, t.Newest)
	a, b := s.Ahead, t.Ahead
	s.Ahead, s.shared = make([]Interval, 0, len(a)+len(b)), false
	for len(a)+len(b) > 0 {
		if len(a) == 0 || len(b) > 0 && b[0].From < a[0].From {
			a, b = b, a
		}
		iv := a[0]
		a = a[1:]
		if n := len(s.Ahead); n > 0 && iv.From <= s.Ahead[n-1].To {
			s.Ahead[n-1].To = max(s.Ahead[n-1].To, iv.To)
		} else {
			s.Ahead = append(s.Ahead, iv)
		}
	}
	s.absorb()
	if n := len(s.Ahead) - 2*MaxIntervals; n > 0 {
		s.Ahead = s.Ahead[:2*MaxIntervals]
		return n
	}
	return 0
}

// upTo returns the dots up to most.
func (s *Set) upTo(most uint64) (t Set) {
	t = Set{Covered: min(s.Covered, most), Newest: s.Newest}
	for _, iv := range s.Ahead {
		if iv.From < most {
			t.Ahead = append(t.Ahead, Interval{iv.From, min(iv.To, most)})
		}
	}
	return t
}

// Last returns the greatest seq.
func (s *Set) Last() uint64 {
	if n := len(s.Ahead); n > 0 {
		return s.Ahead[n-1].To
	}
	return s.Covered
}

// Intervals lists all dots, ascending.
func (s *Set) Intervals() []Interval {
	if s.Covered == 0 {
		return s.Ahead
	}
	return append([]Interval{{0, s.Covered}}, s.Ahead...)
}

// overdue is the last dot that t should have, if it lacks it. What is beyond t's last and not
// settled may still be on its way. What fills t's gaps isn't, as what came after it has arrived.
func (s *Set) overdue(t *Set) uint64 { return max(s.Settled, t.Last()) }

// minus lists the dots up to most that s has and t lacks, ascending.
func (s *Set) minus(t *Set, most uint64) (missing []Interval) {
	have := t.Intervals()
	for _, iv := range s.Intervals() {
		iv.To = min(iv.To, most)
		for len(have) > 0 && have[0].To <= iv.From {
			have = have[1:]
		}
		for _, h := range have {
			if h.From >= iv.To {
				break
			}
			if iv.From < h.From {
				missing = append(missing, Interval{iv.From, h.From})
			}
			iv.From = max(iv.From, h.To)
		}
		if iv.From < iv.To {
			missing = append(missing, iv)
		}
	}
	return missing
}

// Run returns the processed interval that seq belongs to, or the zero interval.
func (s *Set) Run(seq uint64) Interval {
	if seq <= s.Covered {
		return Interval{0, s.Covered}
	}
	if i := s.search(seq); i < len(s.Ahead) && s.Ahead[i].From < seq {
		return s.Ahead[i]
	}
	return Interval{}
}

// settle is called about once a second.
func (s *Set) settle() { s.Settled, s.Recent = s.Recent, s.Last() }

// Print is a fingerprint of the origin's dots; 0 if there are none. It must always be given the
// same origin.
func (s *Set) Print(origin uint64) uint64 {
	if s.printed != 0 || s.Last() == 0 {
		return s.printed
	}
	var buf [64]byte
	b := binary.LittleEndian.AppendUint64(buf[:0], origin)
	b = binary.LittleEndian.AppendUint64(b, s.Covered)
	for _, iv := range s.Ahead {
		b = binary.LittleEndian.AppendUint64(b, iv.From)
		b = binary.LittleEndian.AppendUint64(b, iv.To)
	}
	s.printed = xxhash.Sum64(b)
	return s.printed
}
