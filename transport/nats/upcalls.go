package nats

import (
	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/transport/engine"
	"github.com/iwanbk/bcache/transport"
)

// upcalls call the handler: not any more once the transport closes, and so that a panic doesn't end the
// process.
type upcalls struct {
	scope *engine.Scope
	log   transport.Logger
	to    transport.Handler
}

// end ends a call, which may have panicked.
func (u *upcalls) end(what string) {
	if p := recover(); p != nil {
		u.log.Errorf(0, "panic in %s: %v", what, linelog.Field("err", p))
	}
	u.scope.Leave()
}

func (u *upcalls) receive(from uint64, frame []byte) {
	if u.scope.Enter() {
		defer u.end("Receive")
		u.to.Receive(from, frame)
	}
}

func (u *upcalls) joined(l life) {
	if u.scope.Enter() {
		defer u.end("Joined")
		u.to.Joined(l.id, l.origin)
	}
}

func (u *upcalls) left(id uint64) {
	if u.scope.Enter() {
		defer u.end("Left")
		u.to.Left(id)
	}
}

func (u *upcalls) moved(from uint64) {
	if u.scope.Enter() {
		defer u.end("Moved")
		u.to.Moved(from, false)
	}
}

func (u *upcalls) arriving(from uint64, head []byte) {
	if u.scope.Enter() {
		defer u.end("Arriving")
		u.to.Arriving(from, head)
	}
}
