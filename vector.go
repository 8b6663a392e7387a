package bcache

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// maxOrigins is how many origins a vector keeps, see versionVector.trim.
const maxOrigins = 4096

const (
	// activeFor is for how long an origin that was heard is listed in pings; for the others
	// a fingerprint has to do.
	activeFor = time.Minute

	longAgo time.Duration = math.MinInt64
)

// A versionVector says which dots a node has processed, for every origin that it
// knows, as in Scuttlebutt (van Renesse et al., "Efficient
// Reconciliation and Flow Control for Anti-Entropy Protocols", 2008). It isn't
// locked.
type versionVector struct {
	self    uint64
	origins map[uint64]*dotSet
	live    map[uint64]bool // self and the neighbours, which are never dropped
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

func newVersionVector(self uint64, most int) *versionVector {
	return &versionVector{
		self: self, most: most,
		origins: map[uint64]*dotSet{self: {}}, live: map[uint64]bool{self: true},
	}
}

// keep has an origin never dropped, release has it dropped like others: a neighbour comes and goes.
func (v *versionVector) keep(origin uint64) { v.live[origin] = true }

func (v *versionVector) release(origin uint64) {
	if origin != v.self {
		delete(v.live, origin)
	}
}

// get returns the dots of origin; an empty set, not to be changed, if there are none.
func (v *versionVector) get(origin uint64) *dotSet {
	if s := v.origins[origin]; s != nil {
		return s
	}
	return &v.none
}

// admits reports whether a dot of origin can be remembered; newest is the greatest stamp
// that is known of that origin.
func (v *versionVector) admits(origin, seq, newest uint64) bool {
	s := v.origins[origin]
	if s == nil {
		return newest > v.horizon.stamp || v.live[origin]
	}
	return s.room(seq)
}

// add marks a dot, which the vector admits, as processed, and returns how many
// origins were dropped to make room for it.
func (v *versionVector) add(origin, seq, newest uint64, mono time.Duration) (dropped int) {
	s := v.origins[origin]
	isNew := s == nil
	if isNew {
		s = &dotSet{}
		v.origins[origin] = s
	}
	s.add(seq)
	s.newest = max(s.newest, newest)
	s.heard = mono
	if isNew {
		return v.trim()
	}
	return 0
}

// trim drops, while there are too many origins, those whose newest dots are oldest.
// All nodes drop the same ones, unless they differ in what they have processed; the
// horizon shows whether they do.
func (v *versionVector) trim() (dropped int) {
	over := len(v.origins) - v.most
	if over <= 0 {
		return 0
	}
	var stamps []uint64
	for o, s := range v.origins {
		if !v.live[o] {
			stamps = append(stamps, s.newest)
		}
	}
	if len(stamps) == 0 {
		return 0
	}
	slices.Sort(stamps)
	// Who was a neighbour until now may be behind the horizon: then it goes too.
	stamp := max(stamps[min(over, len(stamps))-1], v.horizon.stamp)
	return v.drop(horizon{stamp, v.printUpTo(stamp)})
}

// printUpTo is what a horizon of this stamp would have as its print.
func (v *versionVector) printUpTo(stamp uint64) uint64 {
	print := v.horizon.print
	for o, s := range v.origins {
		if s.newest <= stamp && !v.live[o] {
			print ^= s.print(o)
		}
	}
	return print
}

// drop makes h the horizon and drops what is behind it.
func (v *versionVector) drop(h horizon) (dropped int) {
	v.horizon = h
	for o, s := range v.origins {
		if s.newest <= h.stamp && !v.live[o] {
			delete(v.origins, o)
			dropped++
		}
	}
	return dropped
}

// matches reports whether another node has dropped exactly what this one has dropped or
// would drop at h; then it does. It isn't asked about a horizon that is less than the own one.
func (v *versionVector) matches(h horizon) bool {
	if h != v.horizon && v.printUpTo(h.stamp) != h.print {
		return false
	}
	v.drop(h)
	return true
}

// reconcile takes over what a neighbour has dropped, if it is the same as what this node would drop. If it
// isn't, they have diverged: one of the two lacks something for which there are no dots any more, and the
// one with the lesser horizon needs a full sync. A horizon from the future, later than latest, isn't
// believed: it would keep all that is older out.
func (v *versionVector) reconcile(h horizon, latest uint64) (diverged bool) {
	return !h.less(v.horizon) && h.stamp <= latest && !v.matches(h)
}

// lag is how old the newest write is that is known of an origin; -1 if there is none.
func (v *versionVector) lag(now instant, origin uint64) time.Duration {
	newest := v.get(origin).newest
	if newest == 0 {
		return -1
	}
	return time.Duration(max(now.wall-stampWall(newest), 0)) * time.Millisecond
}

// knowsBehind reports whether dots of origins behind a horizon were processed.
func (v *versionVector) knowsBehind(h horizon) bool {
	if v.horizon.stamp > 0 {
		return true
	}
	for o, s := range v.origins {
		if s.newest <= h.stamp && !v.live[o] {
			return true
		}
	}
	return false
}

// settle is called about once a second, see dotSet.
func (v *versionVector) settle() {
	for _, s := range v.origins {
		s.settle()
	}
}

// A contextEntry is one origin of a vector on its way to another node.
type vectorEntry struct {
	origin uint64
	dotSet // covered, ahead and newest
}

// list returns the origins' dots as they are now, sorted, and the fingerprint of those that were
// not heard since a time, which it leaves out. Gaps aren't copied: there may be half a million.
func (v *versionVector) list(since time.Duration) (entries []vectorEntry, rest uint64) {
	for o, s := range v.origins {
		if s.heard < since {
			rest ^= s.print(o)
		} else if s.last() > 0 {
			s.shared = len(s.ahead) > 0
			now := dotSet{covered: s.covered, ahead: s.ahead, newest: s.newest}
			entries = append(entries, vectorEntry{o, now})
		}
	}
	slices.SortFunc(entries, func(a, b vectorEntry) int { return cmp.Compare(a.origin, b.origin) })
	return entries, rest
}

// restOf returns the fingerprint of all origins that aren't listed.
func (v *versionVector) restOf(listed []vectorEntry) (rest uint64) {
	for o, s := range v.origins {
		if entryOf(listed, o) == nil {
			rest ^= s.print(o)
		}
	}
	return rest
}

// entryOf returns the dots of an origin in a list; nil if it isn't in it.
func entryOf(listed []vectorEntry, origin uint64) *dotSet {
	compare := func(e vectorEntry, o uint64) int { return cmp.Compare(e.origin, o) }
	i, ok := slices.BinarySearchFunc(listed, origin, compare)
	if !ok {
		return nil
	}
	return &listed[i].dotSet
}

// forget drops all dots of an origin: they will be got again.
func (v *versionVector) forget(origin uint64) { delete(v.origins, origin) }

// clamp lowers what is stamped later than a stamp is accepted now. It was taken over while this node's
// clock was ahead, and says how old something is, nothing else.
func (v *versionVector) clamp(latest uint64) {
	for _, s := range v.origins {
		s.newest = min(s.newest, latest)
	}
	v.horizon.stamp = min(v.horizon.stamp, latest)
}
