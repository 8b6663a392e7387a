package memberlist

import (
	"context"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/transport"
)

// A upcalls calls the transport's handler, so that a panic doesn't end the process. Who comes and goes it
// doesn't tell any more once the transport closes.
type upcalls struct {
	open context.Context
	log  transport.Logger
	to   transport.Handler
}

func (u *upcalls) Receive(from uint64, frame []byte) {
	defer u.recovered("Receive")
	u.to.Receive(from, frame)
}

func (u *upcalls) Joined(peer, origin uint64) {
	if u.open.Err() == nil {
		defer u.recovered("Joined")
		u.to.Joined(peer, origin)
	}
}

func (u *upcalls) Left(peer uint64) {
	if u.open.Err() == nil {
		defer u.recovered("Left")
		u.to.Left(peer)
	}
}

func (u *upcalls) Moved(peer uint64, bulk bool) {
	if u.open.Err() == nil {
		defer u.recovered("Moved")
		u.to.Moved(peer, bulk)
	}
}

func (u *upcalls) Arriving(from uint64, head []byte) {
	if u.open.Err() == nil {
		defer u.recovered("Arriving")
		u.to.Arriving(from, head)
	}
}

func (u *upcalls) recovered(where string) {
	if p := recover(); p != nil {
		u.log.Errorf(0, "panic in %s: %v", where, linelog.Field("err", p))
	}
}
