package replica

import (
	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/wire"
)

// Closing without losing what was written last takes a confirmation: the node
// pings its neighbours with its last seq, and each answers with the run of
// dots around it that it has processed, and pulls what it lacks. (Pings and frames travel
// unordered, so the question is asked again until the answer is right.)

// AskUnconfirmed queues a ping for every neighbour that hasn't yet said that it has
// processed all that was written here since it connected, and returns their
// PeerIDs, ascending.
func (r *Replica) AskUnconfirmed(now delta.Instant) []uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	missing := r.neighbours.unconfirmed(r.seq)
	for _, id := range missing {
		q := wire.Ping{Origin: r.Origin, Seq: r.seq, Wall: now.Wall, Flags: wire.PingClosing, Echo: r.touches.Echo()}
		r.out.send(message{To: id, Frame: wire.AppendPing(nil, q)})
	}
	return missing
}

// Unconfirmed returns those neighbours, ascending.
func (r *Replica) Unconfirmed() []uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.neighbours.unconfirmed(r.seq)
}
