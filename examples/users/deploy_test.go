package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// commandEnv makes this test binary the command, so that it can start itself as that does.
const commandEnv = "USERS_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(commandEnv) != "" {
		main()
		return
	}
	os.Setenv(commandEnv, "1") // for the processes that tests start
	m.Run()
}

func TestDeploy(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	t.Cleanup(func() {
		if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
			t.Errorf("left in the temporary directory: %v, %v", left, err)
		}
	})
	for name, more := range map[string][]string{
		"PerNode": {"-wide=false"}, "ClusterWide": nil,
		"Memberlist": {"-engine", engineMemberlist}, "NATS": {"-engine", engineNATS},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr syncBuffer
			args := strings.Fields("-deploy -duration 2s -gets 200 -puts 40 -users 50 -clients 8")
			if code := run(t.Context(), append(args, more...), &stdout, &stderr); code != exitOK {
				t.Errorf("exit %d: %s", code, stderr.String())
			}
			for _, want := range []string{
				"node 2 was killed", "node 1 was stopped", "node 3 was stopped", "while all were up",
				"Failed: 0", "Stale: 0 GETs", "for each update", "FillsRefused",
			} {
				if !strings.Contains(stdout.String(), want) {
					t.Errorf("the report lacks %q:\n%s", want, stdout.String())
				}
			}
		})
	}
	t.Run("Interrupted", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stderr := &interrupter{word: "requests", cancel: cancel}
		args := strings.Fields("-deploy -duration 1h -gets 50")
		code := run(ctx, args, io.Discard, stderr)
		if code != exitOK || !strings.Contains(stderr.String(), "interrupted") {
			t.Errorf("exit %d: %s", code, stderr.String())
		}
	})
}

// A process that ends by itself is noticed, and says why.
func TestDeployProcessFails(t *testing.T) {
	failed := make(chan error, nodeCount)
	opts := options{clients: 1, db: filepath.Join(t.TempDir(), "users.db")}
	d, err := newDeploy(opts, func(err error) { failed <- err })
	if err != nil {
		t.Fatal(err)
	}
	p := d.processes[0]
	p.command = append(p.command, "-dsn", "nonsense")
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; !strings.Contains(err.Error(), "node 1 ended by itself") ||
		!strings.Contains(err.Error(), "either -db (SQLite) or -dsn") {
		t.Errorf("the error is %v", err)
	}
	if err := d.close(); err != nil {
		t.Error(err)
	}
}

// testLoad is a load on servers that answer with these handlers.
func testLoad(t *testing.T, handlers ...http.HandlerFunc) *deployLoad {
	t.Helper()
	var urls []string
	for _, h := range handlers {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		urls = append(urls, s.URL)
	}
	l := &deployLoad{
		opts: options{users: 1, gets: 500, puts: 50, clients: 2}, client: newClient(2),
		nodes: newBalancer(urls), users: newLedger(1, "test"),
	}
	t.Cleanup(l.client.http.CloseIdleConnections)
	for i := range l.nodes.up {
		l.nodes.up[i].Store(true)
	}
	return l
}

// runLoad runs a load until some requests were sent.
func runLoad(t *testing.T, l *deployLoad, requests uint64) *deployTally {
	t.Helper()
	stop, done := make(chan struct{}), make(chan *deployTally, 1)
	go func() { done <- l.run(t.Context(), stop) }()
	waitFor(t, "requests were sent", func() bool { return l.requests.Load() >= requests })
	close(stop)
	return <-done
}

func answer(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set(cacheHeader, "hit")
		writeJSON(w, http.StatusOK, User{ID: 1, Name: name})
	}
}

func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func TestDeployLoadTriesAnotherNode(t *testing.T) {
	l := testLoad(t, answer("User 1"), hangUp)
	tally := runLoad(t, l, 20)
	if tally.failed > 0 || tally.retried == 0 || tally.nodes[1].requests() > 0 {
		t.Errorf("%+v failed, %d tried again, %+v", tally.failures, tally.retried, tally.nodes)
	}
	if l.nodes.whole() || l.nodes.pick(nil, 0) != -1 {
		t.Error("the node that hangs up is still up")
	}
}

