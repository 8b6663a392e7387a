package store

import (
	"sync/atomic"

	"github.com/iwanbk/bcache/internal/coarse"
	"github.com/iwanbk/bcache/internal/keyhash"
)

// shared is what the shards of a store have in common: their limits, what is counted of all of them, and
// what stands for the versions that none of them holds any more.
type shared struct {
	hash   keyhash.Hash
	limits limits
	policy policy
	room   room
	Watch  watch
	closed atomic.Bool

	// What every Get reads. It changes with Clears, inserts and removals, and what Clock stores a few
	// hundred times a second. So it lies apart from what changes more often: the upper part of a tally.
	_       [64]byte
	samples atomic.Pointer[samples] // nil: nobody asks which keys are hot
	Clock   coarse.Clock
	Epochs  epochs
	Clears  Clears // what a Get reads of it comes first
	tally   tally

	tombSums tombSums
	counters counters
	floors   floors
	ends     ends
}

// before reports whether a time of an entry hasn't come; 0 never comes.
func (c *shared) before(t int64, wall func() int64) bool { return t == 0 || c.Clock.Before(t, wall) }

// sample takes note of a hit, if somebody asks.
func (c *shared) sample(e *Entry) {
	if s := c.samples.Load(); s != nil {
		s.take(e)
	}
}

// tagOf returns the tag under which an entry lies.
func (c *shared) tagOf(e *Entry) tag { return tagOf(c.hashOf(e)) }

// hashOf returns the hash under which an entry lies.
func (c *shared) hashOf(e *Entry) uint64 {
	hash := c.hash.Of(e.Key)
	if e.isProvisional() {
		hash = twin(hash)
	}
	return hash
}
