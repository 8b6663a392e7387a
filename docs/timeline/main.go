// Command timeline draws docs/timeline.svg: what happens to a hot key at its deadline, by the options of a
// Loader. It writes to stdout:
//
//	go run ./docs/timeline > docs/timeline.svg
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
)

// What callers get, in some part of the time.
type state int

const (
	fresh   state = iota // a fresh value, at once
	stale                // an old value, at once
	waiting              // they wait for a fill
	failing              // an error
)

var states = []struct {
	name, colour string
	state        state
}{
	{"fresh, at once", "#4c9f70", fresh},
	{"stale, at once", "#e3b23c", stale},
	{"callers wait", "#c8553d", waiting},
	{"callers get the error", "#7d7d7d", failing},
}

// Time is in tenths of a second. The key was written at 0 and its deadline is at 20; a query takes 4.
const (
	begin    = 8
	deadline = 20
	end      = 46
	query    = 4
)

type span struct {
	from, to int
	state    state
}

// A bar is a query.
type bar struct {
	from  int
	lane  int // the node, if several ask
	fails bool
}

type row struct {
	title, says string
	spans       []span
	queries     []bar
}

// everyNode is what is asked by each node.
func everyNode(from int) (bars []bar) {
	for lane := range 4 {
		bars = append(bars, bar{from: from, lane: lane})
	}
	return bars
}

var rows = []row{
	{
		"without options", "every node asks, callers wait",
		[]span{{begin, deadline, fresh}, {deadline, deadline + query, waiting}, {deadline + query, end, fresh}},
		everyNode(deadline),
	},
	{
		"ClusterWide", "one node asks for all, callers wait",
		[]span{{begin, deadline, fresh}, {deadline, deadline + query, waiting}, {deadline + query, end, fresh}},
		[]bar{{from: deadline}},
	},
	{
		"RefreshAhead", "a hit shortly before starts the query",
		[]span{{begin, end, fresh}},
		everyNode(deadline - 5),
	},
	{
		"StaleFor", "the old value meanwhile",
		[]span{{begin, deadline, fresh}, {deadline, deadline + query, stale}, {deadline + query, end, fresh}},
		everyNode(deadline),
	},
	{
		"StaleFor and ClusterWide", "and one node asks for all",
		[]span{{begin, deadline, fresh}, {deadline, deadline + query, stale}, {deadline + query, end, fresh}},
		[]bar{{from: deadline}},
	},
	{
		"database down, without options", "nothing to serve; tried once per RetryAfter",
		[]span{{begin, deadline, fresh}, {deadline, deadline + query, waiting}, {deadline + query, 34, failing}, {34, 34 + query, waiting}, {34 + query, end, failing}},
		[]bar{{from: deadline, fails: true}, {from: 34, fails: true}},
	},
	{
		"database down, StaleOnErrorFor", "the old value once it is known; tried again behind it",
		[]span{{begin, deadline, fresh}, {deadline, deadline + query, waiting}, {deadline + query, end, stale}},
		[]bar{{from: deadline, fails: true}, {from: 34, fails: true}},
	},
}

const (
	left      = 252 // of the time axis
	unit      = 14  // a tenth of a second
	rowHeight = 52
	top       = 56
	width     = left + (end-begin)*unit + 20
)

func x(t int) int { return left + (t-begin)*unit }

func main() {
	w := bufio.NewWriter(os.Stdout)
	draw(w)
	if err := w.Flush(); err != nil {
		fmt.Fprintln(os.Stderr, "timeline:", err)
		os.Exit(1)
	}
}

func draw(w io.Writer) {
	height := top + len(rows)*rowHeight + 40
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" font-family="sans-serif" font-size="13" fill="#222">`+"\n", width, height, width)
	fmt.Fprintf(w, "<title>What happens to a hot key at its deadline, by the options of a Loader</title>\n")
	fmt.Fprintf(w, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	at := left
	for _, s := range states {
		fmt.Fprintf(w, `<rect x="%d" y="14" width="14" height="14" fill="%s"/><text x="%d" y="26">%s</text>`+"\n", at, s.colour, at+19, s.name)
		at += 34 + 7*len(s.name)
	}
	fmt.Fprintf(w, `<text x="12" y="26" fill="#666">what callers get; below: queries</text>`+"\n")
	bottom := top + len(rows)*rowHeight
	fmt.Fprintf(w, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#222" stroke-dasharray="4 3"/>`+"\n", x(deadline), top-10, x(deadline), bottom)
	fmt.Fprintf(w, `<text x="%d" y="%d" text-anchor="middle">deadline</text>`+"\n", x(deadline), bottom+18)
	fmt.Fprintf(w, `<text x="%d" y="%d" text-anchor="end" fill="#666">time</text><path d="M%d %d h-40 m34 -4 l6 4 l-6 4" fill="none" stroke="#666"/>`+"\n",
		x(end)-46, bottom+18, x(end), bottom+14)
	for i, r := range rows {
		drawRow(w, top+i*rowHeight, r)
	}
	fmt.Fprintln(w, "</svg>")
}

func drawRow(w io.Writer, y int, r row) {
	fmt.Fprintf(w, `<text x="12" y="%d" font-weight="bold">%s</text><text x="12" y="%d" font-size="11" fill="#666">%s</text>`+"\n", y+13, r.title, y+28, r.says)
	for _, s := range r.spans {
		fmt.Fprintf(w, `<rect x="%d" y="%d" width="%d" height="16" fill="%s"/>`+"\n", x(s.from), y, (s.to-s.from)*unit, states[s.state].colour)
	}
	for _, q := range r.queries {
		colour := "#33658a"
		fmt.Fprintf(w, `<rect x="%d" y="%d" width="%d" height="4" fill="%s"/>`, x(q.from), y+20+q.lane*5, query*unit, colour)
		if q.fails {
			fmt.Fprintf(w, `<path d="M%d %d l8 8 m0 -8 l-8 8" stroke="#c8553d" stroke-width="2"/>`, x(q.from+query)-4, y+18)
		}
		fmt.Fprintln(w)
	}
}