func TestDeployLoadCountsFailures(t *testing.T) {
	tally := runLoad(t, testLoad(t, hangUp), 20)
	sent := tally.total().requests()
	if tally.failed < 20 || sent > 0 || len(tally.failures) != shownFailures {
		t.Errorf("%d failed, %d were answered, %v", tally.failed, sent, tally.failures)
	}
	refuse := func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, http.StatusServiceUnavailable, "no")
	}
	tally = runLoad(t, testLoad(t, refuse, answer("User 1")), 20)
	if tally.failed == 0 || tally.retried > 0 {
		t.Errorf("of answers with 503: %d failed, %d were tried again", tally.failed, tally.retried)
	}
}

// A node that goes on with the old user is found out.
func TestDeployLoadFindsStaleUsers(t *testing.T) {
	l := testLoad(t, answer("User 1"))
	if tally := runLoad(t, l, 50); tally.unseen.count == 0 {
		t.Errorf("no GET was behind an update: %+v", tally.nodes)
	}
	for i := range l.users.accounts[0].acks {
		l.users.accounts[0].acks[i].at = l.users.accounts[0].acks[i].at.Add(-2 * staleAfter)
	}
	l.opts.puts = 1e-9
	tally := runLoad(t, l, l.requests.Load()+10)
	if tally.stale.count == 0 {
		t.Errorf("no GET was stale: %+v", tally.nodes)
	}
	if rep := (deployReport{tally: tally}); rep.ok() {
		t.Error("a report with stale GETs is ok")
	}
}

func TestLedger(t *testing.T) {
	l := newLedger(1, "test")
	start := time.Now()
	fail := errors.New("failed")
	for _, err := range []error{nil, fail, nil} { // versions 1 to 3
		got := l.update(1, func(name string) (int, error) { return 2, err })
		if !errors.Is(got, err) {
			t.Errorf("update = %v, want %v", got, err)
		}
	}
	acks := l.accounts[0].acks
	acks[0].at, acks[2].at = start.Add(time.Second), start.Add(3*time.Second)
	for _, tt := range []struct {
		name  string
		began time.Duration
		want  time.Duration
	}{
		{"User 1", 1 * time.Second, 0}, // not acknowledged before
		{"User 1", 2 * time.Second, time.Second},
		{"User 1", 9 * time.Second, 8 * time.Second},
		{"test 1", 3 * time.Second, 0}, // version 2 was never acknowledged
		{"test 1", 4 * time.Second, time.Second},
		{"test 2", 4 * time.Second, time.Second},
		{"test 3", 9 * time.Second, 0},
		{"test 4", 9 * time.Second, 0},                               // on its way to be acknowledged
		{"other 4", 2 * time.Second, time.Second},                    // of an earlier run
		{"test x", 2500 * time.Millisecond, 1500 * time.Millisecond}, // not ours
	} {
		age, lost := l.behind(User{ID: 1, Name: tt.name}, start.Add(tt.began))
		if age != tt.want || lost {
			t.Errorf("%q after %v is %v behind, lost %v, want %v", tt.name, tt.began, age, lost, tt.want)
		}
	}

	// Version 3 went down with its process.
	l.killed.Store(&kill{start.Add(3*time.Second + lostWithin/2), 2})
	later := start.Add(9 * time.Second)
	if age, lost := l.behind(User{ID: 1, Name: "test 1"}, later); age != 6*time.Second || !lost {
		t.Errorf("%v behind, lost %v", age, lost)
	}
	if age, lost := l.behind(User{ID: 1, Name: "User 1"}, later); age != 8*time.Second || lost {
		t.Errorf("version 1 didn't: %v behind, lost %v", age, lost)
	}
}

func TestTail(t *testing.T) {
	var log tail
	for range 3 {
		if n, err := log.Write([]byte(strings.Repeat("x", tailSize-1) + "\n")); n != tailSize || err != nil {
			t.Fatal(n, err)
		}
	}
	log.Write([]byte("end"))
	if s := log.String(); len(s) != tailSize || !strings.HasSuffix(s, "x\nend") {
		t.Errorf("%d bytes, ending in %q", len(s), s[len(s)-10:])
	}
}
