package dots

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
)

// MaxOrigins is how many origins a vector keeps, see Vector.Trim.
const MaxOrigins = 4096

const (
	// ActiveFor is for how long an origin that was heard is listed in pings; for the others
	// a fingerprint has to do.
	ActiveFor = time.Minute

	LongAgo time.Duration = math.MinInt64
)

// A Vector says which dots a node has processed, for every origin that it
// knows, as in Scuttlebutt (van Renesse et al., "Efficient
// Reconciliation and Flow Control for Anti-Entropy Protocols", 2008). It isn't
// locked.
type Vector struct {
	self    uint64
	Origins map[uint64]*Set
	live    map[uint64]bool // self and the neighbours, which are never dropped
	most    int             // origins
	Horizon Horizon
	none    Set // stays empty
}

// A Horizon stands for the origins that were dropped: those whose newest dots aren't
// younger than stamp. Nodes with equal horizons have dropped the same dots.
type Horizon struct {
	Stamp uint64
	Print uint64 // of the dropped Sets, combined by XOR
}

func (h Horizon) less(i Horizon) bool {
	return cmp.Or(cmp.Compare(h.Stamp, i.Stamp), cmp.Compare(h.Print, i.Print)) < 0
}

func NewVector(self uint64, most int) *Vector {
	return &Vector{
		self: self, most: most,
		Origins: map[uint64]*Set{self: {}}, live: map[uint64]bool{self: true},
	}
}

// Keep has an origin never dropped, Release has it dropped like others: a neighbour comes and goes.
func (v *Vector) Keep(origin uint64) { v.live[origin] = true }

func (v *Vector) Release(origin uint64) {
	if origin != v.self {
		delete(v.live, origin)
	}
}

// Get returns the dots of origin; an empty set, not to be changed, if there are none.
func (v *Vector) Get(origin uint64) *Set {
	if s := v.Origins[origin]; s != nil {
		return s
	}
	return &v.none
}

// Knows reports whether dots of origin were processed, or it is that of a neighbour, whose dots will
// come. Of others nothing is known: they may be behind the horizon, which doesn't say which dots that
// has.
func (v *Vector) Knows(origin uint64) bool { return v.Origins[origin] != nil || v.live[origin] }

// LacksOf reports whether another node has processed dots of an origin that this one hasn't, and could get:
// what is behind the horizon it has dropped, or would.
func (v *Vector) LacksOf(e *Entry) bool {
	s := v.Origins[e.Origin]
	switch {
	case e.Origin == v.self || e.Last() == 0:
		return false
	case s == nil:
		return e.Newest > v.Horizon.Stamp
	}
	missing := func(iv Interval) bool { return !s.HasAll(iv) }
	return !s.HasAll(Interval{0, e.Covered}) || slices.ContainsFunc(e.Ahead, missing)
}

// Admits reports whether a dot of origin can be remembered; newest is the greatest stamp
// that is known of that origin.
func (v *Vector) Admits(origin, seq, newest uint64) bool {
	s := v.Origins[origin]
	if s == nil {
		return newest > v.Horizon.Stamp || v.live[origin]
	}
	return s.room(seq)
}

// Add marks a dot, which the vector admits, as processed, and returns how many
// origins were dropped to make room for it.
func (v *Vector) Add(origin, seq, newest uint64, mono time.Duration) (dropped int) {
	s := v.Origins[origin]
	isNew := s == nil
	if isNew {
		s = &Set{}
		v.Origins[origin] = s
	}
	s.Add(seq)
	s.Newest = max(s.Newest, newest)
	s.Heard = mono
	if isNew {
		return v.Trim()
	}
	return 0
}

// Trim drops, while there are too many origins, those whose newest dots are oldest.
// All nodes drop the same ones, unless they differ in what they have processed; the
// horizon shows whether they do.
func (v *Vector) Trim() (dropped int) {
	over := len(v.Origins) - v.most
	if over <= 0 {
		return 0
	}
	var stamps []uint64
	for o, s := range v.Origins {
		if !v.live[o] {
			stamps = append(stamps, s.Newest)
		}
	}
	if len(stamps) == 0 {
		return 0
	}
	slices.Sort(stamps)
	// Who was a neighbour until now may be behind the horizon: then it goes too.
	stamp := max(stamps[min(over, len(stamps))-1], v.Horizon.Stamp)
	return v.drop(Horizon{stamp, v.PrintUpTo(stamp)})
}

// PrintUpTo is what a horizon of this stamp would have as its print.
func (v *Vector) PrintUpTo(stamp uint64) uint64 {
	sum := v.Horizon.Print
	for o, s := range v.Origins {
		if s.Newest <= stamp && !v.live[o] {
			sum ^= s.Print(o)
		}
	}
	return sum
}

// drop makes h the horizon and drops what is behind it.
func (v *Vector) drop(h Horizon) (dropped int) {
	v.Horizon = h
	for o, s := range v.Origins {
		if s.Newest <= h.Stamp && !v.live[o] {
			delete(v.Origins, o)
			dropped++
		}
	}
	return dropped
}

