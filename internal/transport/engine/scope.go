package engine

import (
	"context"
	"sync"
)

// A Scope is the life of a transport: its goroutines and calls run inside, and Close waits until they have
// left. Once it is shut nobody enters, and Cancel asks those inside to leave.
type Scope struct {
	Open   context.Context // until Cancel
	Cancel context.CancelFunc

	mu     sync.Mutex // nothing else is locked under it
	closed bool
	inside sync.WaitGroup
}

// NewScope makes a Scope that is open.
func NewScope() *Scope {
	s := &Scope{}
	s.Open, s.Cancel = context.WithCancel(context.Background())
	return s
}

// Enter reports whether the caller may go on; it must Leave then.
func (s *Scope) Enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.inside.Add(1)
	return true
}

// Leave is called by who has entered.
func (s *Scope) Leave() { s.inside.Done() }

// Shut has nobody enter any more.
func (s *Scope) Shut() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
}

// Wait waits until everybody has left a scope that is shut.
func (s *Scope) Wait() { s.inside.Wait() }
