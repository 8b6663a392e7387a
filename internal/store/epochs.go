package store

import (
	"sync/atomic"
)

// epochs are the times between two touches of all keys. A Clear is such a touch, and so is a context
// that was adopted. A provisional value is served only in the epoch in which it was kept.
type epochs struct {
	current atomic.Uint64
	cleared atomic.Uint64 // the one that the last Clear began that was applied
}

func (x *epochs) Now() uint64 { return x.current.Load() }

// next begins another one.
func (x *epochs) next() { x.current.Add(1) }

// clear begins one with a Clear.
func (x *epochs) clear() { x.cleared.Store(x.current.Add(1)) }

// stands reports whether a provisional value may still be served.
func (x *epochs) stands(p *Entry) bool { return p.epoch() == x.current.Load() }

// told reports whether a Clear has told of the end of a provisional value.
func (x *epochs) told(p *Entry) bool { return p.epoch() < x.cleared.Load() }
