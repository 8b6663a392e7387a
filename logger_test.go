package bcache

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
)

var _ Logger = (*logrus.Logger)(nil)

// logLines is a Logger that remembers its lines, with E, P or D before them.
type logLines struct {
	mu    sync.Mutex
	lines []string
	hook  func() // called first
}

func (l *logLines) add(level, format string, v []any) {
	if l.hook != nil {
		l.hook()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, level+" "+fmt.Sprintf(format, v...))
}

func (l *logLines) Errorf(format string, v ...any) { l.add("E", format, v) }
func (l *logLines) Printf(format string, v ...any) { l.add("P", format, v) }
func (l *logLines) Debugf(format string, v ...any) { l.add("D", format, v) }

// take returns the lines since the last call.
func (l *logLines) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.lines
	l.lines = nil
	return lines
}

func (l *logLines) want(t *testing.T, want ...string) {
	t.Helper()
	if got := l.take(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLogrusIsALogger(t *testing.T) {
	var buf bytes.Buffer
	l := logrus.New()
	l.SetOutput(&buf)
	l.SetLevel(logrus.DebugLevel)
	l.SetFormatter(&logrus.TextFormatter{DisableTimestamp: true})

	log := newLineLog(l, time.Now)
	log.Errorf(0, "a %d", 1)
	log.Printf(0, "b %d", 2)
	log.Debugf(0, "c %d", 3)
	want := "level=error msg=\"bcache: a 1\"\nlevel=info msg=\"bcache: b 2\"\nlevel=debug msg=\"bcache: c 3\"\n"
	if buf.String() != want {
		t.Errorf("got %q, want %q", &buf, want)
	}
}

func TestSlogLogger(t *testing.T) {
	lines := []string{"level=DEBUG msg=\"c 3\"\n", "level=INFO msg=\"b 2\"\n", "level=ERROR msg=\"a 1\"\n"}
	for _, tt := range []struct {
		level slog.Level
		want  []string
	}{
		{slog.LevelDebug, lines},
		{slog.LevelInfo, lines[1:]},
		{slog.LevelWarn, lines[2:]},
		{slog.LevelError + 1, nil},
	} {
		var buf bytes.Buffer
		opts := &slog.HandlerOptions{Level: tt.level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}
		l := NewSlogLogger(slog.New(slog.NewTextHandler(&buf, opts)))
		l.Debugf("c %d", 3)
		l.Printf("b %d", 2)
		l.Errorf("a %d", 1)
		if want := strings.Join(tt.want, ""); buf.String() != want {
			t.Errorf("level %v: got %q, want %q", tt.level, &buf, want)
		}
	}
}

func TestSlogLoggerFormatsLazily(t *testing.T) {
	var formatted int
	v := logCounts{&formatted}
	l := NewSlogLogger(slog.New(slog.NewTextHandler(new(bytes.Buffer), nil))) // LevelInfo
	l.Debugf("%v", v)
	if formatted != 0 {
		t.Error("formatted for a level that is disabled")
	}
	l.Printf("%v", v)
	if formatted != 1 {
		t.Error("not formatted")
	}
}

type logCounts struct{ n *int }

func (c logCounts) String() string { *c.n++; return "" }

func TestNilSlogLogsNothing(t *testing.T) {
	var formatted int
	l := NewSlogLogger(nil)
	l.Errorf("%v", logCounts{&formatted})
	l.Printf("%v", logCounts{&formatted})
	l.Debugf("%v", logCounts{&formatted})
	if formatted != 0 {
		t.Error("formatted")
	}
}

func TestLineLogNilLogger(t *testing.T) {
	l := newLineLog(nil, func() time.Time { panic("the clock is read") })
	var v any = 1
	if n := testing.AllocsPerRun(100, func() { l.Errorf(1, "x"); l.Printf(1, "x"); l.Debugf(1, "x") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	l.Errorf(1, "x %v", v)
	l.close()
	l.Errorf(1, "x %v", v)
}

func TestLineLogThrottle(t *testing.T) {
	var out logLines
	now := time.Unix(0, 0)
	l := newLineLog(&out, func() time.Time { return now })

	for i := range 5 {
		l.Errorf(7, "refused %d", i)
	}
	out.want(t, "E bcache: refused 0")

	// Another level, peer or format is another line.
	l.Printf(7, "refused %d", 5)
	l.Errorf(8, "refused %d", 6)
	l.Errorf(0, "refused %d", 7)
	l.Errorf(7, "refused  %d", 8)
	out.want(t, "P bcache: refused 5", "E bcache: refused 6", "E bcache: refused 7", "E bcache: refused  8")

	now = now.Add(lineInterval - 1)
	l.Errorf(7, "refused %d", 9)
	out.want(t)

	now = now.Add(1)
	l.Errorf(7, "refused %d", 10)
	l.Errorf(7, "refused %d", 11)
	l.Errorf(8, "refused %d", 12)
	out.want(t, "E bcache: refused 10 (repeated 5 times)", "E bcache: refused 12")

	now = now.Add(lineInterval)
	l.Errorf(7, "refused %d", 13)
	out.want(t, "E bcache: refused 13 (repeated 1 times)")

	// Long after, with nothing held back.
	now = now.Add(time.Hour)
	l.Errorf(7, "refused %d", 14)
	out.want(t, "E bcache: refused 14")
}

func TestLineLogFormats(t *testing.T) {
	var out logLines
	now := time.Unix(0, 0)
	l := newLineLog(&out, func() time.Time { return now })
	for range 2 {
		for range 2 {
			l.Debugf(1, "%[2]d%% of %[1]d", 3, 4) // numbered arguments
			l.Debugf(1, "none")
		}
		now = now.Add(lineInterval)
	}
	out.want(t, "D bcache: 4% of 3", "D bcache: none",
		"D bcache: 4% of 3 (repeated 1 times)", "D bcache: none (repeated 1 times)")
}

// However many peers there are: the line that was logged longest ago is forgotten.
func TestLineLogMemoryIsBounded(t *testing.T) {
	var out logLines
	now := time.Unix(0, 0)
	l := newLineLog(&out, func() time.Time { return now })
	for peer := range uint64(maxLineKeys) {
		l.Printf(peer, "x")
		now = now.Add(time.Millisecond)
	}
	l.Printf(0, "x") // held back: that makes it no younger
	if n := len(out.take()); n != maxLineKeys {
		t.Fatalf("%d lines", n)
	}

	l.Printf(maxLineKeys, "x") // 0 is forgotten
	l.Printf(1, "x")
	out.want(t, "P bcache: x")
	l.Printf(0, "x")
	out.want(t, "P bcache: x")

	for peer := range uint64(10 * maxLineKeys) {
		l.Printf(peer, "y")
	}
	if n := l.history.Len(); n != maxLineKeys {
		t.Errorf("%d lines are remembered", n)
	}
}

// A Logger that logs through the same lineLog would deadlock if a lock were held.
func TestLineLogCallsWithoutLock(t *testing.T) {
	var out logLines
	l := newLineLog(&out, time.Now)
	out.hook = func() {
		out.hook = nil
		l.Printf(0, "inner")
	}
	l.Printf(0, "outer")
	out.want(t, "P bcache: inner", "P bcache: outer")
}

func TestLineLogCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out logLines
		release := make(chan struct{})
		out.hook = func() { <-release }
		l := newLineLog(&out, time.Now)

		go l.Errorf(0, "under way")
		synctest.Wait()
		closed := false
		go func() {
			l.close()
			closed = true
		}()
		synctest.Wait()
		if closed {
			t.Fatal("close didn't wait")
		}
		l.Errorf(0, "late") // returns at once, though the Logger is stuck

		close(release)
		synctest.Wait()
		if !closed {
			t.Fatal("close doesn't return")
		}
		l.Errorf(1, "after")
		l.close()
		out.want(t, "E bcache: under way")
	})
}

// A Logger that panics doesn't make close wait forever.
func TestLineLogCloseAfterPanic(t *testing.T) {
	l := newLineLog(&logLines{hook: func() { panic("user") }}, time.Now)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is gone")
			}
		}()
		l.Printf(0, "x")
	}()
	l.close()
}

func TestLineLogConcurrent(t *testing.T) {
	const writers, lines = 8, 500
	var out logLines
	var mu sync.Mutex
	var now time.Time
	l := newLineLog(&out, func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(time.Second)
		return now
	})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range lines {
				l.Debugf(uint64(i%3), "x")
				if w == 0 && i == lines/2 {
					l.close()
					out.take()
				}
			}
		})
	}
	wg.Wait()
	out.want(t)
}
