package replica

import (
	"github.com/iwanbk/bcache/internal/delta"
)

// How the replica follows connections.

// Joined tells that the node with PeerID peer is directly connected and gets
// every frame from now on.
func (r *Replica) Joined(now delta.Instant, peer, origin uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.server.joined(peer, origin)
	r.arrivals.joined(peer, origin)
	r.neighbours.add(peer, newNeighbour(now, origin, r.seq))
	r.vector.Keep(origin)
	r.rounds.active = true
	if !r.closed {
		r.ping(now, peer, 0)
		r.client.joined(now, peer, origin)
	}
}

// Left tells that its connection is gone.
func (r *Replica) Left(now delta.Instant, peer uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.neighbours.byID[peer]
	if p == nil {
		return
	}
	r.vector.Release(p.origin)
	r.neighbours.remove(peer)
	r.rounds.active = true
	r.pulls.left(peer)
	r.client.left(now, peer)
	r.server.dropAbsent(&r.neighbours)
	r.ready.aloneSince = now.Mono
	r.advance(now)
	for range r.leases.Left(now, peer) {
		r.letOthers()
	}
	for range r.asks.Left(now, peer) {
		r.letOthers()
	}
}
