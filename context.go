package bcache

import (
	"cmp"
	"slices"
	"time"
)

const (
	maxOrigins   = 4096 // whose contexts are kept; of those that left, the longest unheard go first
	maxIntervals = 128  // remembered beyond a gap, per origin
)

// A dotSet is the set of one origin's dots that this node has processed:
// everything up to covered, and beyond a gap what the intervals say. It is one
// entry of a version vector with exceptions (Malkhi, Terry, "Concise Version
// Vectors in WinFS", 2005).
type dotSet struct {
	covered uint64
	ahead   []interval // ascending, disjoint, not adjacent, all beyond covered+1
	heard   time.Duration
}

// An interval is the dots (from, to].
type interval struct{ from, to uint64 }

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

// add marks seq as processed. It returns false if there are too many gaps to
// remember every dot: then a forgotten one will come again, which does no harm.
func (s *dotSet) add(seq uint64) bool {
	if s.has(seq) {
		return true
	}
	if seq == s.covered+1 {
		s.covered = seq
		if len(s.ahead) > 0 && s.ahead[0].from == seq {
			s.covered = s.ahead[0].to
			s.ahead = slices.Delete(s.ahead, 0, 1)
		}
		return true
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
	case len(s.ahead) >= maxIntervals:
		// The far ones are the last to be needed, but the last of all is what
		// arrives now, and will go on.
		const victim = maxIntervals - 2
		s.ahead = slices.Delete(s.ahead, victim, victim+1)
		if i > victim {
			i--
		}
		s.ahead = slices.Insert(s.ahead, i, interval{seq - 1, seq})
		return false
	default:
		s.ahead = slices.Insert(s.ahead, i, interval{seq - 1, seq})
	}
	return true
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

// A dotContext says which dots a node has processed, for every origin that it
// knows: the version vector of Scuttlebutt (van Renesse et al., "Efficient
// Reconciliation and Flow Control for Anti-Entropy Protocols", 2008). It isn't
// locked.
type dotContext struct {
	origins map[uint64]*dotSet
	live    map[uint64]bool // this node and its neighbours, who are never dropped
}

func newDotContext(self uint64) *dotContext {
	return &dotContext{origins: map[uint64]*dotSet{self: {}}, live: map[uint64]bool{self: true}}
}

// of returns the dots of origin, and whether another origin was dropped to make
// room for it.
func (c *dotContext) of(origin uint64, mono time.Duration) (s *dotSet, dropped bool) {
	s = c.origins[origin]
	if s == nil {
		if len(c.origins) >= maxOrigins {
			c.dropLongestUnheard()
			dropped = true
		}
		s = &dotSet{}
		c.origins[origin] = s
	}
	s.heard = mono
	return s, dropped
}

func (c *dotContext) dropLongestUnheard() {
	var victim uint64
	var since time.Duration
	for o, s := range c.origins { // the minimum doesn't depend on the order
		if c.live[o] {
			continue
		}
		if victim == 0 || s.heard < since || s.heard == since && o < victim {
			victim, since = o, s.heard
		}
	}
	delete(c.origins, victim)
}
