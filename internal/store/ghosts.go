package store

import (
	"math/bits"
)

// ghosts remember keys that went unused, about as many as the store has entries: a key that comes back
// soon went too early. They have 16 bits of each, so now and then they take one key for another.
type ghosts struct {
	buckets uint64     // so many there are, or may be
	chunks  [][]uint16 // of ghostChunk buckets; nil until one is needed: no call allocates much
}

const (
	// cells, the latest first; 0 is free. They fill a line of the processor's cache
	ghostBucket = 32
	ghostChunk  = 1 << 11            // buckets
	ghostPart   = .9                 // so many keys are remembered for each entry
	ghostFactor = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio (Knuth's multiplicative hashing)
)

// place says where to remember what lies in a shard under a tag, and as what.
func (g *ghosts) place(shard uint64, t tag) (bucket uint64, print uint16) {
	high, low := bits.Mul64(uint64(t)<<32|shard, ghostFactor)
	mixed := high ^ low
	return mixed >> 32 * g.buckets >> 32, max(uint16(mixed>>16), 1)
}

// cells returns those of a bucket, or nil if its chunk isn't there.
func (g *ghosts) cells(bucket uint64) []uint16 {
	c := g.chunks[bucket/ghostChunk]
	if c == nil {
		return nil
	}
	from := bucket % ghostChunk * ghostBucket
	return c[from : from+ghostBucket]
}

// add remembers what lay in a shard under a tag, in a store of so many entries.
func (g *ghosts) add(shard uint64, t tag, entries int64) {
	want := max(uint64(float64(entries)*ghostPart/ghostBucket), 1)
	if want > 2*g.buckets || g.buckets > 2*want {
		*g = ghosts{buckets: want, chunks: make([][]uint16, (want+ghostChunk-1)/ghostChunk)}
	}
	bucket, print := g.place(shard, t)
	if c := &g.chunks[bucket/ghostChunk]; *c == nil {
		*c = make([]uint16, min(ghostChunk, g.buckets-bucket/ghostChunk*ghostChunk)*ghostBucket)
	}
	cells := g.cells(bucket)
	copy(cells[1:], cells)
	cells[0] = print
}

// take reports whether it is remembered, and forgets it.
func (g *ghosts) take(shard uint64, t tag) bool {
	if g.buckets == 0 {
		return false
	}
	bucket, print := g.place(shard, t)
	cells := g.cells(bucket)
	for i, p := range cells {
		if p == print {
			copy(cells[i:], cells[i+1:])
			cells[ghostBucket-1] = 0
			return true
		}
	}
	return false
}
