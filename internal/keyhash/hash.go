package keyhash

import (
	"hash/maphash"
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// A key has two hashes.
//
// The wire's hash is xxHash64, without a seed, as all nodes must agree on it: it gives a key its bucket,
// and so its floor, its touches and its group of a full sync, and chooses who grants its leases. Whoever
// can choose keys can choose it too, so nothing is looked up by it, and nothing that takes its time in a
// bucket holds a lock meanwhile.
//
// A Hash is this node's own: it chooses the shard of a key and its place in there, and the groups of
// fills that run.

// A Hash has a seed that nobody else knows, so that nobody can choose keys that collide: that would
// make searches long, and one key evict another one (Crosby and Wallach, "Denial of Service via
// Algorithmic Complexity Attacks", 2003). It is the hash of Go's maps.
type Hash struct {
	seed maphash.Seed

	// Not 0: the hash is the same in every process, for a simulation that is to be repeated. It is
	// as easy to find collisions of as the wire's.
	Replay uint64
}

// New draws a hash.
func New() Hash { return Hash{seed: maphash.MakeSeed()} }

// Of is the hash of a key.
func (h Hash) Of(key string) uint64 {
	if h.Replay != 0 {
		return h.again(xxhash.Sum64String(key))
	}
	return maphash.String(h.seed, key)
}

// OfBytes is Of.
func (h Hash) OfBytes(key []byte) uint64 {
	if h.Replay != 0 {
		return h.again(xxhash.Sum64(key))
	}
	return maphash.Bytes(h.seed, key)
}

// again spreads the wire's hash in another way: no bits are those that choose the bucket.
func (h Hash) again(hash uint64) uint64 {
	hi, lo := bits.Mul64(hash^h.Replay, 0x9e3779b97f4a7c15) // 2^64 divided by the golden ratio
	return hi ^ lo
}
