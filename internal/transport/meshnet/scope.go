package meshnet

import (
	"context"
	"sync"
	"time"

	"github.com/iwanbk/bcache/internal/linelog"
)

// A scope is the life of a transport: its goroutines and calls run inside, and Close waits until
// they have left. Once it is shut nobody enters, and cancel asks those inside to leave.
type scope struct {
	log    *linelog.Log
	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex // nothing else is locked under it
	closed bool
	inside sync.WaitGroup
}

func newMeshScope(log *linelog.Log) *scope {
	s := &scope{log: log}
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

func (s *scope) shut() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
}

// wait waits until everybody has left a scope that is shut.
func (s *scope) wait() { s.inside.Wait() }

// spawn runs f on a goroutine inside.
func (s *scope) spawn(f func()) {
	if !s.enter() {
		return
	}
	go func() {
		defer s.leave()
		f()
	}()
}

// pause waits, or returns early when the scope is cancelled.
func (s *scope) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.ctx.Done():
	}
}
