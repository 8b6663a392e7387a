package bcache

import "sync"

// A meshGate counts who is inside and can be shut: nobody enters from then on.
type meshGate struct {
	mu     sync.Mutex
	closed bool
	inside sync.WaitGroup
}

func (g *meshGate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.inside.Add(1)
	return true
}

func (g *meshGate) leave() { g.inside.Done() }

func (g *meshGate) shut() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
}

// wait waits until everybody has left a gate that is shut.
func (g *meshGate) wait() { g.inside.Wait() }
