package bcache

// How the replica follows connections.

// joined tells that the node with PeerID peer is directly connected and gets
// every frame from now on.
func (r *replica) joined(now instant, peer, origin uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.server.joined(peer, origin)
	r.arrivals.joined(peer, origin)
	r.neighbours.add(peer, newNeighbour(now, origin, r.seq))
	r.vector.keep(origin)
	r.rounds.active = true
	if !r.closed {
		r.ping(now, peer, 0)
		r.client.joined(now, peer, origin)
	}
}

// left tells that its connection is gone.
func (r *replica) left(now instant, peer uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.neighbours.byID[peer]
	if p == nil {
		return
	}
	r.vector.release(p.origin)
	r.neighbours.remove(peer)
	r.rounds.active = true
	r.pulls.left(peer)
	r.client.left(now, peer)
	r.server.dropAbsent(&r.neighbours)
	r.ready.aloneSince = now.mono
	r.advance(now)
	for range r.leases.left(now, peer) {
		r.letOthers()
	}
	for range r.asks.left(now, peer) {
		r.letOthers()
	}
}
