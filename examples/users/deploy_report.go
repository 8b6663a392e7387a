package main

import (
	"fmt"
	"io"
	"time"
)

// A deployReport is what the demo found out.
type deployReport struct {
	opts    options
	elapsed time.Duration
	tally   *deployTally
	figures figures
	events  []event
}

// ok tells whether clients noticed nothing.
func (r *deployReport) ok() bool { return r.tally.failed == 0 && r.tally.stale.count == 0 }

// write writes the report for people.
func (r *deployReport) write(w io.Writer) {
	fill := "one fill per node at a time"
	if r.opts.wide {
		fill = "ClusterWide"
	}
	fmt.Fprintf(w, "\n%d processes, %s users, %v GETs and %v updates a second for %.1f s, %s\n\n",
		nodeCount, count(uint64(r.opts.users)), r.opts.gets, r.opts.puts, r.elapsed.Seconds(), fill)
	for _, e := range r.events {
		fmt.Fprintf(w, "  %5.1f s  %s; started again, it was ready after %.1f s\n",
			e.at.Seconds(), e.what, e.ready.Seconds())
	}
	r.writeNodes(w)
	r.writeLatency(w)
	r.writeDatabase(w)
	r.writeVerdict(w)
}

func (r *deployReport) writeNodes(w io.Writer) {
	const row = "  %-22s %12s %12s %12s %12s\n"
	fmt.Fprintf(w, "\n"+row, "", "requests", "GET", "PUT", "hit ratio")
	line := func(name string, n nodeTally) {
		fmt.Fprintf(w, row, name, count(n.requests()), count(n.gets), count(n.puts), percent(n.hitRatio()))
	}
	for i, n := range r.tally.nodes {
		line(fmt.Sprintf("node %d", i+1), n)
	}
	line("total", r.tally.total())
	whole := r.tally.whole
	fmt.Fprintf(w, row, "while all were up", "", count(whole.gets), "", percent(whole.hitRatio()))
}

func (r *deployReport) writeLatency(w io.Writer) {
	const row = "  %-22s %12s %12s %12s %12s\n"
	fmt.Fprintf(w, "\n"+row, "as the client sees it", "count", "p50", "p99", "max")
	line := func(name string, h *histogram) {
		p50, p99 := h.quantile(0.50), h.quantile(0.99)
		fmt.Fprintf(w, row, name, count(h.count), millis(p50), millis(p99), millis(h.max))
	}
	line("GET, cached", &r.tally.hit)
	line("GET, uncached", &r.tally.miss)
	line("PUT", &r.tally.put)
}

func (r *deployReport) writeDatabase(w io.Writer) {
	s, puts := r.elapsed.Seconds(), r.tally.total().puts
	queries := r.figures["Queries"]
	reads := queries - min(puts, queries)
	fmt.Fprintf(w, "\nThe database had %s queries, %s a second: %s updates, and %s reads",
		count(queries), count(perSecond(queries, s)), count(puts), count(reads))
	fmt.Fprintf(w, ", %.2f for each update.\n", float64(reads)/float64(max(puts, 1)))
	fmt.Fprintln(w, "Stats of the nodes, added up:")
	for _, name := range r.figures.names("Fill", "Hits", "Lease", "Misses", "Provisional") {
		fmt.Fprintf(w, "  %-24s %10s\n", name, count(r.figures[name]))
	}
}

func (r *deployReport) writeVerdict(w io.Writer) {
	t := r.tally
	fmt.Fprintf(w, "\nSent to another node, as one didn't answer: %d requests. Failed: %d (must be 0).\n",
		t.retried, t.failed)
	for _, err := range t.failures {
		fmt.Fprintf(w, "  %v\n", err)
	}
	fmt.Fprintf(w, "Stale: %d GETs, more than %v after an update (must be 0)", t.stale.count, staleAfter)
	if t.stale.count > 0 {
		fmt.Fprintf(w, ", up to %.1f s", t.stale.max.Seconds())
	}
	fmt.Fprintf(w, ".\nNot seen yet: %d GETs, up to %s after an update.\n",
		t.unseen.count, millis(t.unseen.max))
	if t.lost > 0 {
		fmt.Fprintf(w, "Behind an update that its node had answered within %v of being killed: %d GETs.\n",
			lostWithin, t.lost)
	}
}
