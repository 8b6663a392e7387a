package replica

import (
	"time"

	"github.com/iwanbk/bcache/internal/dots"
)

// lateMost is how long writes may take before an operator is told.
const lateMost = 5 * time.Second

// A lateWrite is the oldest write of a neighbour that it has told of and that isn't here yet.
type lateWrite struct {
	owed  uint64        // its seq; 0: there is none
	since time.Duration // when that was first known
}

// owe notes how far a neighbour has written, by its own word, and what this node has of that.
func (p *lateWrite) owe(has *dots.Set, seq uint64, now time.Duration) {
	if has.Covered >= p.owed {
		p.owed = 0
	}
	if p.owed == 0 && has.Covered < seq {
		p.owed, p.since = seq, now
	}
}

// lateBy says for how long a write of a neighbour has been lacking here; 0 if none is known to be.
func (p *lateWrite) lateBy(has *dots.Set, now time.Duration) time.Duration {
	if p.owed == 0 || has.Covered >= p.owed {
		return 0
	}
	return now - p.since
}

type lateness struct {
	Peer uint64
	By   time.Duration
}
