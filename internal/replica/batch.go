package replica

import (
	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/wire"
)

// A batch is a number of consecutive records of a delta, to be applied under one lock. What can
// be done before the lock is taken is done when the batch is filled.
type batch struct {
	seq    uint64 // of the first record
	recs   []delta.Record
	places []store.Place // of their keys
	wire   []wire.WireRecord
}

// newBatch makes a batch for records of a frame that has so many.
func newBatch(records uint64) *batch {
	n := min(records, ApplyBatch)
	return &batch{
		recs:   make([]delta.Record, n),
		places: make([]store.Place, n),
		wire:   make([]wire.WireRecord, n),
	}
}

// fill takes the next records of a frame, and reports whether there were any.
func (b *batch) fill(d *wire.DeltaReader, s *store.Store) bool {
	b.seq = d.Seq
	b.recs, b.wire = b.recs[:0], b.wire[:0]
	for bytes := 0; len(b.wire) < cap(b.wire) && bytes < ApplyBytes; {
		w, ok := d.Advance()
		if !ok {
			break
		}
		bytes += len(w.Key) + len(w.Val)
		b.wire = append(b.wire, w)
	}
	// Nearly all that a record costs is waiting for the memory in which its key is held. In a
	// loop that does nothing else, the processor waits for many at once.
	for i := range b.wire {
		b.places[i] = s.Seek(b.wire[i].Key)
	}
	for i := range b.wire {
		w := &b.wire[i]
		b.recs = append(b.recs, w.Record(b.places[i].OwnKey(w.Key)))
	}
	return len(b.recs) > 0
}
