package store

import (
	"slices"
	"sync/atomic"
)

// An index finds the entries of a shard by their keys. Reads take no lock and
// write nothing, so that they cost the same on all processors at once; whoever changes it holds
// the shard's lock.
//
// It is a hash table with linear probing. What is removed leaves no mark: what lies behind it
// moves up (Knuth, The Art of Computer Programming, vol. 3, 6.4, algorithm R). A reader without
// the lock may look where an entry no longer is and not yet where it is now. So what it finds is
// there, but what it doesn't find may be there too, if something moved meanwhile: see still.
type index struct {
	slots atomic.Pointer[[]slot] // nil, or at most three quarters of them are taken
	moves atomic.Uint32          // times that something was removed, twice; odd: it is being done
	n     int                    // entries
}

// still reports whether nothing has moved since moves was read: then what a search in between didn't find
// wasn't there.
func (x *index) still(moves uint32) bool { return moves&1 == 0 && x.moves.Load() == moves }

// A slot has what a search and a sweep need to know of an entry, so that they needn't fetch a thousand
// scattered entries to find the few that they look for. It takes 16 bytes of the memory of each entry.
type slot struct {
	word atomic.Uint64         // its tag, and in the lower half its end, see ends
	e    atomic.Pointer[Entry] // nil: free
}

func (s *slot) tag() tag { return tag(s.word.Load() >> 32) }

func (s *slot) end() uint32 { return uint32(s.word.Load()) }

// A tag is what a shard knows of a hash, never 0. Two keys may have the same one.
type tag uint32

// tagOf is the tag of a hash. The low bits of the hash have chosen the shard.
func tagOf(hash uint64) tag { return tag(max(hash>>32, 1)) }

const minSlots = 8

// home is where the search for a tag begins.
func home(t tag, slots []slot) int { return int(uint64(t) * uint64(len(slots)) >> 32) }

// after is the place that follows a place.
func after(i int, slots []slot) int {
	if i++; i < len(slots) {
		return i
	}
	return 0
}

// find returns the entry of a key, or nil.
func (x *index) find(t tag, key string) *Entry {
	p := x.slots.Load()
	if p == nil {
		return nil
	}
	slots := *p
	for i := home(t, slots); ; i = after(i, slots) {
		s := &slots[i]
		e := s.e.Load()
		if e == nil || s.tag() == t && e.Key == key {
			return e
		}
	}
}

// either returns the entry of a key that lies under a tag or its twin, whichever comes first; nil tells
// nothing, as the two may have places of their own.
func (x *index) either(t tag, key string) *Entry {
	p := x.slots.Load()
	if p == nil {
		return nil
	}
	slots := *p
	for i := home(t, slots); ; i = after(i, slots) {
		s := &slots[i]
		e := s.e.Load()
		if e == nil || (s.tag()^t)&^twinBit == 0 && e.Key == key {
			return e
		}
	}
}

// first returns an entry with a tag, or nil. As a rule that is the one of the key.
func (x *index) first(t tag) *Entry {
	return x.search(t, func(*Entry) bool { return true })
}

// at returns the entry with a tag that has a place in the order, or nil. It needs the lock.
func (x *index) at(t tag, place uint32) *Entry {
	return x.search(t, func(e *Entry) bool { return e.used.Load()&placeBits == place })
}

func (x *index) search(t tag, is func(*Entry) bool) *Entry {
	p := x.slots.Load()
	if p == nil {
		return nil
	}
	slots := *p
	for i := home(t, slots); ; i = after(i, slots) {
		s := &slots[i]
		e := s.e.Load()
		if e == nil || s.tag() == t && is(e) {
			return e
		}
	}
}

// put holds e, which has this end, in place of old, or as a new entry if that is nil.
func (x *index) put(t tag, old, e *Entry, end uint32) {
	p := x.slots.Load()
	if old == nil {
		if p == nil || (x.n+1)*4 > len(*p)*3 {
			p = x.resize(max(x.len()+x.len()/4, minSlots))
		}
		x.n++
	}
	s := &(*p)[placeOf(t, old, *p)]
	s.word.Store(uint64(t)<<32 | uint64(end)) // first: that of a free slot isn't looked at
	s.e.Store(e)
}

// placeOf returns where an entry is; for nil, the place that it would take.
func placeOf(t tag, e *Entry, slots []slot) int {
	i := home(t, slots)
	for slots[i].e.Load() != e {
		i = after(i, slots)
	}
	return i
}

// remove removes an entry that is there.
func (x *index) remove(t tag, e *Entry) {
	x.moves.Add(1)
	defer x.moves.Add(1)
	slots := *x.slots.Load()
	gap := placeOf(t, e, slots)
	for i := after(gap, slots); slots[i].e.Load() != nil; i = after(i, slots) {
		from := home(slots[i].tag(), slots)
		if distance(from, i, slots) < distance(gap, i, slots) {
			continue // its search begins behind the gap
		}
		slots[gap].word.Store(slots[i].word.Load())
		slots[gap].e.Store(slots[i].e.Load())
		gap = i
	}
	slots[gap].e.Store(nil)
	slots[gap].word.Store(0)
	if x.n--; x.n*8 < len(slots) && len(slots) > 2*minSlots {
		x.resize(len(slots) / 2)
	}
}

// distance is how many steps of a search lead from one place to another.
func distance(from, to int, slots []slot) int {
	if to < from {
		to += len(slots)
	}
	return to - from
}

func (x *index) len() int {
	if p := x.slots.Load(); p != nil {
		return len(*p)
	}
	return 0
}

// resize makes room for n slots, and for those that the allocator would waste.
func (x *index) resize(n int) *[]slot {
	slots := slices.Grow([]slot(nil), n)
	slots = slots[:cap(slots)]
	for i := range x.len() {
		old := &(*x.slots.Load())[i]
		if e := old.e.Load(); e != nil {
			s := &slots[placeOf(old.tag(), nil, slots)]
			s.word.Store(old.word.Load())
			s.e.Store(e)
		}
	}
	x.slots.Store(&slots)
	return &slots
}

// all yields every entry and its tag, in no order, but in the same one on every run. It needs
// the lock.
func (x *index) all(yield func(*Entry, tag) bool) {
	p := x.slots.Load()
	if p == nil {
		return
	}
	for i := range *p {
		s := &(*p)[i]
		if e := s.e.Load(); e != nil && !yield(e, s.tag()) {
			return
		}
	}
}

// clear removes everything.
func (x *index) clear() {
	x.slots.Store(nil)
	x.n = 0
}

// trim gives an empty index' memory back.
func (x *index) trim() {
	if x.n == 0 {
		x.clear()
	}
}
