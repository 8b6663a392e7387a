package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// transport answers requests at once, in the time of a bubble.
type transport func(w http.ResponseWriter, r *http.Request)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	f(w, r)
	if w.Code == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	return w.Result(), nil
}

// growing is a node that is asked once a second: its counters grow by 10, its bytes by 1 KiB.
func growing(t *testing.T) transport {
	n := 0
	return func(w http.ResponseWriter, _ *http.Request) {
		var o map[string]any
		if err := json.Unmarshal([]byte(testdata(t, "overview.json")), &o); err != nil {
			t.Error(err)
		}
		stats := o["stats"].(map[string]any)
		stats["time"] = time.Date(2026, 5, 1, 10, 4, 8+n, 0, time.UTC).Format(time.RFC3339)
		counters := stats["counters"].(map[string]any)
		for name, by := range map[string]float64{"hits": 9, "misses": 1, "sets": 5, "bytes_in": 1024} {
			counters[name] = counters[name].(float64) + by*float64(n)
		}
		n++
		if err := json.NewEncoder(w).Encode(o); err != nil {
			t.Error(err)
		}
	}
}

// Blocks come as often as --every says, with the rates since the one before.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ctl := call{transport: growing(t)}
		r := ctl.must(t, exitOK, "watch", "-n", "3", "--every", "1s")
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("three blocks take %v", took)
		}
		golden(t, "watch-thrice.golden", r.stdout)
	})
}

// On a terminal a block is where the one before was, and no larger than the terminal.
func TestWatchOnTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctl := call{transport: growing(t), shows: true, width: 30, height: 8}
		r := ctl.must(t, exitOK, "watch", "-n", "2")
		blocks := strings.Split(r.stdout, "\x1b[H")
		if len(blocks) != 3 || blocks[0] != "" {
			t.Fatalf("there are %d blocks: %q", len(blocks)-1, r.stdout)
		}
		for _, b := range blocks[1:] {
			n := strings.Count(b, "\n")
			if n > 7 || strings.Count(b, "\x1b[K\n") != n || !strings.HasSuffix(b, "\x1b[J") {
				t.Errorf("a block has %d lines: %q", n, b)
			}
			for _, code := range []string{"\x1b[K", "\x1b[J", "\x1b[1m", "\x1b[31m", "\x1b[0m"} {
				b = strings.ReplaceAll(b, code, "")
			}
			for line := range strings.Lines(b) {
				if n := len([]rune(line)); n > 31 {
					t.Errorf("a line has %d columns: %q", n, line)
				}
			}
		}
		ctl.env = map[string]string{"TERM": "dumb"}
		if r := ctl.must(t, exitOK, "watch", "-n", "2"); strings.Contains(r.stdout, "\x1b") {
			t.Errorf("a dumb terminal gets %q", r.stdout)
		}
	})
}

// A node that goes away is asked on; one that was never there isn't. One that began anew has no rates.
func TestWatchLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, node := 0, growing(t)
		away := transport(func(w http.ResponseWriter, r *http.Request) {
			n++
			if n == 2 || n == 3 {
				w.(*httptest.ResponseRecorder).Code = 0
				return
			}
			node(w, r)
		})
		var stdout, stderr bytes.Buffer
		s := surroundings{
			stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, transport: away,
			getenv: func(string) string { return "" },
		}
		if code := run(t.Context(), []string{"watch", "-n", "4"}, s); code != exitOK {
			t.Errorf("it ends with %d", code)
		}
		blocks := strings.Count(stdout.String(), "node a1")
		lost := strings.Count(stderr.String(), "can't reach")
		if blocks != 2 || lost != 2 {
			t.Errorf("it prints %q, %q", &stdout, &stderr)
		}

		n = 0
		ctl := call{transport: away, shows: true}
		if r := ctl.must(t, exitUnreachable, "watch", "-n", "2"); !strings.Contains(r.stdout, "can't reach") ||
			r.stderr != "" {
			t.Errorf("it prints %q, %q", r.stdout, r.stderr)
		}
		n = 1
		ctl.must(t, exitUnreachable, "watch")
	})
	then, now := new(overviewAnswer), new(overviewAnswer)
	then.Stats.Time, now.Stats.Time = "2026-05-01T10:04:08Z", "2026-05-01T10:04:09Z"
	if ratesSince(now, then).seconds != 1 || ratesSince(then, now).seconds != 0 {
		t.Error("rates are of another time")
	}
	now.Node.Origin = "anew"
	if ratesSince(now, then).seconds != 0 {
		t.Error("a node that began anew has rates")
	}
}

// Ctrl-C ends it with 0, while it waits and while it asks.
func TestWatchInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, hangs := range []bool{false, true} {
			n, node := 0, growing(t)
			ctx, cancel := context.WithCancel(t.Context())
			var stdout, stderr bytes.Buffer
			s := surroundings{
				stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr,
				getenv: func(string) string { return "" },
				transport: transport(func(w http.ResponseWriter, r *http.Request) {
					if n++; n == 2 && hangs {
						<-r.Context().Done()
						w.(*httptest.ResponseRecorder).Code = 0
						return
					}
					node(w, r)
				}),
			}
			time.AfterFunc(1500*time.Millisecond, cancel)
			if code := run(ctx, []string{"watch"}, s); code != exitOK || stderr.Len() > 0 {
				t.Errorf("it ends with %d: %s", code, &stderr)
			}
			if got := strings.Count(stdout.String(), "node a1"); got != map[bool]int{false: 2, true: 1}[hangs] {
				t.Errorf("there are %d blocks", got)
			}
		}
	})
}

// A block leaves the last line of the terminal free, as it ends with a newline.
func TestFit(t *testing.T) {
	const text = "abc\n\x1b[1mdef\x1b[0m\nghi\n"
	for _, c := range []struct {
		width, height int
		want          string
	}{
		{0, 0, text}, {3, 4, text}, {80, 24, text},
		{0, 3, "abc\n\x1b[1mdef\x1b[0m\n"}, {0, 2, "abc\n"}, {2, 0, "ab\n\x1b[1mde\x1b[0m\ngh\n"},
	} {
		if got := fit(text, func() (int, int) { return c.width, c.height }); got != c.want {
			t.Errorf("in %d x %d it is %q", c.width, c.height, got)
		}
	}
}
