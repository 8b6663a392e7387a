package bcache

// An adoption merges another node's vector into this one's, origin by origin. There may be half a
// million gaps, so its caller lets others have the lock after each step: each dot may be adopted by
// itself.
//
// Stamps of a vector only say how old its origins are. Those from the future are taken over as the
// latest that isn't: one that was wrong would otherwise stay the youngest, or as the horizon keep all
// else out, for as long as it is ahead. Nor is a neighbour believed to have written more than it says
// itself.
type adoption struct {
	vector  *versionVector
	entries []vectorEntry
	claimed map[uint64]uint64 // the last dot of an origin by its own word

	unique  bool // what this node knows of origins that the other one has dropped, nobody can ask for
	dropped int  // gaps too many
}

// adopt begins an adoption; latest is the greatest stamp that isn't from the future.
func (v *versionVector) adopt(
	entries []vectorEntry, h horizon, latest uint64, claimed map[uint64]uint64,
) *adoption {
	h.stamp = min(h.stamp, latest)
	a := &adoption{vector: v, entries: entries, claimed: claimed}
	behind := v.horizon.less(h)
	a.unique = behind && v.knowsBehind(h) && v.printUpTo(h.stamp) != h.print
	for i := range entries {
		e := &entries[i]
		e.newest = min(e.newest, latest)
		if s := v.origins[e.origin]; s != nil {
			s.newest = max(s.newest, e.newest)
		}
	}
	if behind {
		v.drop(h)
	}
	return a
}

// step merges origins until it has compared about so many intervals. It reports whether there may be
// more.
func (a *adoption) step(most int) bool {
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
func (a *adoption) merge(e *vectorEntry) (work int) {
	v := a.vector
	if most, says := a.claimed[e.origin]; says && e.last() > most {
		e.dotSet = e.upTo(most)
	}
	s := v.origins[e.origin]
	if e.origin == v.self || e.last() == 0 ||
		s == nil && e.newest <= v.horizon.stamp && !v.live[e.origin] {
		return 0
	}
	if work = 8 + len(e.ahead); s == nil {
		s = &dotSet{heard: longAgo} // it isn't listed in every ping
		v.origins[e.origin] = s
	} else {
		work += len(s.ahead)
	}
	a.dropped += s.merge(&e.dotSet)
	s.print(e.origin) // the next ping needs those of all, at once
	return work
}
