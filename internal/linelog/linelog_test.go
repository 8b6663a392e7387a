package linelog

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
)

// flush waits until what was logged has reached the Logger.
func (l *Log) flush() {
	for waiting := 1; waiting > 0; waiting, _ = l.lines.Waiting() {
		l.lines.Wait(context.Background())
	}
}

func closeLog(l *Log) bool { return l.Close(context.Background()) }

func TestLineLogNilLogger(t *testing.T) {
	l := New(nil, func() time.Time { panic("the clock is read") })
	var v any = 1
	if n := testing.AllocsPerRun(100, func() { l.Errorf(1, "x"); l.Printf(1, "x"); l.Debugf(1, "x") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	l.Errorf(1, "x %v", v)
	closeLog(l)
	l.Errorf(1, "x %v", v)
}

func TestLineLogThrottle(t *testing.T) {
	var out testkit.Log
	now := time.Unix(0, 0)
	l := New(&out, func() time.Time { return now })

	for i := range 5 {
		l.Errorf(7, "refused %d", i)
	}
	l.flush()
	out.Want(t, "E bcache: refused 0")

	// Another level, peer or format is another line.
	l.Printf(7, "refused %d", 5)
	l.Errorf(8, "refused %d", 6)
	l.Errorf(0, "refused %d", 7)
	l.Errorf(7, "refused  %d", 8)
	l.flush()
	out.Want(t, "P bcache: refused 5", "E bcache: refused 6", "E bcache: refused 7", "E bcache: refused  8")

	now = now.Add(lineInterval - 1)
	l.Errorf(7, "refused %d", 9)
	l.flush()
	out.Want(t)

	now = now.Add(1)
	l.Errorf(7, "refused %d", 10)
	l.Errorf(7, "refused %d", 11)
	l.Errorf(8, "refused %d", 12)
	l.flush()
	out.Want(t, "E bcache: refused 10 (repeated 5 times)", "E bcache: refused 12")

	now = now.Add(lineInterval)
	l.Errorf(7, "refused %d", 13)
	l.flush()
	out.Want(t, "E bcache: refused 13 (repeated once)")

	// Long after, with nothing held back.
	now = now.Add(time.Hour)
	l.Errorf(7, "refused %d", 14)
	l.flush()
	out.Want(t, "E bcache: refused 14")
}

func TestLineLogFormats(t *testing.T) {
	var out testkit.Log
	now := time.Unix(0, 0)
	l := New(&out, func() time.Time { return now })
	for range 2 {
		for range 2 {
			l.Debugf(1, "%[2]d%% of %[1]d", 3, 4) // numbered arguments
			l.Debugf(1, "none")
		}
		now = now.Add(lineInterval)
	}
	l.flush()
	out.Want(t, "D bcache: 4% of 3", "D bcache: none",
		"D bcache: 4% of 3 (repeated once)", "D bcache: none (repeated once)")
}

// However many peers there are: the line that was logged longest ago is forgotten.
func TestLineLogMemoryIsBounded(t *testing.T) {
	var out testkit.Log
	now := time.Unix(0, 0)
	l := New(&out, func() time.Time { return now })
	for peer := range uint64(maxLineKeys) {
		l.Printf(peer, "x")
		l.flush()
		now = now.Add(time.Millisecond)
	}
	l.Printf(0, "x") // held back: that makes it no younger
	l.flush()
	if n := len(out.Take()); n != maxLineKeys {
		t.Fatalf("%d lines", n)
	}

	l.Printf(maxLineKeys, "x") // 0 is forgotten
	l.Printf(1, "x")
	l.flush()
	out.Want(t, "P bcache: x")
	l.Printf(0, "x")
	l.flush()
	out.Want(t, "P bcache: x")

	for peer := range uint64(10 * maxLineKeys) {
		l.Printf(peer, "y")
	}
	if n := l.history.Len(); n != maxLineKeys {
		t.Errorf("%d lines are remembered", n)
	}
}

// A Logger may log through the same Log: no lock is held, and lines are called one at a time.
func TestLineLogCallsWithoutLock(t *testing.T) {
	var out testkit.Log
	l := New(&out, time.Now)
	out.Hook = func() {
		out.Hook = nil
		l.Printf(0, "inner")
	}
	l.Printf(0, "outer")
	l.flush()
	out.Want(t, "P bcache: outer", "P bcache: inner")
}

// close waits for a Logger that is slow, and returns when its limit has come.
func TestLineLogCloseWaits(t *testing.T) {
	for _, stuck := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var out testkit.Log
			out.Hook = func() { testkit.Advance(time.Second) }
			l := New(&out, time.Now)
			l.Errorf(0, "under way")
			l.Errorf(0, "queued")
			l.Errorf(0, "at last")
			limit := 4 * time.Second
			if stuck {
				limit = 1500 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			start := time.Now()
			if done := l.Close(ctx); done == stuck || time.Since(start) > limit {
				t.Errorf("close = %v after %v", done, time.Since(start))
			}
			l.Errorf(1, "after")
			testkit.Advance(time.Minute)
			if stuck { // no call begins after the limit
				out.Want(t, "E bcache: under way", "E bcache: queued")
				return
			}
			out.Want(t, "E bcache: under way", "E bcache: queued", "E bcache: at last")
			if !l.Close(t.Context()) {
				t.Error("a second close = false")
			}
		})
	}
}

