package store

import (
	"github.com/iwanbk/bcache/internal/delta"
)

// A policy decides which entry makes room for another. There are two: s3fifo and lru. Its methods are
// serialised as Apply is, but for noteUse and probation.
type policy interface {
	// newOrder makes the order of a shard whose entries an index finds.
	newOrder(x *index) order

	// evict gives up an entry, or several dead ones, to make room for what is to lie under a hash; nth is
	// how many it has given up for that before.
	evict(now delta.Instant, hash uint64, nth int)

	// noteUse notes the use of an entry, and reports whether it could without the shard's lock.
	noteUse(e *Entry) bool

	// probation counts the entries that may be the next to go, as nothing shows that they are worth it.
	probation() int

	// reset counts no entries any more.
	reset()
}

// An order is that of the entries of one shard. It has a place for each, and notes it in Entry.used. The
// shard's lock guards it.
type order interface {
	// add gives a new entry its place. A local one is a use of its key.
	add(hash uint64, e *Entry, local bool)
	// use notes a use.
	use(t tag, e *Entry)
	remove(t tag, e *Entry)

	// trim gives back what takes memory for nothing.
	trim()
	// clear drops everything, and counts nothing.
	clear()
}
