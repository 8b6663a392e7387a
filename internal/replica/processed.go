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

// lacking says how many dots a node hasn't processed, of those up to some dots of different origins. It
// is none where the vector covers the dot, without a gap before it. unknown is an origin of which the
// node can't tell, or 0: nothing was heard of it, or it was dropped; or it is the node's own, and the
// dot isn't one that it has written.
func lacking(s *state, n *neighbours, dots []delta.Dot) (lacks []Lack, unknown uint64) {
	for _, d := range dots {
		if d.Origin == s.Origin {
			if d.Seq > s.seq {
				return nil, d.Origin
			}
			continue
		}
		if !s.vector.Knows(d.Origin) {
			return nil, d.Origin
		}
		if writes := s.vector.Get(d.Origin).Lacks(d.Seq); writes > 0 {
			lacks = append(lacks, Lack{d.Origin, n.idOf(d.Origin), writes})
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
