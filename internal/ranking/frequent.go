package ranking

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"slices"
)

// A Frequent finds the keys that come most often by the algorithm Space-Saving (Metwally, Agrawal, El
// Abbadi: "Efficient Computation of Frequent and Top-k Elements in Data Streams", ICDT 2005). It has so
// many counters. While there are more keys than counters, a new key takes over the counter with the
// least count and goes on from there. So no count is too low, and it is known by how much it may be too
// high. Of N keys that came, each that came more than N/n times has one of n counters.
//
// It has no lock. Make one with NewFrequent.
type Frequent struct {
	seed     maphash.Seed
	most     int
	total    uint64
	counters []counter
	heap     []int          // numbers of counters; the one with the least count comes first
	of       map[uint64]int // hash of a key: the number of its counter
}

type counter struct {
	hash        uint64
	key         []byte // as keep has it
	count, over uint64
	place       int // in the heap
}

// A Count is how often a key came: no more often than Count, and no less often than Count - Error.
type Count struct {
	Key          string // of a key of more than 256 bytes the beginning, and "…"
	Count, Error uint64
}

// NewFrequent makes one of so many counters, at least 1. Each takes up to 0.4 KiB, from when it is used.
func NewFrequent(counters int) *Frequent {
	f := &Frequent{seed: maphash.MakeSeed(), most: max(counters, 1)}
	f.Reset()
	return f
}

// Add counts a key. It keeps no part of the string. If the key has a counter it allocates nothing.
func (f *Frequent) Add(key string) {
	f.total++
	hash := maphash.String(f.seed, key)
	i, ok := f.of[hash]
	if !ok {
		i = f.counterFor(hash, key)
	}
	f.counters[i].count++
	f.sink(f.counters[i].place)
}

// counterFor gives a key that has no counter one, and returns its number.
func (f *Frequent) counterFor(hash uint64, key string) int {
	i := len(f.counters)
	if i < f.most {
		f.counters = append(f.counters, counter{place: i})
		f.heap = append(f.heap, i)
		f.rise(i)
	} else {
		i = f.heap[0]
		delete(f.of, f.counters[i].hash)
	}
	c := &f.counters[i]
	c.hash, c.key, c.over = hash, keep(key, c.key), c.count
	f.of[hash] = i
	return i
}

// Top returns the k keys with the greatest counts, the greatest first; fewer if there aren't so many.
func (f *Frequent) Top(k int) []Count {
	sorted := slices.SortedFunc(slices.Values(f.counters), func(a, b counter) int {
		return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.over, b.over), bytes.Compare(a.key, b.key))
	})
	top := make([]Count, min(max(k, 0), len(sorted)))
	for i := range top {
		top[i] = Count{string(sorted[i].key), sorted[i].count, sorted[i].over}
	}
	return top
}

// Total is how often any key came.
func (f *Frequent) Total() uint64 { return f.total }

// Reset forgets everything.
func (f *Frequent) Reset() {
	f.total, f.counters, f.heap, f.of = 0, nil, nil, map[uint64]int{}
}

func (f *Frequent) less(place, than int) bool {
	return f.counters[f.heap[place]].count < f.counters[f.heap[than]].count
}

func (f *Frequent) swap(a, b int) {
	f.heap[a], f.heap[b] = f.heap[b], f.heap[a]
	f.counters[f.heap[a]].place, f.counters[f.heap[b]].place = a, b
}

// sink restores the heap's order after the count at a place has grown.
func (f *Frequent) sink(place int) {
	for {
		least := place
		for child := 2*place + 1; child <= 2*place+2 && child < len(f.heap); child++ {
			if f.less(child, least) {
				least = child
			}
		}
		if least == place {
			return
		}
		f.swap(place, least)
		place = least
	}
}

// rise restores it after a count was added at a place.
func (f *Frequent) rise(place int) {
	for parent := (place - 1) / 2; place > 0 && f.less(place, parent); parent = (place - 1) / 2 {
		f.swap(place, parent)
		place = parent
	}
}
