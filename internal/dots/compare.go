package dots

// A Claim is what another node says that it has processed.
type Claim struct {
	Origin  uint64 // its own: it lacks nothing of that
	Entries []Entry
	All     bool // of every origin; otherwise what isn't listed is equal, or is asked for later
	Horizon Horizon

	// The vector's own dots up to this one were written before the other node was connected: so none of
	// them is on its way to it.
	Before uint64
}

// OriginDots are some dots of an origin.
type OriginDots struct {
	Origin uint64
	Dots   []Interval

	// The other node has as many gaps as it may: they have to be filled from below before it takes
	// anything beyond them.
	Crowded bool
}

// A Comparison finds what another node lacks, origin by origin, ascending. There may be half a million
// gaps, so its caller lets others have the lock now and then, see Due. That does no harm: what changes
// meanwhile is seen or isn't, as if it had come before or after.
type Comparison struct {
	vector  *Vector
	theirs  Claim
	all     bool // what may still be on its way counts too
	origins []uint64
	origin  uint64 // the one that is looked at
	work    int    // intervals since others had the lock
}

// Next goes on to the next origin, and reports whether there is one.
func (c *Comparison) Next() bool {
	if len(c.origins) == 0 {
		return false
	}
	c.origin, c.origins = c.origins[0], c.origins[1:]
	return true
}

// Due reports whether so much has been compared since the last time that others should have the lock.
func (c *Comparison) Due(most int) bool {
	if c.work < most {
		return false
	}
	c.work = 0
	return true
}

// Lacking lists what the other node lacks of the origin, if anything.
func (c *Comparison) Lacking() (m OriginDots) {
	v, o := c.vector, c.origin
	mine, theirs := v.Get(o), entryOf(c.theirs.Entries, o)
	switch {
	case o == c.theirs.Origin || theirs == nil && !c.theirs.All:
		return m
	case theirs == nil && mine.Newest <= c.theirs.Horizon.Stamp && o != v.self:
		return m // the other node has dropped it; of its neighbours it drops none
	case theirs == nil:
		theirs = &v.none
	}
	most := mine.Last()
	if !c.all {
		if most = mine.overdue(theirs); o == v.self {
			most = max(most, c.theirs.Before)
		}
	}
	c.work += 8 + len(mine.Ahead) + len(theirs.Ahead)
	return OriginDots{o, mine.minus(theirs, most), len(theirs.Ahead) >= MaxIntervals}
}

// Beyond returns what this node has processed of the origin, if the other node lacks any of that, however
// young it is.
func (c *Comparison) Beyond() (e Entry, lacks bool) {
	v, o := c.vector, c.origin
	mine, theirs := v.Get(o), entryOf(c.theirs.Entries, o)
	switch {
	case o == c.theirs.Origin || theirs == nil && !c.theirs.All:
		return Entry{}, false
	case theirs == nil:
		theirs = &v.none
	}
	c.work += 8 + len(mine.Ahead) + len(theirs.Ahead)
	if len(mine.minus(theirs, mine.Last())) == 0 {
		return Entry{}, false
	}
	return Entry{o, mine.Copy()}, true
}

// Oldest takes the first block of dots out of what is missing of an origin.
func (m *OriginDots) Oldest(log *Log) (block OriginDots) {
	iv := &m.Dots[0]
	block = OriginDots{Origin: m.Origin, Dots: []Interval{*iv}}
	at, _, ok := log.Next(m.Origin, iv.From+1, iv.To)
	if ok && iv.To-at >= pullBlock {
		block.Dots[0].To = at + pullBlock - 1
		iv.From = block.Dots[0].To
	} else {
		m.Dots = m.Dots[1:]
	}
	return block
}

const pullBlock = 256 // dots of an origin in a row
