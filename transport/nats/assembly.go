package nats

import (
	"sync"

	"github.com/iwanbk/bcache/internal/transport/lanes"
)

// A budget bounds what is held of frames that have come in part, over all peers.
type budget struct {
	most int // bytes

	mu   sync.Mutex
	used int
}

// take takes so many bytes, or gives them back if n is negative. It reports whether there were as many.
func (b *budget) take(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > 0 && b.used+n > b.most {
		return false
	}
	b.used += n
	return true
}

// The ways on which frames of a peer come: what it broadcasts, and what it sends. Their pieces are
// counted apart.
const (
	byAll = iota
	byNode
	numWays
)

// An assembly makes one peer's frames whole again.
type assembly struct {
	budget *budget

	mu    sync.Mutex
	over  bool
	parts [numWays]struct {
		lanes.Assembler
		held [lanes.Bulk + 1]int // bytes of frames that have come in part
	}
}

// add adds a piece that has come by a way: see lanes.Assembler. The calls for one way are made one after
// the other; head stays as it is until the next one.
func (a *assembly) add(way int, p lanes.Piece) (frame, head []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over {
		return nil, nil
	}
	part := &a.parts[way]
	frame, head = part.Add(p)
	more := len(head) - part.held[p.Lane]
	part.held[p.Lane] = len(head)
	if a.budget.take(more) {
		return frame, head
	}
	part.held[p.Lane] -= more // what was taken before
	for lane, n := range part.held {
		a.budget.take(-n)
		part.held[lane] = 0
	}
	part.Assembler = lanes.Assembler{}
	return nil, nil
}

// end forgets what has come.
func (a *assembly) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	for way := range a.parts {
		part := &a.parts[way]
		for _, n := range part.held {
			a.budget.take(-n)
		}
		part.Assembler = lanes.Assembler{}
	}
}
