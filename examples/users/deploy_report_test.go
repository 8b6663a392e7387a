package main

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

func testDeployReport() *deployReport {
	r := &deployReport{
		opts: options{users: 1000, gets: 2000, puts: 90, wide: true}, elapsed: 10 * time.Second,
		tally: &deployTally{retried: 2},
		figures: figures{
			"Queries": 1300, "Fills": 1200, "FillsRefused": 34, "LeasesMissed": 5,
			"ProvisionalKept": 6, "Keys": 7,
		},
		events: []event{{2500 * time.Millisecond, "node 2 was killed", 1200 * time.Millisecond}},
	}
	r.tally.nodes = [nodeCount]nodeTally{
		{gets: 10_000, hits: 9000, puts: 600},
		{gets: 10_000, hits: 9900, puts: 400},
		{},
	}
	r.tally.whole = nodeTally{gets: 4000, hits: 3000}
	r.tally.hit.add(250 * time.Microsecond)
	r.tally.unseen.add(3 * time.Millisecond)
	return r
}

func TestDeployReport(t *testing.T) {
	r := testDeployReport()
	var b strings.Builder
	r.write(&b)
	for _, want := range []string{
		"3 processes, 1,000 users, 2000 GETs and 90 updates a second for 10.0 s, ClusterWide\n",
		"    2.5 s  node 2 was killed; started again, it was ready after 1.2 s\n",
		"  node 1                       10,600       10,000          600       90.0 %\n",
		"  node 3                            0            0            0        0.0 %\n",
		"  total                        21,000       20,000        1,000       94.5 %\n",
		"  while all were up                          4,000                    75.0 %\n",
		"  GET, cached                       1      0.25 ms      0.25 ms      0.25 ms\n",
		"1,300 queries, 130 a second: 1,000 updates, and 300 reads, 0.30 for each update.\n",
		"  FillsRefused                     34\n",
		"  LeasesMissed                      5\n",
		"  ProvisionalKept                   6\n",
		"as one didn't answer: 2 requests. Failed: 0 (must be 0).\n",
		"Stale: 0 GETs, more than 1s after an update (must be 0).\n",
		"Not seen yet: 1 GETs, up to 3.00 ms after an update.\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "Keys") || strings.Contains(b.String(), "killed: ") {
		t.Errorf("the report has what it shouldn't:\n%s", b.String())
	}
	if !r.ok() {
		t.Error("the report isn't ok")
	}
}

func TestDeployReportOfFailure(t *testing.T) {
	r := testDeployReport()
	for range 2 * shownFailures {
		r.tally.fail(errors.New("no answer"))
	}
	r.tally.lost = 4
	if r.ok() {
		t.Error("a report with failed requests is ok")
	}
	var b strings.Builder
	r.write(&b)
	if n := strings.Count(b.String(), "  no answer\n"); n != shownFailures {
		t.Errorf("%d errors are shown:\n%s", n, b.String())
	}
	for _, want := range []string{"Failed: 10 (must be 0)", "of being killed: 4 GETs"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, b.String())
		}
	}

	r = testDeployReport()
	r.tally.stale.add(2500 * time.Millisecond)
	b.Reset()
	r.write(&b)
	want := "Stale: 1 GETs, more than 1s after an update (must be 0), up to 2.5 s."
	if r.ok() || !strings.Contains(b.String(), want) {
		t.Errorf("a report with a stale GET:\n%s", b.String())
	}
}

// The figures of two lives are added up, whichever counters there are.
func TestFigures(t *testing.T) {
	s := newTestService(t)
	wantUser(t, s, "/users/7", "User 7", "miss")
	l := testLoad(t, s.handler().ServeHTTP)
	f := make(figures)
	for range 2 {
		if err := f.read(t.Context(), l.client, l.nodes.urls[0]); err != nil {
			t.Fatal(err)
		}
	}
	if f["Queries"] != 2 || f["Fills"] != 2 {
		t.Errorf("the figures are %v", f)
	}
	names := strings.Join(f.names("Fill", "Queries"), " ")
	if !strings.HasPrefix(names, "FillErrors Fills ") || !strings.HasSuffix(names, " Queries") {
		t.Errorf("the names are %s", names)
	}
	refuse := testLoad(t, func(w http.ResponseWriter, _ *http.Request) { writeError(w, 503, "no") })
	if err := f.read(t.Context(), refuse.client, refuse.nodes.urls[0]); err == nil {
		t.Error("a node that refuses is no error")
	}
}
