package signal

import (
	"sync"
)

// A Bell wakes all who wait for its next ring.
type Bell struct {
	mu   sync.Mutex
	rung chan struct{} // nil: nobody waits
}

// Next is closed at the next ring.
func (b *Bell) Next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rung == nil {
		b.rung = make(chan struct{})
	}
	return b.rung
}

// Ring wakes all who wait.
func (b *Bell) Ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rung != nil {
		close(b.rung)
		b.rung = nil
	}
}
