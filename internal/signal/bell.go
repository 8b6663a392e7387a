package signal

import (
	"sync/atomic"
)

// A Bell wakes all who wait for its next ring. To ring it while nobody waits costs the look at a
// pointer.
type Bell struct {
	rung atomic.Pointer[chan struct{}] // nil: nobody waits
}

// Next is closed at the next ring. Who waits for something asks for Next first, and then whether it is
// there: so a ring in between isn't missed.
func (b *Bell) Next() <-chan struct{} {
	for {
		if rung := b.rung.Load(); rung != nil {
			return *rung
		}
		rung := make(chan struct{})
		if b.rung.CompareAndSwap(nil, &rung) {
			return rung
		}
	}
}

// Ring wakes all who wait.
func (b *Bell) Ring() {
	if b.rung.Load() == nil {
		return
	}
	if rung := b.rung.Swap(nil); rung != nil {
		close(*rung)
	}
}
