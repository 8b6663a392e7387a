package bcache

// Closing without losing what was written last takes a confirmation: the node
// pings its neighbours with its last seq, and each answers with the run of
// dots around it that it has processed, and pulls what it lacks. (Pings and frames travel
// unordered, so the question is asked again until the answer is right.)

// askUnconfirmed queues a ping for every neighbour that hasn't yet said that it has
// processed all that was written here since it connected, and returns their
// PeerIDs, ascending.
func (r *replica) askUnconfirmed(now instant) []uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	missing := r.neighbours.unconfirmed(r.seq)
	for _, id := range missing {
		q := ping{origin: r.origin, seq: r.seq, wall: now.wall, flags: pingClosing, echo: r.touches.echo()}
		r.out.send(message{to: id, frame: appendPing(nil, q)})
	}
	return missing
}

// unconfirmed returns those neighbours, ascending.
func (r *replica) unconfirmed() []uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.neighbours.unconfirmed(r.seq)
}
