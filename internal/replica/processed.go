package replica

import (
	"github.com/iwanbk/bcache/internal/delta"
)

// What a node has written stands for what others have to process before they show it: a dot. The vector
// says who has.

// A Lack is what this node hasn't processed of what an origin has written up to some dot.
type Lack struct {
	Origin uint64
	Peer   uint64 // the PeerID of the neighbour whose origin it is; 0: it is none's
	Writes uint64
}

// Written is the last dot of this node: it stands for all that was written here so far. Its Seq is 0 if
// nothing was.
func (r *Replica) Written() delta.Dot {
	r.mu.Lock()
	defer r.mu.Unlock()
	return delta.Dot{Origin: r.state.Origin, Seq: r.state.seq}
}

// Lacks says how many dots this node hasn't processed, of those up to some dots of different origins. It
// is none where the vector covers the dot, without a gap before it. unknown is an origin of which this node
// can't tell, or 0: nothing was heard of it, or it was dropped; or it is this node's own, and the dot isn't
// one that it has written.
func (r *Replica) Lacks(dots []delta.Dot) (lacks []Lack, unknown uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range dots {
		if d.Origin == r.state.Origin {
			if d.Seq > r.state.seq {
				return nil, d.Origin
			}
			continue
		}
		if !r.state.vector.Knows(d.Origin) {
			return nil, d.Origin
		}
		if n := r.state.vector.Get(d.Origin).Lacks(d.Seq); n > 0 {
			lacks = append(lacks, Lack{d.Origin, r.neighbours.idOf(d.Origin), n})
		}
	}
	return lacks, 0
}

// idOf returns the PeerID of the neighbour with an origin; 0 if none has it.
func (n *neighbours) idOf(origin uint64) uint64 {
	for id, p := range n.byID {
		if p.origin == origin {
			return id
		}
	}
	return 0
}
