package main

import (
	"fmt"
	"io"
	"strconv"
	"time"
)

// shownMismatches is how many differences are printed in full.
const shownMismatches = 10

// A report is what the demo found out.
type report struct {
	database   string
	clients    int
	updates    float64 // percent of the requests
	off, on    phase   // without and with the cache
	seen       *visibility
	mismatches []string
}

// A phase is what one load did.
type phase struct {
	tally
	elapsed time.Duration
	queries [nodeCount]uint64
}

// ok tells whether the nodes were up to date: a change shows soon, and in the end
// all serve what the database holds.
func (r *report) ok() bool { return r.seen.stale == 0 && len(r.mismatches) == 0 }

// write writes the report for people.
func (r *report) write(w io.Writer) {
	fmt.Fprintf(w, "\n%d nodes, %d clients, %s users in %s, %v %% of the requests are updates\n",
		nodeCount, r.clients, count(userCount), r.database, r.updates)
	r.writeSpared(w)
	r.writeNodes(w)
	r.writeLatency(w)
	r.writeVerdict(w)
}

func (r *report) writeNodes(w io.Writer) {
	const row = "  %-10s %12s %12s %12s %12s %12s\n"
	fmt.Fprintf(w, "\n"+row, "", "requests", "GET", "PUT", "DB queries", "hit ratio")
	line := func(name string, n nodeTally, queries uint64) {
		fmt.Fprintf(w, row, name, count(n.requests()), count(n.gets), count(n.puts), count(queries), percent(n.hitRatio()))
	}
	for i, n := range r.on.nodes {
		line(fmt.Sprintf("node %d", i+1), n, r.on.queries[i])
	}
	line("total", r.on.total(), r.on.allQueries())
}

// writeSpared says first what it is all about. Requests per second say little: clients, nodes and
// database share one machine, and HTTP is what keeps it busy, with the cache and without.
func (r *report) writeSpared(w io.Writer) {
	off, on := r.off.perRequest(), r.on.perRequest()
	spared := 0.0
	if off > 0 {
		spared = 1 - on/off
	}
	fmt.Fprintf(w, "\nThe cache spares the database %s of its queries: %.2f for each request instead of %.2f.\n",
		percent(spared), on, off)
	const row = "  %-12s %14s %14s %19s %14s\n"
	fmt.Fprintf(w, "\n"+row, "", "requests", "DB queries", "for 100 requests", "requests/s")
	line := func(name string, p *phase) {
		n := p.total().requests()
		fmt.Fprintf(w, row, name, count(n), count(p.allQueries()),
			fmt.Sprintf("%.1f", 100*p.perRequest()), count(perSecond(n, p.elapsed.Seconds())))
	}
	line("cache off", &r.off)
	line("cache on", &r.on)
	fmt.Fprintf(w, "  (Clients, nodes and %s share this machine, which HTTP keeps busy either way.)\n", r.database)
}

func (r *report) writeLatency(w io.Writer) {
	const row = "  %-36s %10s %12s %12s\n"
	fmt.Fprintf(w, "\n"+row, "GET, as the client sees it", "count", "p50", "p99")
	line := func(name string, h *histogram) {
		fmt.Fprintf(w, row, name, count(h.count), millis(h.quantile(0.50)), millis(h.quantile(0.99)))
	}
	line("cached", &r.on.hit)
	line("uncached", &r.on.miss)
	line("uncached, cache off", &r.off.miss)
}

func (r *report) writeVerdict(w io.Writer) {
	s := r.seen
	if s.changes == 0 {
		fmt.Fprintf(w, "\nHow soon a change shows on the other nodes could not be measured.\n")
	} else {
		fmt.Fprintf(w, "\n%d changes on one node showed on the other %d after: p50 %s, p99 %s, max %s.\n",
			s.changes, nodeCount-1, millis(s.delays.quantile(0.50)), millis(s.delays.quantile(0.99)), millis(s.delays.max))
		fmt.Fprintf(w, "Still stale after %v: %d (must be 0).\n", staleAfter, s.stale)
	}

	changed := count(uint64(len(r.on.changed)))
	if len(r.mismatches) == 0 {
		fmt.Fprintf(w, "Check: all %d nodes serve exactly what the database holds, for all %s changed users.\n", nodeCount, changed)
		return
	}
	fmt.Fprintf(w, "Check FAILED: %d differences between nodes and database, in %s changed users:\n", len(r.mismatches), changed)
	for _, m := range r.mismatches[:min(len(r.mismatches), shownMismatches)] {
		fmt.Fprintf(w, "  %s\n", m)
	}
	if more := len(r.mismatches) - shownMismatches; more > 0 {
		fmt.Fprintf(w, "  and %d more\n", more)
	}
}

func (p *phase) allQueries() (sum uint64) {
	for _, n := range p.queries {
		sum += n
	}
	return sum
}

// perRequest is how many queries a request took, 0 if there were none.
func (p *phase) perRequest() float64 {
	return float64(p.allQueries()) / float64(max(p.total().requests(), 1))
}

func perSecond(n uint64, seconds float64) uint64 { return uint64(float64(n)/seconds + 0.5) }

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

func millis(d time.Duration) string { return fmt.Sprintf("%.2f ms", d.Seconds()*1000) }

// count writes a number with a comma between thousands.
func count(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
