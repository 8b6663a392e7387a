package bcache

// A batch is a number of consecutive records of a delta, to be applied under one lock. What can
// be done before the lock is taken is done when the batch is filled.
type batch struct {
	seq    uint64 // of the first record
	recs   []record
	places []place // of their keys
	wire   []wireRecord
}

// newBatch makes a batch for records of a frame that has so many.
func newBatch(records uint64) *batch {
	n := min(records, applyBatch)
	return &batch{
		recs:   make([]record, n),
		places: make([]place, n),
		wire:   make([]wireRecord, n),
	}
}

// fill takes the next records of a frame, and reports whether there were any.
func (b *batch) fill(d *deltaReader, s *store) bool {
	b.seq = d.seq
	b.recs, b.wire = b.recs[:0], b.wire[:0]
	for bytes := 0; len(b.wire) < cap(b.wire) && bytes < applyBytes; {
		w, ok := d.advance()
		if !ok {
			break
		}
		bytes += len(w.key) + len(w.val)
		b.wire = append(b.wire, w)
	}
	// Nearly all that a record costs is waiting for the memory in which its key is held. In a
	// loop that does nothing else, the processor waits for many at once.
	for i := range b.wire {
		b.places[i] = s.seek(b.wire[i].key)
	}
	for i := range b.wire {
		w := &b.wire[i]
		b.recs = append(b.recs, w.record(b.places[i].ownKey(w.key)))
	}
	return len(b.recs) > 0
}
