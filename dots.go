package bcache

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
)

// maxIntervals is how many gaps the dots of one origin may have. A dot that would
// make one more isn't processed: it comes again when the gaps are repaired.
const maxIntervals = 128

// A dotSet is the set of one origin's dots that this node has processed:
// everything up to covered, and beyond a gap what the intervals say. It is one
// entry of a version vector with exceptions (Malkhi, Terry, "Concise Version
// Vectors in WinFS", 2005).
type dotSet struct {
	covered uint64
	ahead   []interval // ascending, disjoint, not adjacent, all beyond covered+1
	shared  bool       // somebody else reads ahead: it must be copied before it is changed

	newest uint64        // the greatest stamp of its dots: how old it is, the same on all nodes that have it
	heard  time.Duration // when a dot was last processed

	// The last dot as of the tick before the last, and as of the last: what is younger
	// than settled may still be on its way to others.
	settled, recent uint64

	printed uint64 // the last print, 0 after a change
}

// An interval is the dots (from, to].
type interval struct{ from, to uint64 }

// copy returns the dots, and what is known of their age, without what is counted beside them.
func (s *dotSet) copy() dotSet {
	return dotSet{covered: s.covered, ahead: slices.Clone(s.ahead), newest: s.newest}
}

func (s *dotSet) has(seq uint64) bool {
	if seq <= s.covered {
		return true
	}
	i := s.search(seq)
	return i < len(s.ahead) && s.ahead[i].from < seq
}

// search returns the index of the first interval that ends at seq or later.
func (s *dotSet) search(seq uint64) int {
	i, _ := slices.BinarySearchFunc(s.ahead, seq, func(iv interval, seq uint64) int { return cmp.Compare(iv.to, seq) })
	return i
}

// room reports whether seq can be added without a gap too many.
func (s *dotSet) room(seq uint64) bool {
	if len(s.ahead) < maxIntervals || seq <= s.covered+1 {
		return true
	}
	i := s.search(seq)
	return i < len(s.ahead) && s.ahead[i].from <= seq || i > 0 && s.ahead[i-1].to == seq-1
}

// add marks seq as processed.
func (s *dotSet) add(seq uint64) {
	if s.has(seq) {
		return
	}
	s.printed = 0
	if s.shared {
		s.ahead, s.shared = slices.Clone(s.ahead), false
	}
	if seq == s.covered+1 {
		s.covered = seq
		s.absorb()
		return
	}
	i := s.search(seq)
	joinsLeft := i > 0 && s.ahead[i-1].to == seq-1
	joinsRight := i < len(s.ahead) && s.ahead[i].from == seq
	switch {
	case joinsLeft && joinsRight:
		s.ahead[i-1].to = s.ahead[i].to
		s.ahead = slices.Delete(s.ahead, i, i+1)
	case joinsLeft:
		s.ahead[i-1].to = seq
	case joinsRight:
		s.ahead[i].from = seq - 1
	default:
		s.ahead = slices.Insert(s.ahead, i, interval{seq - 1, seq})
	}
}

// absorb moves covered over the intervals that it has reached.
func (s *dotSet) absorb() {
	n := 0
	for n < len(s.ahead) && s.ahead[n].from <= s.covered {
		s.covered = max(s.covered, s.ahead[n].to)
		n++
	}
	s.ahead = slices.Delete(s.ahead, 0, n)
}

// merge adds all dots of t. Of more gaps than two sets may have, the last are
// forgotten; it says how many.
func (s *dotSet) merge(t *dotSet) (dropped int) {
	s.printed = 0
	s.covered = max(s.covered, t.covered)
	s.newest = max(s.newest, t.newest)
	a, b := s.ahead, t.ahead
	s.ahead, s.shared = make([]interval, 0, len(a)+len(b)), false
	for len(a)+len(b) > 0 {
		if len(a) == 0 || len(b) > 0 && b[0].from < a[0].from {
			a, b = b, a
		}
		iv := a[0]
		a = a[1:]
		if n := len(s.ahead); n > 0 && iv.from <= s.ahead[n-1].to {
			s.ahead[n-1].to = max(s.ahead[n-1].to, iv.to)
		} else {
			s.ahead = append(s.ahead, iv)
		}
	}
	s.absorb()
	if n := len(s.ahead) - 2*maxIntervals; n > 0 {
		s.ahead = s.ahead[:2*maxIntervals]
		return n
	}
	return 0
}

// upTo returns the dots up to most.
func (s *dotSet) upTo(most uint64) (t dotSet) {
	t = dotSet{covered: min(s.covered, most), newest: s.newest}
	for _, iv := range s.ahead {
		if iv.from < most {
			t.ahead = append(t.ahead, interval{iv.from, min(iv.to, most)})
		}
	}
	return t
}

// last returns the greatest seq.
func (s *dotSet) last() uint64 {
	if n := len(s.ahead); n > 0 {
		return s.ahead[n-1].to
	}
	return s.covered
}

// intervals lists all dots, ascending.
func (s *dotSet) intervals() []interval {
	if s.covered == 0 {
		return s.ahead
	}
	return append([]interval{{0, s.covered}}, s.ahead...)
}

// overdue is the last dot that t should have, if it lacks it. What is beyond t's last and not
// settled may still be on its way. What fills t's gaps isn't, as what came after it has arrived.
func (s *dotSet) overdue(t *dotSet) uint64 { return max(s.settled, t.last()) }

// minus lists the dots up to most that s has and t lacks, ascending.
func (s *dotSet) minus(t *dotSet, most uint64) (missing []interval) {
	have := t.intervals()
	for _, iv := range s.intervals() {
		iv.to = min(iv.to, most)
		for len(have) > 0 && have[0].to <= iv.from {
			have = have[1:]
		}
		for _, h := range have {
			if h.from >= iv.to {
				break
			}
			if iv.from < h.from {
				missing = append(missing, interval{iv.from, h.from})
			}
			iv.from = max(iv.from, h.to)
		}
		if iv.from < iv.to {
			missing = append(missing, iv)
		}
	}
	return missing
}

// run returns the processed interval that seq belongs to, or the zero interval.
func (s *dotSet) run(seq uint64) interval {
	if seq <= s.covered {
		return interval{0, s.covered}
	}
	if i := s.search(seq); i < len(s.ahead) && s.ahead[i].from < seq {
		return s.ahead[i]
	}
	return interval{}
}

// settle is called about once a second.
func (s *dotSet) settle() { s.settled, s.recent = s.recent, s.last() }

// print is a fingerprint of the origin's dots; 0 if there are none. It must always be given the
// same origin.
func (s *dotSet) print(origin uint64) uint64 {
	if s.printed != 0 || s.last() == 0 {
		return s.printed
	}
	var buf [64]byte
	b := binary.LittleEndian.AppendUint64(buf[:0], origin)
	b = binary.LittleEndian.AppendUint64(b, s.covered)
	for _, iv := range s.ahead {
		b = binary.LittleEndian.AppendUint64(b, iv.from)
		b = binary.LittleEndian.AppendUint64(b, iv.to)
	}
	s.printed = xxhash.Sum64(b)
	return s.printed
}
