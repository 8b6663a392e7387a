package store

import (
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
)

// A tombstone is what is left of a deleted key.
type tombstone struct {
	key string // the store's own copy
	delta.Version
	born time.Duration // monotonic
}

// tombs are the tombstones of a shard, by arrival. The shard's lock guards them.
type tombs struct {
	queue queue[string, tombstone]
	sums  *tombSums // of all shards
}

// tombSums are how many tombstones there are, and the bytes of their keys.
type tombSums struct{ count, bytes atomic.Int64 }

// reset counts nothing any more.
func (s *tombSums) reset() {
	s.count.Store(0)
	s.bytes.Store(0)
}

func (x *tombs) find(key string) (tombstone, bool) { return x.queue.peek(key) }

// add adds the tombstone of a key that has none.
func (x *tombs) add(t tombstone) {
	x.queue.add(t.key, t)
	x.sums.count.Add(1)
	x.sums.bytes.Add(int64(len(t.key)))
}

// remove removes the tombstone of a key, if it has one.
func (x *tombs) remove(key string) {
	if x.queue.remove(key) {
		x.sums.count.Add(-1)
		x.sums.bytes.Add(-int64(len(key)))
	}
}

func (x *tombs) oldest() (tombstone, bool) {
	_, t, ok := x.queue.oldest()
	return t, ok
}

// all lists them, oldest first.
func (x *tombs) all() []tombstone { return x.queue.values() }

// trim gives back what an empty queue takes.
func (x *tombs) trim() { x.queue.trim() }

// clear drops everything, and counts nothing.
func (x *tombs) clear() { x.queue = queue[string, tombstone]{} }
