package store

import (
	"sync/atomic"
)

// A tally counts the entries of all shards.
type tally struct {
	entries     atomic.Int64
	provisional atomic.Int64 // of them

	_     [64]byte     // Gets only read what is above
	bytes atomic.Int64 // see EntryOverhead
}

// add counts n entries like e.
func (t *tally) add(e *Entry, n int64) {
	t.entries.Add(n)
	t.bytes.Add(n * e.cost())
	if e.isProvisional() {
		t.provisional.Add(n)
	}
}

// reset counts nothing any more.
func (t *tally) reset() {
	for _, n := range []*atomic.Int64{&t.entries, &t.provisional, &t.bytes} {
		n.Store(0)
	}
}
