package bcache

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// maxOrigins is how many origins a context keeps, see dotContext.trim.
const maxOrigins = 4096

const (
	// activeFor is for how long an origin that was heard is listed in pings; for the others
	// a fingerprint has to do.
	activeFor = time.Minute

	longAgo time.Duration = math.MinInt64
)

// A dotContext says which dots a node has processed, for every origin that it
// knows: the version vector of Scuttlebutt (van Renesse et al., "Efficient
// Reconciliation and Flow Control for Anti-Entropy Protocols", 2008). It isn't
// locked.
type dotContext struct {
	origins map[uint64]*dotSet
	live    map[uint64]bool // this node and its neighbours, which are never dropped
	most    int             // origins
	horizon horizon
	none    dotSet // stays empty
}

// A horizon stands for the origins that were dropped: those whose newest dots aren't
// younger than stamp. Nodes with equal horizons have dropped the same dots.
type horizon struct {
	stamp uint64
	print uint64 // of the dropped dotSets, combined by XOR
}

func (h horizon) less(i horizon) bool {
	return cmp.Or(cmp.Compare(h.stamp, i.stamp), cmp.Compare(h.print, i.print)) < 0
}

func newDotContext(self uint64, most int) *dotContext {
	return &dotContext{origins: map[uint64]*dotSet{self: {}}, live: map[uint64]bool{self: true}, most: most}
}

// get returns the dots of origin; an empty set, not to be changed, if there are none.
func (c *dotContext) get(origin uint64) *dotSet {
	if s := c.origins[origin]; s != nil {
		return s
	}
	return &c.none
}

// admits reports whether a dot of origin can be remembered; newest is the greatest stamp
// that is known of that origin.
func (c *dotContext) admits(origin, seq, newest uint64) bool {
	s := c.origins[origin]
	if s == nil {
		return newest > c.horizon.stamp || c.live[origin]
	}
	return s.room(seq)
}

// add marks a dot, which the context admits, as processed, and returns how many
// origins were dropped to make room for it.
func (c *dotContext) add(origin, seq, newest uint64, mono time.Duration) (dropped int) {
	s := c.origins[origin]
	isNew := s == nil
	if isNew {
		s = &dotSet{}
		c.origins[origin] = s
	}
	s.add(seq)
	s.newest = max(s.newest, newest)
	s.heard = mono
	if isNew {
		return c.trim()
	}
	return 0
}

// trim drops, while there are too many origins, those whose newest dots are oldest.
// All nodes drop the same ones, unless they differ in what they have processed; the
// horizon shows whether they do.
func (c *dotContext) trim() (dropped int) {
	over := len(c.origins) - c.most
	if over <= 0 {
		return 0
	}
	var stamps []uint64
	for o, s := range c.origins {
		if !c.live[o] {
			stamps = append(stamps, s.newest)
		}
	}
	if len(stamps) == 0 {
		return 0
	}
	slices.Sort(stamps)
	// Who was a neighbour until now may be behind the horizon: then it goes too.
	stamp := max(stamps[min(over, len(stamps))-1], c.horizon.stamp)
	return c.drop(horizon{stamp, c.printUpTo(stamp)})
}

// printUpTo is what a horizon of this stamp would have as its print.
func (c *dotContext) printUpTo(stamp uint64) uint64 {
	print := c.horizon.print
	for o, s := range c.origins {
		if s.newest <= stamp && !c.live[o] {
			print ^= s.print(o)
		}
	}
	return print
}

// drop makes h the horizon and drops what is behind it.
func (c *dotContext) drop(h horizon) (dropped int) {
	c.horizon = h
	for o, s := range c.origins {
		if s.newest <= h.stamp && !c.live[o] {
			delete(c.origins, o)
			dropped++
		}
	}
	return dropped
}

// matches reports whether another node has dropped exactly what this one has dropped or
// would drop at h; then it does. It isn't asked about a horizon that is less than the own one.
func (c *dotContext) matches(h horizon) bool {
	if h != c.horizon && c.printUpTo(h.stamp) != h.print {
		return false
	}
	c.drop(h)
	return true
}

// knowsBehind reports whether dots of origins behind a horizon were processed.
func (c *dotContext) knowsBehind(h horizon) bool {
	if c.horizon.stamp > 0 {
		return true
	}
	for o, s := range c.origins {
		if s.newest <= h.stamp && !c.live[o] {
			return true
		}
	}
	return false
}

// settle is called about once a second, see dotSet.
func (c *dotContext) settle() {
	for _, s := range c.origins {
		s.settle()
	}
}

// A contextEntry is one origin of a context on its way to another node.
type contextEntry struct {
	origin uint64
	dotSet // covered, ahead and newest
}

// list returns the origins' dots as they are now, sorted, and the fingerprint of those that were
// not heard since a time, which it leaves out. Gaps aren't copied: there may be half a million.
func (c *dotContext) list(since time.Duration) (entries []contextEntry, rest uint64) {
	for o, s := range c.origins {
		if s.heard < since {
			rest ^= s.print(o)
		} else if s.last() > 0 {
			s.shared = len(s.ahead) > 0
			now := dotSet{covered: s.covered, ahead: s.ahead, newest: s.newest}
			entries = append(entries, contextEntry{o, now})
		}
	}
	slices.SortFunc(entries, func(a, b contextEntry) int { return cmp.Compare(a.origin, b.origin) })
	return entries, rest
}

// restOf returns the fingerprint of all origins that aren't listed.
func (c *dotContext) restOf(listed []contextEntry) (rest uint64) {
	for o, s := range c.origins {
		if entryOf(listed, o) == nil {
			rest ^= s.print(o)
		}
	}
	return rest
}

// entryOf returns the dots of an origin in a list; nil if it isn't in it.
func entryOf(listed []contextEntry, origin uint64) *dotSet {
	compare := func(e contextEntry, o uint64) int { return cmp.Compare(e.origin, o) }
	i, ok := slices.BinarySearchFunc(listed, origin, compare)
	if !ok {
		return nil
	}
	return &listed[i].dotSet
}

// forget drops all dots of an origin: they will be got again.
func (c *dotContext) forget(origin uint64) { delete(c.origins, origin) }

// clamp lowers what is stamped later than a stamp is accepted now. It was taken over while this node's
// clock was ahead, and says how old something is, nothing else.
func (c *dotContext) clamp(latest uint64) {
	for _, s := range c.origins {
		s.newest = min(s.newest, latest)
	}
	c.horizon.stamp = min(c.horizon.stamp, latest)
}
