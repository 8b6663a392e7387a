package nats

import (
	"context"
	"sync"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/transport"
)

// A scope is the life of a transport: its goroutines and calls run inside, and Close waits until they
// have left.
type scope struct {
	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex // nothing else is locked under it
	closed bool
	inside sync.WaitGroup
}

func newScope() *scope {
	s := &scope{}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// enter reports whether the caller may go on; it must leave then.
func (s *scope) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.inside.Add(1)
	return true
}

func (s *scope) leave() { s.inside.Done() }

// shut has nobody enter any more, and waits until everybody has left.
func (s *scope) shut() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.inside.Wait()
}

// upcalls call the handler: not any more once the transport closes, and so that a panic doesn't end the
// process.
type upcalls struct {
	scope *scope
	log   transport.Logger
	to    transport.Handler
}

// end ends a call, which may have panicked.
func (u *upcalls) end(what string) {
	if p := recover(); p != nil {
		u.log.Errorf(0, "panic in %s: %v", what, linelog.Field("err", p))
	}
	u.scope.leave()
}

func (u *upcalls) receive(from uint64, frame []byte) {
	if u.scope.enter() {
		defer u.end("Receive")
		u.to.Receive(from, frame)
	}
}

func (u *upcalls) joined(l life) {
	if u.scope.enter() {
		defer u.end("Joined")
		u.to.Joined(l.id, l.origin)
	}
}

func (u *upcalls) left(id uint64) {
	if u.scope.enter() {
		defer u.end("Left")
		u.to.Left(id)
	}
}

func (u *upcalls) moved(from uint64) {
	if u.scope.enter() {
		defer u.end("Moved")
		u.to.Moved(from, false)
	}
}

func (u *upcalls) arriving(from uint64, head []byte) {
	if u.scope.enter() {
		defer u.end("Arriving")
		u.to.Arriving(from, head)
	}
}
