package bcache

// whole reports whether a full sync from this node would make another one complete: it is synced,
// vouches for all that it holds, and its stamps aren't ahead of what others accept.
func (r *replica) whole(now instant) bool {
	return r.ready.synced && !r.client.unvouched && !r.future(now, r.clock.last.Load())
}

// mayDeclare reports whether the time has come for the node to declare itself synced.
func (r *replica) mayDeclare(now instant) bool {
	busy := r.client.session != nil || r.client.vouching
	leads := !r.neighbours.outdone(r.id, uint64(r.store.len()))
	return r.ready.mayDeclare(now, r.client.unvouched, busy, leads)
}

// declare makes the node synced on its own authority.
func (r *replica) declare(now instant) {
	if !r.ready.synced {
		r.out.notice(syncNotice{others: len(r.neighbours.byID), took: now.mono - r.ready.aloneSince})
	}
	r.ready.synced = true
	for id := range r.neighbours.all() { // they may be waiting for one that is
		r.ping(now, id, 0)
	}
}

// noteComplete notes that the node is complete, if it is so.
func (r *replica) noteComplete(now instant) {
	fed := r.counts.recordsRepaired + r.client.counts.recordsSynced
	if r.ready.note(now, fed, len(r.arrivals) > 0, r.client.session != nil) {
		r.became()
	}
}

// unsynced says why the node isn't ready; "" if it is.
func (r *replica) unsynced(now instant) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ready.lacks(now, r.client.progress(), r.client.failure)
}