// A Logger that hangs holds up nobody, and what waits for it is bounded; how many lines there was no
// room for is told in their place.
func TestLineLogStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out testkit.Log
		release := make(chan struct{})
		out.Hook = func() { <-release }
		l := New(&out, time.Now)
		start := time.Now()
		const lines = 1 + lineQueue + 50
		for peer := range uint64(lines) {
			l.Printf(peer, "%d", peer)
			synctest.Wait() // the first one is being logged
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("it took %v", took)
		}
		close(release)
		l.flush()
		got := out.Take()
		last := "E bcache: lines were dropped, as the Logger was too slow: 50"
		if len(got) != lines-50+1 || got[lineQueue] != "P bcache: 256" || got[lineQueue+1] != last {
			t.Errorf("%d lines, at last %q", len(got), got[max(0, len(got)-2):])
		}
		l.Printf(0, "again")
		l.flush()
		out.Want(t, "P bcache: again")
	})
}

// A list in a line is of so many things at most.
func TestList(t *testing.T) {
	all := []time.Duration{time.Second, time.Minute, time.Hour}
	for most, want := range []string{"3 more", "1s; 2 more", "1s; 1m0s; 1 more", "1s; 1m0s; 1h0m0s"} {
		if got := List(all, most, "%d more"); got != want {
			t.Errorf("the first %d: %q, want %q", most, got, want)
		}
	}
	if got := List(all[:0], 3, "%d more"); got != "" {
		t.Errorf("of nothing: %q", got)
	}
}

// What waits is bounded in bytes, and is the Log's own: a text is cut, a value may change later.
func TestLineLogArguments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out testkit.Log
		release := make(chan struct{})
		out.Hook = func() { <-release }
		l := New(&out, time.Now)
		huge := strings.Repeat("é", 1<<15)
		for peer := range uint64(1000) {
			l.Errorf(peer, "%v %s %q", errors.New(huge), huge, []string{huge})
		}
		synctest.Wait()
		l.lines.Mu.Lock()
		n := l.lines.Bytes
		l.lines.Mu.Unlock()
		if n == 0 || n > lineQueueBytes {
			t.Errorf("%d bytes wait", n)
		}
		close(release)
		l.flush()
		out.Take()

		l.Debugf(0, huge+"%d", 1) // as a stranger's name may be in a format
		l.flush()
		if got := out.Take(); len(got) != 1 || len(got[0]) > 2*maxLineText {
			t.Errorf("%d lines", len(got))
		}
		for _, key := range l.history.Keys() {
			if len(key.format) > maxLineText {
				t.Errorf("a format of %d bytes is remembered", len(key.format))
			}
		}

		value := []byte("before")
		var typed time.Duration = 1500 * time.Millisecond
		l.Errorf(0, "%s %v %d %x %v %v %v", value, typed, uint16(7), uint64(255), nil, true, logPanics{})
		copy(value, "later ")
		l.flush()
		got := out.Take()
		if len(got) != 1 || !strings.HasPrefix(got[0], "E bcache: before 1.5s 7 ff <nil> true %!v(PANIC=") {
			t.Errorf("got %q", got)
		}
	})
}

type logPanics struct{}

func (logPanics) String() string { panic("String fails") }

// A Logger that panics, or ends its goroutine, ends neither the process nor the log.
func TestLineLogMisbehaviour(t *testing.T) {
	var out testkit.Log
	n := 0
	out.Hook = func() {
		switch n++; n {
		case 1:
			panic("user")
		case 2:
			runtime.Goexit()
		}
	}
	l := New(&out, time.Now)
	for i := range 3 {
		l.Printf(uint64(i), "x %d", i)
		l.Printf(uint64(i), "y %d", i)
		l.flush()
	}
	if got := out.Take(); len(got) == 0 {
		t.Error("nothing was logged")
	}
	if !closeLog(l) {
		t.Error("close = false")
	}
}

func TestLineLogConcurrent(t *testing.T) {
	const writers, lines = 8, 500
	var out testkit.Log
	var mu sync.Mutex
	var now time.Time
	l := New(&out, func() time.Time {
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
					closeLog(l)
					out.Take()
				}
			}
		})
	}
	wg.Wait()
	out.Want(t)
}
