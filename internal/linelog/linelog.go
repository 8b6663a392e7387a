// Package linelog is the user's Logger, without repetitions.
//
// Its law: no caller waits for the Logger, but for Close, and that within a limit; the Logger is called
// under no lock. It is called from everywhere in the shell, never from the core: what the core wants
// said it queues. It doesn't choose what is worth a line; it only bounds how often one comes, and what
// it takes.
package linelog

import (
	"context"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/iwanbk/bcache/internal/callqueue"
	"github.com/iwanbk/bcache/internal/stack"
)

const (
	lineInterval = 10 * time.Second // between two lines that repeat
	maxLineKeys  = 1024             // lines that are remembered

	lineQueue      = 256     // lines that wait for a slow Logger,
	lineQueueBytes = 1 << 20 // and what they may take
	lineOverhead   = 100     // each, beside its texts
	maxLineText    = 4 << 10 // bytes of an argument
)

// A Log stands between the library and the user's Logger: what repeats, because
// a peer misbehaves or comes and goes, must not fill a disk. Lines that differ in
// level, peer or format don't hold each other back. What was held back is told by the next
// line that passes, or never.
//
// All methods are safe for concurrent use, and none but Close waits for the Logger: lines are queued.
// What one is about may be large or change, so it is made text before that, but for numbers; the format
// is left to the Logger.
type Log struct {
	out   Logger // nil logs nothing
	now   func() time.Time
	lines callqueue.Queue[line]

	mu      sync.Mutex
	history *simplelru.LRU[lineKey, *lineHistory] // by when they were logged; the oldest is forgotten
}

// A Logger is the user's Logger.
type Logger interface {
	Errorf(format string, v ...any)
	Printf(format string, v ...any)
	Debugf(format string, v ...any)
}

type line struct {
	level  lineLevel
	format string
	args   []any
}

type lineLevel uint8

const (
	lineError lineLevel = iota
	linePrint
	lineDebug
)

type lineKey struct {
	level  lineLevel
	peer   uint64
	format string
}

type lineHistory struct {
	logged time.Time
	held   int // lines held back since
}

func New(out Logger, now func() time.Time) *Log {
	// It fails only for a size below 1.
	history, _ := simplelru.NewLRU[lineKey, *lineHistory](maxLineKeys, nil)
	log := &Log{out: out, now: now, history: history}
	log.lines = callqueue.Queue[line]{
		Name: "the Logger", Call: log.write, Most: lineQueue, MostBytes: lineQueueBytes,
		Lost: func(n int) line {
			return line{lineError, "bcache: %d lines were dropped, as the Logger was too slow", []any{n}}
		},
	}
	return log
}

// Errorf, Printf and Debugf log a line about peer, 0 for none, as Logger says. The
// format is what identifies the line: it must be a constant, it holds no
// "bcache: ", and it names the peer if the line should.
func (l *Log) Errorf(peer uint64, format string, v ...any) { l.logf(lineError, peer, format, v...) }
func (l *Log) Printf(peer uint64, format string, v ...any) { l.logf(linePrint, peer, format, v...) }
func (l *Log) Debugf(peer uint64, format string, v ...any) { l.logf(lineDebug, peer, format, v...) }

// Close has no line taken any more, and waits until those before are logged. If ctx ends first it
// returns false: the others are dropped, and one is being logged.
func (l *Log) Close(ctx context.Context) bool {
	l.lines.Close()
	done := !stack.Contains("linelog.(*Log).write") && l.lines.Wait(ctx)
	l.lines.Drop()
	return done
}

func (l *Log) logf(level lineLevel, peer uint64, format string, v ...any) {
	if false {
		_ = fmt.Sprintf(format, v...) // has go vet check the callers' formats
	}
	if l.out == nil {
		return
	}
	if len(format) > maxLineText { // mesh's may have names of other nodes in them
		format, v = "%s", []any{CutText(fmt.Sprintf(format, v...), maxLineText)}
	}
	held, ok := l.begin(lineKey{level, peer, format})
	if !ok {
		return
	}
	format = "bcache: " + format
	if held > 0 {
		// Not as an argument: the format may number its own.
		format += " (repeated " + strconv.Itoa(held) + " times)"
	}
	size := lineOverhead + len(format)
	args := make([]any, len(v))
	for i, a := range v {
		args[i] = lineArg(a)
		if text, ok := args[i].(string); ok {
			size += len(text)
		}
	}
	l.lines.Put(line{level, format, args}, size, nil)
}

// lineArg returns what is logged of an argument: numbers as they are, and the beginning of its text
// otherwise.
func lineArg(a any) any {
	if text, ok := a.([]byte); ok {
		return CutText(string(text), maxLineText)
	}
	v := reflect.ValueOf(a)
	switch {
	case !v.IsValid() || v.Kind() <= reflect.Complex128: // nil, or a number
		return a
	case v.Kind() == reflect.String && !v.Type().Implements(reflect.TypeFor[fmt.Stringer]()):
		return CutText(v.String(), maxLineText)
	}
	return CutText(fmt.Sprint(a), maxLineText)
}

// CutText returns a copy of the beginning of a text, of which nothing else is kept.
func CutText(text string, most int) string {
	if len(text) <= most {
		return strings.Clone(text)
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "..."
}

// write calls the Logger. Close looks for it on the stack.
func (l *Log) write(n line) {
	switch n.level {
	case lineError:
		l.out.Errorf(n.format, n.args...)
	case linePrint:
		l.out.Printf(n.format, n.args...)
	case lineDebug:
		l.out.Debugf(n.format, n.args...)
	}
}

// begin decides whether a line is logged now. If so, held is how many like it were held back
// before.
func (l *Log) begin(k lineKey) (held int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if h, found := l.history.Peek(k); found {
		if now.Sub(h.logged) < lineInterval {
			h.held++
			return 0, false
		}
		held = h.held
	}
	l.history.Add(k, &lineHistory{logged: now})
	return held, true
}
