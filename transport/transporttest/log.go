package transporttest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// A log keeps the last lines of a node.
type log struct {
	mu    sync.Mutex
	lines []string
}

const maxLines = 30

func (l *log) add(level, format string, v []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == maxLines {
		l.lines = l.lines[1:]
	}
	l.lines = append(l.lines, level+fmt.Sprintf(format, v...))
}

// Errorf implements transport.Logger.
func (l *log) Errorf(_ uint64, format string, v ...any) { l.add("E ", format, v) }

// Printf implements transport.Logger.
func (l *log) Printf(_ uint64, format string, v ...any) { l.add("P ", format, v) }

// Debugf implements transport.Logger.
func (l *log) Debugf(_ uint64, format string, v ...any) { l.add("D ", format, v) }

// of returns the lines of a level.
func (l *log) of(level string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	other := func(line string) bool { return !strings.HasPrefix(line, level) }
	return slices.DeleteFunc(slices.Clone(l.lines), other)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(append([]string{""}, l.lines...), "\n\t")
}
