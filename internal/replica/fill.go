package replica

import (
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/store"
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

// A Fill is one key that is being filled. It must be ended, by endFill or DropFill.
type Fill struct {
	*fillStart
	store.OpenFill
	bucket int
}

// A fillOutcome says what became of what a fill brought.
type fillOutcome uint8

const (
	FillWritten fillOutcome = iota // it is a write like any other
	fillKept                       // it is a provisional value, that is served here
	FillOffered                    // so it is, and it is offered to the neighbours
	FillRefused                    // something newer is known, or may be
)

// BeginFills is called right before the database is asked for some keys. settle is by how much the
// answer may lag behind what is committed.
func (r *Replica) BeginFills(now delta.Instant, settle time.Duration, keys ...string) []*Fill {
	fills := make([]*Fill, len(keys))
	start := &fillStart{settle: settle}
	for i, key := range keys {
		fills[i] = &Fill{fillStart: start, OpenFill: r.Store.Fills.Open(key, now), bucket: delta.BucketOf(key)}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	start.stamp, start.epoch = r.fillStamp(now, settle), r.Store.Epochs.Now()
	start.echoes = r.neighbours.echoes(now, settle)
	for i, f := range fills {
		if i > 0 && i%ApplyBatch == 0 { // others want the lock; what comes now precedes the reading
			r.mu.Unlock()
			r.mu.Lock()
		}
		r.Store.Fills.Begin(&f.OpenFill)
	}
	return fills
}

// DropFill ends a fill that brought nothing.
func (r *Replica) DropFill(f *Fill) { r.Store.Fills.End(&f.OpenFill) }

// EndFill ends a fill that brought a record, which is complete but for its version. If the fence lets it
// pass, that is written. Otherwise it may be kept as a provisional value, if no write of its key, no Clear
// and no vector that was adopted can be newer than what was read: no clock of another node decides that.
// With beside, it isn't written, but kept beside the record that the key has, on this node only.
func (r *Replica) EndFill(now delta.Instant, f *Fill, rec *delta.Record, beside bool) fillOutcome {
	rec.Version = delta.Version{Stamp: f.stamp, Origin: r.Origin}
	at := r.Store.Approach(rec)
	defer r.Store.Fills.End(&f.OpenFill)
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.makeRoom(now, rec) {
		r.mu.Unlock()
		r.mu.Lock()
	}
	switch {
	case r.closed:
		return FillRefused
	case !beside && r.passes(f, rec):
		r.commit(now, rec, at)
		return FillWritten
	case !r.untouched(f):
		return FillRefused
	case rec.Kind == delta.KindTombstone: // there is nothing to keep, nor is what was there any more
		if r.Store.Fills.Unkeep(&f.OpenFill) {
			return fillKept
		}
		return FillRefused
	}
	for r.makeRoomToKeep(now, rec, &f.OpenFill, beside) {
		r.mu.Unlock()
		r.mu.Lock()
	}
	if r.closed || !r.untouched(f) {
		return FillRefused
	}
	return r.keep(now, f, rec, beside)
}

// keep makes a value, or a negative, a provisional one, and offers it.
func (r *Replica) keep(now delta.Instant, f *Fill, rec *delta.Record, beside bool) fillOutcome {
	if _, isNew := r.Store.Fills.Keep(now, rec, &f.OpenFill, beside); !isNew {
		return FillRefused
	}
	r.counts.ProvisionalKept++
	if !beside && r.share(f, rec) {
		return FillOffered
	}
	return fillKept
}
