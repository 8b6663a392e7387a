package store

import (
	"sync/atomic"
)

const (
	keysPerShard = 1024 // on average, at most: it bounds for how long a shard is locked
	maxShards    = 1 << 18
)

// A table has places for the shards of a store, a power of two of them. The low bits of a key's hash say
// in which place its shard is. A shard isn't made until a key needs it.
type table struct {
	slots  []atomic.Pointer[shard]
	shared *shared
}

// newTable makes a table of so many places for shards.
func newTable(shards int, of *shared) table {
	return table{slots: make([]atomic.Pointer[shard], shards), shared: of}
}

// shardsFor returns how many shards it takes for so many keys.
func shardsFor(keys int) int {
	n := 1
	for n < maxShards && n < (keys-1)/keysPerShard+1 {
		n *= 2
	}
	return n
}

func (t *table) len() int { return len(t.slots) }

// of returns the shard of a hash, or nil while no key has needed it.
func (t *table) of(hash uint64) *shard {
	return t.slots[t.number(hash)].Load()
}

// number is that of the shard of a hash.
func (t *table) number(hash uint64) uint64 { return hash & uint64(len(t.slots)-1) }

// at returns shard i, 0 <= i < len, or nil.
func (t *table) at(i int) *shard { return t.slots[i].Load() }

// need returns the shard of a hash, and makes it if need be. It is serialised as Apply is.
func (t *table) need(hash uint64) *shard {
	sh := t.of(hash)
	if sh == nil {
		sh = newShard(t.shared, t.number(hash))
		t.slots[sh.number].Store(sh)
	}
	return sh
}

// all yields the shards that there are.
func (t *table) all(yield func(*shard) bool) {
	for i := range t.slots {
		if sh := t.slots[i].Load(); sh != nil && !yield(sh) {
			return
		}
	}
}
