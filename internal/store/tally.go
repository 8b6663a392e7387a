package store

import (
	"sync/atomic"
)

// A tally counts the entries of all shards, and the inserts so far. The inserts are a clock: they tell
// how long ago an entry was moved to the front of its queue.
type tally struct {
	entries     atomic.Int64
	provisional atomic.Int64  // of them
	clock       atomic.Uint32 // clockStep times the inserts so far. It may wrap.

	_           [64]byte     // Gets only read what is above
	inProbation atomic.Int64 // of the entries
	bytes       atomic.Int64 // see EntryOverhead
}

const (
	// probationBit of entry.used tells that the entry is in the queue of that name, and usedBit
	// that it was used after it was moved.
	probationBit, usedBit = 1, 2
	useBits               = probationBit | usedBit

	// clockStep is what an insert adds to the clock, which leaves room for those bits.
	clockStep = 4

	// nearPart is the part of all entries that may be inserted before an entry that is used has
	// to move.
	nearPart = 32
)

// add counts n entries like e.
func (t *tally) add(e *Entry, n int64) {
	t.entries.Add(n)
	t.bytes.Add(n * e.cost())
	if e.isProvisional() {
		t.provisional.Add(n)
	}
}

// age returns how many inserts ago an entry was moved.
func (t *tally) age(e *Entry) int64 {
	return int64((t.clock.Load() - e.used.Load()&^useBits) / clockStep)
}

// near reports whether an entry needn't move: fewer inserts than a thirty-second of all entries
// have come since it did. With fewer than 32 entries none is near, and the order of uses is exact.
func (t *tally) near(e *Entry) bool { return (t.age(e)+1)*nearPart <= t.entries.Load() }

// noteUse notes the use of an entry that needn't move, and reports whether it needn't. If it was
// noted before it writes nothing.
func (t *tally) noteUse(e *Entry) bool {
	used := e.used.Load()
	if used&probationBit != 0 || !t.near(e) {
		return false
	}
	if used&usedBit == 0 {
		e.used.Or(usedBit)
	}
	return true
}

// reset counts nothing any more.
func (t *tally) reset() {
	for _, n := range []*atomic.Int64{&t.entries, &t.provisional, &t.inProbation, &t.bytes} {
		n.Store(0)
	}
}
