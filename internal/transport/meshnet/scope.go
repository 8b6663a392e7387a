package meshnet

import (
	"time"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/transport/engine"
)

// A scope is an engine.Scope with the log of all that runs inside.
type scope struct {
	*engine.Scope
	log *linelog.Log
}

func newMeshScope(log *linelog.Log) *scope { return &scope{engine.NewScope(), log} }

// spawn runs f on a goroutine inside.
func (s *scope) spawn(f func()) {
	if !s.Enter() {
		return
	}
	go func() {
		defer s.Leave()
		f()
	}()
}

// pause waits, or returns early when the scope is cancelled.
func (s *scope) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.Open.Done():
	}
}
