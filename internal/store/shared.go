package store

import (
	"sync/atomic"

	"github.com/iwanbk/bcache/internal/keyhash"
)

// shared is what the shards of a store have in common: their limits, what is counted of all of them, and
// what stands for the versions that none of them holds any more.
type shared struct {
	hash   keyhash.Hash
	limits limits
	policy policy
	Watch  watch
	closed atomic.Bool

	// What every Get reads. It changes with Clears, inserts and removals only, so it lies apart from
	// what changes more often: the upper part of a tally.
	_         [64]byte
	lastClear lastClear
	Epochs    epochs
	tally     tally

	tombSums tombSums
	counters counters
	floors   floors
	ends     ends
}

// tagOf returns the tag under which an entry lies.
func (c *shared) tagOf(e *Entry) tag {
	hash := c.hash.Of(e.Key)
	if e.isProvisional() {
		hash = twin(hash)
	}
	return tagOf(hash)
}
