package store

import (
	"sync/atomic"
)

// An index finds the entries of a shard by the hash of their keys. Reads take no lock and
// write nothing, so that they cost the same on all processors at once; whoever changes it holds
// the shard's lock.
//
// It is a hash table with linear probing. What is removed leaves no mark: what lies behind it
// moves up (Knuth, The Art of Computer Programming, vol. 3, 6.4, algorithm R). A reader without
// the lock may look where an entry no longer is and not yet where it is now. So what it finds is
// there, but what it doesn't find may be there too: only a look under the lock tells.
type index struct {
	slots atomic.Pointer[[]slot] // nil, or a power of two of them; at most three quarters are taken
	n     int                    // entries

	// ends is when the entry of each slot is of no more use; 0 is never. It is nil until one has
	// an end, and for those who hold the lock. They lie side by side in memory: a sweep doesn't
	// have to fetch a thousand scattered entries to find the few that have expired.
	ends []int64
}

type slot struct {
	hash atomic.Uint64
	e    atomic.Pointer[Entry] // nil: free
}

const minSlots = 8

// home is where the search for a hash begins. The low bits have chosen the shard.
func home(hash uint64, slots []slot) int { return int(hash>>32) & (len(slots) - 1) }

// find returns the entry of a hash, or nil. Without the lock the entry may be that of another
// hash.
func (x *index) find(hash uint64) *Entry {
	p := x.slots.Load()
	if p == nil {
		return nil
	}
	slots := *p
	for i := home(hash, slots); ; i = (i + 1) & (len(slots) - 1) {
		s := &slots[i&(len(slots)-1)]
		e := s.e.Load()
		if e == nil || s.hash.Load() == hash {
			return e
		}
	}
}

// put makes e, which is of no more use at end, the entry of a hash.
func (x *index) put(hash uint64, e *Entry, end int64) {
	p := x.slots.Load()
	if p == nil || (x.n+1)*4 > len(*p)*3 {
		p = x.resize(max(2*x.len(), minSlots))
	}
	i := free(*p, hash)
	s := &(*p)[i]
	if s.e.Load() == nil {
		x.n++
	}
	s.hash.Store(hash) // first: a free slot's hash isn't looked at
	s.e.Store(e)
	if x.ends == nil && end != 0 {
		x.ends = make([]int64, len(*p))
	}
	if x.ends != nil {
		x.ends[i] = end
	}
}

// free returns the place of a hash, or the one that it would take.
func free(slots []slot, hash uint64) int {
	for i := home(hash, slots); ; i = (i + 1) & (len(slots) - 1) {
		if s := &slots[i]; s.e.Load() == nil || s.hash.Load() == hash {
			return i
		}
	}
}

// at returns the entry in a place, or nil.
func (x *index) at(i int) *Entry { return (*x.slots.Load())[i].e.Load() }

// remove removes a hash that is there.
func (x *index) remove(hash uint64) {
	slots := *x.slots.Load()
	gap := home(hash, slots)
	for slots[gap].hash.Load() != hash {
		gap = (gap + 1) & (len(slots) - 1)
	}
	for i := (gap + 1) & (len(slots) - 1); slots[i].e.Load() != nil; i = (i + 1) & (len(slots) - 1) {
		h := slots[i].hash.Load()
		if (i-home(h, slots))&(len(slots)-1) < (i-gap)&(len(slots)-1) {
			continue // its search begins behind the gap
		}
		slots[gap].hash.Store(h)
		slots[gap].e.Store(slots[i].e.Load())
		if x.ends != nil {
			x.ends[gap] = x.ends[i]
		}
		gap = i
	}
	slots[gap].e.Store(nil)
	if x.ends != nil {
		x.ends[gap] = 0
	}
	if x.n--; x.n*8 < len(slots) && len(slots) > minSlots {
		x.resize(len(slots) / 2)
	}
}

func (x *index) len() int {
	if p := x.slots.Load(); p != nil {
		return len(*p)
	}
	return 0
}

func (x *index) resize(n int) *[]slot {
	slots := make([]slot, n)
	var ends []int64
	if x.ends != nil {
		ends = make([]int64, n)
	}
	for i := range x.len() {
		old := &(*x.slots.Load())[i]
		if old.e.Load() == nil {
			continue
		}
		at := free(slots, old.hash.Load())
		slots[at].hash.Store(old.hash.Load())
		slots[at].e.Store(old.e.Load())
		if ends != nil {
			ends[at] = x.ends[i]
		}
	}
	x.ends = ends
	x.slots.Store(&slots)
	return &slots
}

// all yields every entry and its hash, in no order, but in the same one on every run. It needs
// the lock.
func (x *index) all(yield func(*Entry, uint64) bool) {
	p := x.slots.Load()
	if p == nil {
		return
	}
	for i := range *p {
		s := &(*p)[i]
		if e := s.e.Load(); e != nil && !yield(e, s.hash.Load()) {
			return
		}
	}
}

// clear removes everything.
func (x *index) clear() {
	x.slots.Store(nil)
	x.n, x.ends = 0, nil
}

// trim gives an empty index' memory back.
func (x *index) trim() {
	if x.n == 0 {
		x.clear()
	}
}
