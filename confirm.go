package bcache

import "slices"

// Closing without losing what was written last takes a confirmation: the node
// pings its neighbours with its last seq, and each answers with the run of
// dots around it that it has processed. (Pings and frames travel unordered, so
// the question is asked again until the answer is right.)

// joined tells that the node with PeerID peer is directly connected and gets
// every frame from now on.
func (r *replica) joined(peer, origin uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.peers[peer] = &peerState{origin: origin, baseline: r.seq, covered: r.seq}
	r.ctx.live[origin] = true
}

// left tells that its connection is gone.
func (r *replica) left(peer uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.peers[peer]; p != nil {
		delete(r.ctx.live, p.origin)
		delete(r.peers, peer)
	}
}

// askUnconfirmed queues a ping for every neighbour that hasn't yet said that it has
// processed all that was written here since it connected, and returns their
// PeerIDs, ascending.
func (r *replica) askUnconfirmed(now instant) []uint64 {
	missing := r.unconfirmed()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range missing {
		r.send(message{id, appendPing(nil, ping{origin: r.origin, seq: r.seq, wall: now.wall})})
	}
	return missing
}

// unconfirmed returns those neighbours, ascending.
func (r *replica) unconfirmed() (missing []uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, p := range r.peers {
		if p.covered < r.seq {
			missing = append(missing, id)
		}
	}
	slices.Sort(missing)
	return missing
}

func (r *replica) receivePing(now instant, from uint64, p ping) {
	r.mu.Lock()
	defer r.mu.Unlock()
	answer := pong{id: p.id, origin: r.origin, wall: now.wall}
	if dots := r.ctx.origins[p.origin]; dots != nil {
		run := dots.run(p.seq)
		answer.from, answer.to = run.from, run.to
	}
	r.send(message{from, appendPong(nil, answer)})
}

func (r *replica) receivePong(from uint64, p pong) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if peer := r.peers[from]; peer != nil && peer.origin == p.origin && p.from <= peer.baseline {
		peer.covered = max(peer.covered, min(p.to, r.seq))
	}
}

// send queues a message.
func (r *replica) send(m message) {
	if len(r.sends) >= maxSends {
		r.n.droppedSends++
		return
	}
	if r.outbox.empty() && len(r.sends) == 0 {
		defer r.wake()
	}
	r.sends = append(r.sends, m)
}
