package bcache

import (
	"maps"
	"slices"
)

// A vectorClaim is what another node says that it has processed.
type vectorClaim struct {
	origin  uint64 // its own: it lacks nothing of that
	entries []vectorEntry
	all     bool // of every origin; otherwise what isn't listed is equal, or is asked for later
	horizon horizon
}

// originDots are some dots of an origin.
type originDots struct {
	origin uint64
	dots   []interval

	// The other node has as many gaps as it may: they have to be filled from below before it takes
	// anything beyond them.
	crowded bool
}

// A comparison finds what another node lacks, origin by origin, ascending. There may be half a million
// gaps, so its caller lets others have the lock now and then, see due. That does no harm: what changes
// meanwhile is seen or isn't, as if it had come before or after.
type comparison struct {
	vector  *versionVector
	theirs  vectorClaim
	all     bool // what may still be on its way counts too
	origins []uint64
	origin  uint64 // the one that is looked at
	work    int    // intervals since others had the lock
}

// compare begins a comparison. With all, also what may still be on its way is listed: who is sent a part
// of it would have floors raised that the rest doesn't need.
func (v *versionVector) compare(theirs vectorClaim, all bool) *comparison {
	return &comparison{vector: v, theirs: theirs, all: all, origins: slices.Sorted(maps.Keys(v.origins))}
}

// next goes on to the next origin, and reports whether there is one.
func (c *comparison) next() bool {
	if len(c.origins) == 0 {
		return false
	}
	c.origin, c.origins = c.origins[0], c.origins[1:]
	return true
}

// due reports whether so much has been compared since the last time that others should have the lock.
func (c *comparison) due(most int) bool {
	if c.work < most {
		return false
	}
	c.work = 0
	return true
}

// lacking lists what the other node lacks of the origin, if anything.
func (c *comparison) lacking() (m originDots) {
	v, o := c.vector, c.origin
	mine, theirs := v.get(o), entryOf(c.theirs.entries, o)
	switch {
	case o == c.theirs.origin || theirs == nil && !c.theirs.all:
		return m
	case theirs == nil && mine.newest <= c.theirs.horizon.stamp && o != v.self:
		return m // the other node has dropped it; of its neighbours it drops none
	case theirs == nil:
		theirs = &v.none
	}
	most := mine.last()
	if !c.all {
		most = mine.overdue(theirs)
	}
	c.work += 8 + len(mine.ahead) + len(theirs.ahead)
	return originDots{o, mine.minus(theirs, most), len(theirs.ahead) >= maxIntervals}
}
