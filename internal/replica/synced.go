package replica

import (
	"github.com/iwanbk/bcache/internal/delta"
)

// whole reports whether a full sync from this node would make another one complete: it is synced,
// vouches for all that it holds, and its stamps aren't ahead of what others accept.
func (r *Replica) whole(now delta.Instant) bool {
	return r.ready.synced && !r.client.unvouched && !r.future(now, r.clock.Last.Load())
}

// mayDeclare reports whether the time has come for the node to declare itself synced.
func (r *Replica) mayDeclare(now delta.Instant) bool {
	busy := r.client.session != nil || r.client.vouching
	leads := !r.neighbours.outdone(r.ID, uint64(r.Store.Len()))
	return r.ready.mayDeclare(now, r.client.unvouched, busy, leads)
}

// declare makes the node synced on its own authority.
func (r *Replica) declare(now delta.Instant) {
	if !r.ready.synced {
		r.out.notice(SyncNotice{Others: len(r.neighbours.byID), Took: now.Mono - r.ready.aloneSince})
	}
	r.ready.synced = true
	for id := range r.neighbours.all() { // they may be waiting for one that is
		r.ping(now, id, 0)
	}
}

// noteComplete notes that the node is complete, if it is so.
func (r *Replica) noteComplete(now delta.Instant) {
	fed := r.counts.RecordsRepaired + r.client.counts.RecordsSynced
	if r.ready.note(now, fed, len(r.arrivals) > 0, r.client.session != nil) {
		r.became()
	}
}

// Unsynced says why the node isn't ready; "" if it is.
func (r *Replica) Unsynced(now delta.Instant) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ready.lacks(now, r.client.progress(), r.client.failure)
}
