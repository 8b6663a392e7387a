package main

import (
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var all []time.Duration
	var a, b histogram
	for i := range 20_000 {
		d := time.Duration(rnd.ExpFloat64() * float64(time.Millisecond))
		all = append(all, d)
		if i%2 == 0 {
			a.add(d)
		} else {
			b.add(d)
		}
	}
	a.merge(&b)
	slices.Sort(all)
	for _, q := range []float64{0, 0.001, 0.5, 0.99, 0.9999, 1} {
		want := all[max(int(q*float64(len(all)))-1, 0)]
		got := a.quantile(q)
		if got < want || float64(got) > float64(want)*33/32+1 {
			t.Errorf("quantile %v is %v, want %v or up to 1/32 more", q, got, want)
		}
	}
	if a.count != 20_000 || a.max != all[len(all)-1] {
		t.Errorf("count %d, max %v", a.count, a.max)
	}
}

func TestQuantileOfFew(t *testing.T) {
	var h histogram
	if got := h.quantile(0.5); got != 0 {
		t.Errorf("of none: %v", got)
	}
	h.add(-1)
	h.add(1<<63 - 1)
	if h.quantile(0.5) != 0 || h.quantile(0.99) != 1<<63-1 {
		t.Errorf("of the extremes: %v, %v", h.quantile(0.5), h.quantile(0.99))
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0", 999: "999", 1000: "1,000", 999_999: "999,999", 1_234_567: "1,234,567",
	} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %q, want %q", n, got, want)
		}
	}
}

func testReport() *report {
	r := &report{database: "SQLite", clients: 8, updates: 5, seen: &visibility{changes: 50}}
	r.off.nodes[0] = nodeTally{gets: 950, puts: 50}
	r.off.queries[0] = 1000
	r.off.elapsed = 2 * time.Second
	r.on.nodes = [nodeCount]nodeTally{
		{gets: 1000, hits: 900, puts: 100},
		{gets: 2000, hits: 1900, puts: 50},
		{},
	}
	r.on.queries = [nodeCount]uint64{200, 150, 0}
	r.on.elapsed = time.Second
	r.on.changed = map[int64]struct{}{1: {}, 2: {}}
	r.on.hit.add(250 * time.Microsecond)
	r.seen.delays.add(3 * time.Millisecond)
	return r
}

func TestReport(t *testing.T) {
	r := testReport()
	var b strings.Builder
	r.write(&b)
	got := b.String()
	for _, want := range []string{
		"3 nodes, 8 clients, 10,000 users in SQLite, 5 % of the requests are updates",
		"  node 1            1,100        1,000          100          200       90.0 %\n",
		"  node 3                0            0            0            0        0.0 %\n",
		"  total             3,150        3,000          150          350       93.3 %\n",
		"in SQLite, 5 % of the requests are updates\n\nThe cache spares the database 88.9 % of its queries: " +
			"0.11 for each request instead of 1.00.\n\n",
		"  cache off             1,000          1,000               100.0            500\n",
		"  cache on              3,150            350                11.1          3,150\n",
		"  cached                                        1      0.25 ms      0.25 ms\n",
		"  uncached                                      0      0.00 ms      0.00 ms\n",
		"50 changes on one node showed on the other 2 after: p50 3.00 ms, p99 3.00 ms, max 3.00 ms.",
		"Still stale after 1s: 0 (must be 0).",
		"all 3 nodes serve exactly what the database holds, for all 2 changed users.",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the report lacks %q:\n%s", want, got)
		}
	}
	if !r.ok() {
		t.Error("the report isn't ok")
	}
}

func TestReportOfFailure(t *testing.T) {
	r := testReport()
	r.seen.stale = 1
	if r.ok() {
		t.Error("a report with a stale change is ok")
	}

	r = testReport()
	for range 12 {
		r.mismatches = append(r.mismatches, "user 7: ...")
	}
	if r.ok() {
		t.Error("a report with mismatches is ok")
	}
	var b strings.Builder
	r.write(&b)
	for _, want := range []string{"Check FAILED: 12 differences", "user 7: ...", "and 2 more"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, b.String())
		}
	}
}

// What the README shows is what is printed, but for the figures.
func TestReadmeShowsTheReport(t *testing.T) {
	shape := func(s string) string {
		s = regexp.MustCompile(`[0-9][0-9,.]*`).ReplaceAllString(s, "N")
		return strings.Join(strings.Fields(s), " ")
	}
	r := testReport()
	var b strings.Builder
	r.write(&b)
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(shape(string(readme)), shape(b.String())) {
		t.Errorf("../README.md doesn't show what is printed:\n%s", b.String())
	}
}
