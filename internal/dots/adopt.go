package dots

// An Adoption merges another node's vector into this one's, origin by origin. There may be half a
// million gaps, so its caller lets others have the lock after each step: each dot may be adopted by
// itself.
//
// Stamps of a vector only say how old its origins are. Those from the future are taken over as the
// latest that isn't: one that was wrong would otherwise stay the youngest, or as the horizon keep all
// else out, for as long as it is ahead. Nor is a neighbour believed to have written more than it says
// itself.
type Adoption struct {
	vector  *Vector
	entries []Entry
	claimed map[uint64]uint64 // the last dot of an origin by its own word

	Unique  bool // what this node knows of origins that the other one has dropped, nobody can ask for
	Dropped int  // gaps too many
}

// Step merges origins until it has compared about so many intervals. It reports whether there may be
// more.
func (a *Adoption) Step(most int) bool {
	for work := 0; len(a.entries) > 0; {
		e := &a.entries[0]
		a.entries = a.entries[1:]
		if work += a.merge(e); work >= most {
			return true
		}
	}
	return false
}

// merge merges an origin, and returns how many intervals that took.
func (a *Adoption) merge(e *Entry) (work int) {
	v := a.vector
	if most, says := a.claimed[e.Origin]; says && e.Last() > most {
		e.Set = e.upTo(most)
	}
	s := v.Origins[e.Origin]
	if e.Origin == v.self || e.Last() == 0 ||
		s == nil && e.Newest <= v.Horizon.Stamp && !v.live[e.Origin] {
		return 0
	}
	if work = 8 + len(e.Ahead); s == nil {
		s = &Set{Heard: LongAgo} // it isn't listed in every ping
		v.Origins[e.Origin] = s
	} else {
		work += len(s.Ahead)
	}
	a.Dropped += s.merge(&e.Set)
	s.Print(e.Origin) // the next ping needs those of all, at once
	return work
}
