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
	"log/slog"
	"reflect"
	"slices"
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
	lineOverhead   = 100     // each, beside its texts,
	fieldOverhead  = 50      // and each of its fields
	maxLineText    = 4 << 10 // bytes of an argument
)

// A Log stands between the library and the user's Logger: what repeats, because
// a peer misbehaves or comes and goes, must not fill a disk. Lines that differ in
// level, peer or format don't hold each other back. What was held back is told by the next
// line that passes, or never.
//
// A Logger that takes fields gets them: the peer, and the arguments that have a name, see Field.
//
// All methods are safe for concurrent use, and none but Close waits for the Logger: lines are queued.
// What one is about may be large or change, so it is made text before that, but for numbers; the format
// is left to the Logger.
type Log struct {
	out    sink // nil logs nothing
	fields bool // it takes fields
	now    func() time.Time
	lines  callqueue.Queue[line]

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
	level  slog.Level // an Errorf, an Info for Printf, or a Debug
	format string
	args   []any
	held   int         // lines like it before it
	fields []slog.Attr // nil if the Logger doesn't take any
}

type lineKey struct {
	level  slog.Level
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
	log := &Log{now: now, history: history}
	if out != nil {
		log.out, log.fields = sinkOf(out)
	}
	log.lines = callqueue.Queue[line]{
		Name: "the Logger", Call: log.write, Most: lineQueue, MostBytes: lineQueueBytes,
		Lost: func(n int) line {
			return line{
				level: slog.LevelError, format: "lines were dropped, as the Logger was too slow: %d",
				args: []any{n}, fields: []slog.Attr{slog.Int("dropped", n)},
			}
		},
	}
	return log
}

// Errorf, Printf and Debugf log a line about peer, 0 for none, as Logger says. The
// format is what identifies the line: it must be a constant, it holds no
// "bcache: ", and it names the peer if the line should. A Named argument is a field, and so is peer,
// unless one is named so.
func (l *Log) Errorf(peer uint64, format string, v ...any) {
	l.logf(slog.LevelError, peer, nil, format, v...)
}

func (l *Log) Printf(peer uint64, format string, v ...any) {
	l.logf(slog.LevelInfo, peer, nil, format, v...)
}

func (l *Log) Debugf(peer uint64, format string, v ...any) {
	l.logf(slog.LevelDebug, peer, nil, format, v...)
}

// Close has no line taken any more, and waits until those before are logged. If ctx ends first it
// returns false: the others are dropped, and one is being logged.
func (l *Log) Close(ctx context.Context) bool {
	l.lines.Close()
	done := !stack.Contains("linelog.(*Log).write") && l.lines.Wait(ctx)
	l.lines.Drop()
	return done
}

func (l *Log) logf(level slog.Level, peer uint64, beside []Named, format string, v ...any) {
	if false {
		_ = fmt.Sprintf(format, v...) // has go vet check the callers' formats
	}
	if l.out == nil {
		return
	}
	if len(format) > maxLineText { // mesh's may have names of other nodes in them; its fields are beside
		format, v = "%s", []any{CutText(fmt.Sprintf(format, v...), maxLineText)}
	}
	held, ok := l.begin(lineKey{level, peer, format})
	if !ok {
		return
	}
	n := line{level: level, format: format, args: make([]any, len(v)), held: held}
	size := lineOverhead + len(format)
	for i, a := range v {
		named, isField := a.(Named)
		if isField {
			a = named.value
		}
		n.args[i] = lineArg(a)
		if text, ok := n.args[i].(string); ok {
			size += len(text)
		}
		if isField {
			size += l.addField(&n, named.name, n.args[i])
		}
	}
	for _, f := range beside {
		size += l.addField(&n, f.name, lineArg(f.value))
	}
	if peer != 0 {
		size += l.addField(&n, "peer", peer)
	}
	if held > 0 {
		size += l.addField(&n, "repeated", held)
	}
	l.lines.Put(n, size, nil)
}

// addField adds a field to a line, and returns the bytes that it takes. It does nothing if the Logger
// takes no fields, or if there is one of that name.
func (l *Log) addField(n *line, name string, arg any) (size int) {
	same := func(f slog.Attr) bool { return f.Key == name }
	if !l.fields || slices.ContainsFunc(n.fields, same) {
		return 0
	}
	f := slog.Attr{Key: name, Value: fieldValue(name, arg)}
	n.fields = append(n.fields, f)
	if f.Value.Kind() == slog.KindString {
		size = len(f.Value.String())
	}
	return fieldOverhead + size
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

// List returns the first most of some things as a text, and how many more there are, in the words of more.
func List[T fmt.Stringer](all []T, most int, more string) string {
	var texts []string
	for _, one := range all[:min(len(all), most)] {
		texts = append(texts, one.String())
	}
	if left := len(all) - len(texts); left > 0 {
		texts = append(texts, fmt.Sprintf(more, left))
	}
	return strings.Join(texts, "; ")
}

// write calls the Logger. Close looks for it on the stack.
func (l *Log) write(n line) { l.out.write(n) }

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
