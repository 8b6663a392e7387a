package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestDemo(t *testing.T) {
	for _, engine := range engineNames {
		t.Run(engine, func(t *testing.T) { testDemo(t, engine) })
	}
}

func testDemo(t *testing.T, engine string) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	var stdout, stderr syncBuffer
	code := run(t.Context(), []string{"-duration", "300ms", "-engine", engine}, &stdout, &stderr)
	if code != exitOK {
		t.Errorf("exit %d: %s", code, stderr.String())
	}
	for _, want := range []string{"node 3", "total", "cache off", "p99", "must be 0", "Check: all 3 nodes serve exactly"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, stdout.String())
		}
	}
	if strings.ContainsAny(stderr.String(), "\r\x1b") {
		t.Errorf("terminal codes where there is no terminal: %q", stderr.String())
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left in the temporary directory: %v, %v", left, err)
	}
}

// interrupter is a writer that cancels when it sees a word: Ctrl-C at that moment.
type interrupter struct {
	syncBuffer
	word   string
	cancel context.CancelFunc
}

func (w *interrupter) Write(p []byte) (int, error) {
	if strings.Contains(string(p), w.word) {
		w.cancel()
	}
	return w.syncBuffer.Write(p)
}

func TestDemoInterrupted(t *testing.T) {
	for _, word := range []string{"filling a database", "without the cache"} {
		tmp := t.TempDir()
		t.Setenv("TMPDIR", tmp)
		ctx, cancel := context.WithCancel(t.Context())
		stderr := &interrupter{word: word, cancel: cancel}
		if code := run(ctx, []string{"-duration", "1h"}, io.Discard, stderr); code != exitOK {
			t.Errorf("at %q: exit %d: %s", word, code, stderr.String())
		}
		if !strings.Contains(stderr.String(), "interrupted") {
			t.Errorf("at %q: it says %q", word, stderr.String())
		}
		if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
			t.Errorf("at %q: left in the temporary directory: %v, %v", word, left, err)
		}
		cancel()
	}
}

// newTestDemo starts a demo's nodes.
func newTestDemo(t *testing.T) *demo {
	t.Helper()
	d := &demo{
		opts:     options{clients: 4, updates: 5, duration: 100 * time.Millisecond, db: filepath.Join(t.TempDir(), "users.db")},
		client:   newClient(4),
		progress: newProgress(io.Discard),
		log:      slog.New(slog.DiscardHandler),
	}
	t.Cleanup(func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	})
	if err := d.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

// Every query is accounted for: one per GET that missed, and one per PUT.
func TestMeasureCountsQueries(t *testing.T) {
	d := newTestDemo(t)
	off, err := d.measureUncached(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	on, seen, err := d.measureCached(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range d.nodes {
		if n := off.nodes[i]; n.hits != 0 || off.queries[i] != n.requests() {
			t.Errorf("node %d without the cache: %+v, but %d queries", i+1, n, off.queries[i])
		}
		if n := on.nodes[i]; n.hits == 0 || on.queries[i] != n.gets-n.hits+n.puts {
			t.Errorf("node %d with the cache: %+v, but %d queries", i+1, n, on.queries[i])
		}
	}
	if seen.changes == 0 || seen.delays.count != uint64(2*seen.changes) {
		t.Errorf("%d changes were watched, %d times", seen.changes, seen.delays.count)
	}
}

func TestCheckFindsStaleUsers(t *testing.T) {
	d := newTestDemo(t)
	changed := map[int64]struct{}{7: {}, 8: {}}
	if got, err := d.check(t.Context(), changed); err != nil || len(got) > 0 {
		t.Errorf("a fresh cluster: %q, %v", got, err)
	}
	// A change behind the cache's back: every node has the old name.
	if err := d.nodes[0].store.Rename(t.Context(), 7, "Ada"); err != nil {
		t.Fatal(err)
	}
	got, err := d.check(t.Context(), changed)
	if err != nil || len(got) != nodeCount {
		t.Errorf("got %q, %v, want a line per node", got, err)
	}
	for _, line := range got {
		if !strings.Contains(line, "user 7") || !strings.Contains(line, "Ada") {
			t.Errorf("the line is %q", line)
		}
	}
}

func TestRunNode(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stderr := &interrupter{word: "msg=serving", cancel: cancel}
	args := []string{"-node", "-listen", "127.0.0.1:0", "-http", "127.0.0.1:0", "-db", filepath.Join(t.TempDir(), "users.db")}
	if code := run(ctx, args, io.Discard, stderr); code != exitOK {
		t.Errorf("exit %d: %s", code, stderr.String())
	}
	if !strings.Contains(stderr.String(), "msg=stopped") {
		t.Errorf("the log is %s", stderr.String())
	}
}

func TestRunNodePortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	used := l.Addr().String()
	for _, ports := range [][2]string{{used, "127.0.0.1:0"}, {"127.0.0.1:0", used}} {
		var stderr syncBuffer
		args := []string{"-node", "-listen", ports[0], "-http", ports[1], "-db", filepath.Join(t.TempDir(), "users.db")}
		if code := run(t.Context(), args, io.Discard, &stderr); code != exitFailed || !strings.Contains(stderr.String(), used) {
			t.Errorf("-listen %s -http %s: exit %d: %s", ports[0], ports[1], code, stderr.String())
		}
	}
}

// Two processes: own database handles on one file, one cluster.
func TestNodesShareChanges(t *testing.T) {
	opts := options{listen: "127.0.0.1:0", http: "127.0.0.1:0", db: filepath.Join(t.TempDir(), "users.db")}
	var nodes []*node
	for range 2 {
		n, err := startNode(t.Context(), opts, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			http.DefaultClient.CloseIdleConnections()
			if err := n.close(); err != nil {
				t.Error(err)
			}
		})
		nodes = append(nodes, n)
		opts.peers = append(opts.peers, n.cache.Addr())
	}
	for _, n := range nodes {
		waitFor(t, "the nodes see each other", func() bool { return len(n.cache.Members()) == 1 })
	}

	c := newClient(1)
	defer c.http.CloseIdleConnections()
	name := func(n *node) string {
		u, _, err := c.get(t.Context(), n.url, 7)
		if err != nil {
			t.Fatal(err)
		}
		return u.Name
	}
	if got := name(nodes[1]); got != "User 7" {
		t.Errorf("the name is %q", got)
	}
	if err := c.rename(t.Context(), nodes[0].url, 7, "Ada"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the other node shows the change", func() bool { return name(nodes[1]) == "Ada" })
}
