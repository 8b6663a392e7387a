package engine

import (
	"context"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/transport"
)

// Upcalls call the node's handler, so that a panic doesn't end the process. But for Receive they don't any
// more once the transport closes.
type Upcalls struct {
	Open context.Context // until the transport closes
	Log  transport.Logger
	To   transport.Handler
}

var _ transport.Handler = (*Upcalls)(nil)

// Receive implements transport.Handler. Who reads frames goes on to the end.
func (u *Upcalls) Receive(from uint64, frame []byte) {
	defer u.recovered("Receive")
	u.To.Receive(from, frame)
}

// Joined implements transport.Handler.
func (u *Upcalls) Joined(peer, origin uint64) {
	if u.Open.Err() == nil {
		defer u.recovered("Joined")
		u.To.Joined(peer, origin)
	}
}

// Left implements transport.Handler.
func (u *Upcalls) Left(peer uint64) {
	if u.Open.Err() == nil {
		defer u.recovered("Left")
		u.To.Left(peer)
	}
}

// Moved implements transport.Handler.
func (u *Upcalls) Moved(peer uint64, bulk bool) {
	if u.Open.Err() == nil {
		defer u.recovered("Moved")
		u.To.Moved(peer, bulk)
	}
}

// Arriving implements transport.Handler.
func (u *Upcalls) Arriving(from uint64, head []byte) {
	if u.Open.Err() == nil {
		defer u.recovered("Arriving")
		u.To.Arriving(from, head)
	}
}

func (u *Upcalls) recovered(where string) {
	if p := recover(); p != nil {
		u.Log.Errorf(0, "panic in %s: %v", where, linelog.Field("err", p))
	}
}
