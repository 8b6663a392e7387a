package testkit

import (
	"fmt"
	"slices"
	"sync"
	"testing"
)

// Log is a Logger that remembers its lines, with E, P or D before them.
type Log struct {
	mu    sync.Mutex
	lines []string
	Hook  func() // called first
}

func (l *Log) add(level, format string, v []any) {
	if l.Hook != nil {
		l.Hook()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, level+" "+fmt.Sprintf(format, v...))
}

func (l *Log) Errorf(format string, v ...any) { l.add("E", format, v) }

func (l *Log) Printf(format string, v ...any) { l.add("P", format, v) }

func (l *Log) Debugf(format string, v ...any) { l.add("D", format, v) }

// Take returns the lines since the last call.
func (l *Log) Take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.lines
	l.lines = nil
	return lines
}

func (l *Log) Want(t *testing.T, want ...string) {
	t.Helper()
	if got := l.Take(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
