package meshnet

import (
	"github.com/iwanbk/bcache/transport"
)

// A upcalls calls the transport's handler: not any more once the transport closes, and so that a
// panic doesn't end the process.
type upcalls struct {
	scope *scope
	to    transport.Handler // nil before Start and after Close, when nobody is in the scope
}

// Receive is called within the scope, to the end.
func (u *upcalls) Receive(from uint64, frame []byte) {
	defer u.scope.recovered("Receive")
	u.to.Receive(from, frame)
}

func (u *upcalls) Joined(peer, origin uint64) {
	if u.scope.ctx.Err() == nil {
		defer u.scope.recovered("Joined")
		u.to.Joined(peer, origin)
	}
}

func (u *upcalls) Left(peer uint64) {
	if u.scope.ctx.Err() == nil {
		defer u.scope.recovered("Left")
		u.to.Left(peer)
	}
}

func (u *upcalls) Moved(peer uint64, bulk bool) {
	if u.scope.ctx.Err() == nil {
		defer u.scope.recovered("Moved")
		u.to.Moved(peer, bulk)
	}
}

func (u *upcalls) Arriving(from uint64, head []byte) {
	if u.scope.ctx.Err() == nil {
		defer u.scope.recovered("Arriving")
		u.to.Arriving(from, head)
	}
}