// matches reports whether another node has dropped exactly what this one has dropped or
// would drop at h; then it does. It isn't asked about a horizon that is less than the own one.
func (v *Vector) matches(h Horizon) bool {
	if h != v.Horizon && v.PrintUpTo(h.Stamp) != h.Print {
		return false
	}
	v.drop(h)
	return true
}

// Reconcile takes over what a neighbour has dropped, if it is the same as what this node would drop. If
// it isn't, they have diverged: one of the two lacks something for which there are no dots any more, and
// the one with the lesser horizon needs a full sync. A horizon from the future, later than latest, isn't
// believed: it would keep all that is older out.
func (v *Vector) Reconcile(h Horizon, latest uint64) (diverged bool) {
	return !h.less(v.Horizon) && h.Stamp <= latest && !v.matches(h)
}

// Lag is how old the newest write is that is known of an origin; -1 if there is none.
func (v *Vector) Lag(now delta.Instant, origin uint64) time.Duration {
	newest := v.Get(origin).Newest
	if newest == 0 {
		return -1
	}
	return time.Duration(max(now.Wall-delta.StampWall(newest), 0)) * time.Millisecond
}

// knowsBehind reports whether dots of origins behind a horizon were processed.
func (v *Vector) knowsBehind(h Horizon) bool {
	if v.Horizon.Stamp > 0 {
		return true
	}
	for o, s := range v.Origins {
		if s.Newest <= h.Stamp && !v.live[o] {
			return true
		}
	}
	return false
}

// Settle is called about once a second, see Set.
func (v *Vector) Settle() {
	for _, s := range v.Origins {
		s.settle()
	}
}

// An Entry is one origin of a vector on its way to another node.
type Entry struct {
	Origin uint64
	Set    // Covered, Ahead and Newest
}

// List returns the origins' dots as they are now, sorted, and the fingerprint of those that were
// not heard since a time, which it leaves out. Gaps aren't copied: there may be half a million.
func (v *Vector) List(since time.Duration) (entries []Entry, rest uint64) {
	for o, s := range v.Origins {
		if s.Heard < since {
			rest ^= s.Print(o)
		} else if s.Last() > 0 {
			s.shared = len(s.Ahead) > 0
			now := Set{Covered: s.Covered, Ahead: s.Ahead, Newest: s.Newest}
			entries = append(entries, Entry{o, now})
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Origin, b.Origin) })
	return entries, rest
}

// RestOf returns the fingerprint of all origins that aren't listed.
func (v *Vector) RestOf(listed []Entry) (rest uint64) {
	for o, s := range v.Origins {
		if entryOf(listed, o) == nil {
			rest ^= s.Print(o)
		}
	}
	return rest
}

// entryOf returns the dots of an origin in a list; nil if it isn't in it.
func entryOf(listed []Entry, origin uint64) *Set {
	compare := func(e Entry, o uint64) int { return cmp.Compare(e.Origin, o) }
	i, ok := slices.BinarySearchFunc(listed, origin, compare)
	if !ok {
		return nil
	}
	return &listed[i].Set
}

// Forget drops all dots of an origin: they will be got again.
func (v *Vector) Forget(origin uint64) { delete(v.Origins, origin) }

// Clamp lowers what is stamped later than a stamp is accepted now. It was taken over while this node's
// clock was ahead, and says how old something is, nothing else.
func (v *Vector) Clamp(latest uint64) {
	for _, s := range v.Origins {
		s.Newest = min(s.Newest, latest)
	}
	v.Horizon.Stamp = min(v.Horizon.Stamp, latest)
}

// HasGaps reports whether dots are processed of which an earlier one isn't.
func (v *Vector) HasGaps() bool {
	for _, s := range v.Origins {
		if len(s.Ahead) > 0 {
			return true
		}
	}
	return false
}

// Adopt begins an adoption; latest is the greatest stamp that isn't from the future.
func (v *Vector) Adopt(
	entries []Entry, h Horizon, latest uint64, claimed map[uint64]uint64,
) *Adoption {
	h.Stamp = min(h.Stamp, latest)
	a := &Adoption{vector: v, entries: entries, claimed: claimed}
	behind := v.Horizon.less(h)
	a.Unique = behind && v.knowsBehind(h) && v.PrintUpTo(h.Stamp) != h.Print
	for i := range entries {
		e := &entries[i]
		e.Newest = min(e.Newest, latest)
		if s := v.Origins[e.Origin]; s != nil {
			s.Newest = max(s.Newest, e.Newest)
		}
	}
	if behind {
		v.drop(h)
	}
	return a
}

// Compare begins a comparison. With all, also what may still be on its way is listed: who is sent a part
// of it would have floors raised that the rest doesn't need.
func (v *Vector) Compare(theirs Claim, all bool) *Comparison {
	return &Comparison{vector: v, theirs: theirs, all: all, origins: slices.Sorted(maps.Keys(v.Origins))}
}
