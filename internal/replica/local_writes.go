package replica

import (
	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/store"
)

// localWrites are the writes of this node: each is applied, and queued for the others. They aren't
// locked.
type localWrites struct {
	state      *state
	neighbours *neighbours
	rounds     *rounds
	out        *outgoing

	closed bool // no more are taken
	counts writeCounts
}

// writeCounts count local writes. Clears are those of everything.
type writeCounts struct{ Sets, Deletes, Clears, ClearPrefixes, ClearTags uint64 }

// ofClear is the count of Clears with a selector.
func (c *writeCounts) ofClear(s delta.Selector) *uint64 {
	if _, ok := s.Prefix(); ok {
		return &c.ClearPrefixes
	}
	if _, ok := s.Tag(); ok {
		return &c.ClearTags
	}
	return &c.Clears
}

// write stamps and commits a local write.
func (w *localWrites) write(now delta.Instant, rec *delta.Record, at store.Place) {
	rec.Version = delta.Version{Stamp: w.state.clock.Tick(now.Wall), Origin: w.state.Origin}
	w.commit(now, rec, at)
}

// commit is the critical section of a local write, which has its version.
func (w *localWrites) commit(now delta.Instant, rec *delta.Record, at store.Place) {
	w.state.applyLocal(now, rec, at)
	if w.state.local {
		return
	}
	w.rounds.active = true
	if len(w.neighbours.byID) == 0 {
		w.out.outbox.take() // nobody would get it
		return
	}
	w.out.broadcast(w.state.seq, rec)
}

// skipSeq has a seq used up for nothing, see state.skip. The outbox is emptied, as its dots must be
// consecutive; the log has them.
func (w *localWrites) skipSeq(now delta.Instant) {
	w.state.skip(now)
	w.out.dropBroadcasts()
}
