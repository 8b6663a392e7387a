package bcache

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	lineInterval = 10 * time.Second // between two lines that repeat
	maxLineKeys  = 1024             // lines that are remembered
)

// A lineLog stands between the library and the user's Logger: what repeats, because
// a peer misbehaves or comes and goes, must not fill a disk. Lines that differ in
// level, peer or format don't hold each other back. It starts no goroutine, so
// what was held back is told by the next line that passes, or never.
//
// All methods are safe for concurrent use. The Logger is called without a lock held:
// a slow one holds up its callers, and nobody else.
type lineLog struct {
	out Logger // nil logs nothing
	now func() time.Time

	mu      sync.Mutex
	closed  bool
	calls   sync.WaitGroup                        // calls of out; it grows under mu, and not once closed
	history *simplelru.LRU[lineKey, *lineHistory] // by when they were logged; the oldest is forgotten
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

func newLineLog(l Logger, now func() time.Time) *lineLog {
	history, _ := simplelru.NewLRU[lineKey, *lineHistory](maxLineKeys, nil) // it fails only for a size below 1
	return &lineLog{out: l, now: now, history: history}
}

// Errorf, Printf and Debugf log a line about peer, 0 for none, as Logger says. The
// format is what identifies the line: it must be a constant, it holds no
// "bcache: ", and it names the peer if the line should.
func (l *lineLog) Errorf(peer uint64, format string, v ...any) { l.logf(lineError, peer, format, v...) }
func (l *lineLog) Printf(peer uint64, format string, v ...any) { l.logf(linePrint, peer, format, v...) }
func (l *lineLog) Debugf(peer uint64, format string, v ...any) { l.logf(lineDebug, peer, format, v...) }

// close returns when no call of the Logger is under way, and none will follow. The
// Logger must not call it.
func (l *lineLog) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.calls.Wait()
}

func (l *lineLog) logf(level lineLevel, peer uint64, format string, v ...any) {
	if false {
		_ = fmt.Sprintf(format, v...) // has go vet check the callers' formats
	}
	if l.out == nil {
		return
	}
	held, ok := l.begin(lineKey{level, peer, format})
	if !ok {
		return
	}
	defer l.calls.Done()

	format = "bcache: " + format
	if held > 0 {
		// Not as an argument: the format may number its own.
		format += " (repeated " + strconv.Itoa(held) + " times)"
	}
	switch level {
	case lineError:
		l.out.Errorf(format, v...)
	case linePrint:
		l.out.Printf(format, v...)
	case lineDebug:
		l.out.Debugf(format, v...)
	}
}

// begin decides whether a line is logged now. If so, it counts as under way, and
// held is how many like it were held back before.
func (l *lineLog) begin(k lineKey) (held int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, false
	}
	now := l.now()
	if h, found := l.history.Peek(k); found {
		if now.Sub(h.logged) < lineInterval {
			h.held++
			return 0, false
		}
		held = h.held
	}
	l.history.Add(k, &lineHistory{logged: now})
	l.calls.Add(1)
	return held, true
}
