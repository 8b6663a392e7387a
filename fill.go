package bcache

import (
	"time"
)

// Fills, as the core sees them: from the moment at which the database is asked until it is known what
// becomes of the answer.

// A fillStart is what a node knows when it begins to fill a key, or several at once.
type fillStart struct {
	stamp  uint64        // of what the fill writes
	settle time.Duration // by so much what is read may lag behind what is committed
	epoch  uint64        // of the store
	echoes []peerEcho    // what the neighbours had said of their touches
}

// A fill is one key that is being filled. It must be ended, by endFill or dropFill.
type fill struct {
	*fillStart
	openFill
	bucket int
}

// A fillOutcome says what became of what a fill brought.
type fillOutcome uint8

const (
	fillWritten fillOutcome = iota // it is a write like any other
	fillKept                       // it is a provisional value, that is served here
	fillOffered                    // so it is, and it is offered to the neighbours
	fillRefused                    // something newer is known, or may be
)

// beginFills is called right before the database is asked for some keys. settle is by how much the
// answer may lag behind what is committed.
func (r *replica) beginFills(now instant, settle time.Duration, keys ...string) []*fill {
	fills := make([]*fill, len(keys))
	start := &fillStart{settle: settle}
	for i, key := range keys {
		fills[i] = &fill{fillStart: start, openFill: r.store.fills.open(key, now), bucket: bucketOf(key)}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	start.stamp, start.epoch = r.fillStamp(now, settle), r.store.epochs.now()
	start.echoes = r.neighbours.echoes(now, settle)
	for i, f := range fills {
		if i > 0 && i%applyBatch == 0 { // others want the lock; what comes now precedes the reading
			r.mu.Unlock()
			r.mu.Lock()
		}
		r.store.fills.begin(&f.openFill)
	}
	return fills
}

// dropFill ends a fill that brought nothing.
func (r *replica) dropFill(f *fill) { r.store.fills.end(&f.openFill) }

// endFill ends a fill that brought a record, which is complete but for its version. If the fence lets it
// pass, that is written. Otherwise it may be kept as a provisional value, if no write of its key, no Clear
// and no vector that was adopted can be newer than what was read: no clock of another node decides that.
// With beside, it isn't written, but kept beside the record that the key has, on this node only.
func (r *replica) endFill(now instant, f *fill, rec *record, beside bool) fillOutcome {
	rec.version = version{f.stamp, r.origin}
	at := r.store.approach(rec)
	defer r.store.fills.end(&f.openFill)
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.makeRoom(now, rec) {
		r.mu.Unlock()
		r.mu.Lock()
	}
	switch {
	case r.closed:
		return fillRefused
	case !beside && r.passes(f, rec):
		r.commit(now, rec, at)
		return fillWritten
	case !r.untouched(f):
		return fillRefused
	case rec.kind == kindTombstone: // there is nothing to keep, nor is what was there any more
		if r.store.fills.unkeep(&f.openFill) {
			return fillKept
		}
		return fillRefused
	}
	for r.makeRoomToKeep(now, rec, &f.openFill, beside) {
		r.mu.Unlock()
		r.mu.Lock()
	}
	if r.closed || !r.untouched(f) {
		return fillRefused
	}
	return r.keep(now, f, rec, beside)
}

// keep makes a value, or a negative, a provisional one, and offers it.
func (r *replica) keep(now instant, f *fill, rec *record, beside bool) fillOutcome {
	if _, isNew := r.store.fills.keep(now, rec, &f.openFill, beside); !isNew {
		return fillRefused
	}
	r.counts.provisionalKept++
	if !beside && r.share(f, rec) {
		return fillOffered
	}
	return fillKept
}
