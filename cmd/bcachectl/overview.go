package main

import "time"

// showOverview shows a node in one block. last is what it was before, or nil.
func showOverview(out *printer, o, last *overviewAnswer) {
	n := &o.Node
	out.line(bold, "node %s  %s  %s  began %s", n.ID, orDash(n.Addr), clock(o.Time), ago(n.Since, o.Time))
	if !n.Ready {
		out.line(red, "not ready: %s", orDash(whyNotReady(n)))
	}
	out.blank()

	held, of := o.Stats.Gauges, ratesSince(o, last)
	t := &table{columns: []string{
		">KEYS", ">BYTES", ">HIT RATIO", ">GETS/S", ">SETS/S", ">DELETES/S", ">CLEARS/S", ">FILLS/S",
		">IN/S", ">OUT/S",
	}}
	t.add(number(held["keys"]), bytesText(held["bytes"]), of.ratio(), of.rate(number, "hits", "misses"),
		of.rate(number, "sets"), of.rate(number, "deletes"),
		of.rate(number, "clears", "clear_prefixes", "clear_tags"), of.rate(number, "fills"),
		of.rate(bytesText, "bytes_in"), of.rate(bytesText, "bytes_out"))
	out.table(t)
	out.blank()
	showMembers(out, o.Members, o.Time)
	out.blank()
	showLoaders(out, o.Loaders)
	if len(o.Warnings) > 0 {
		out.blank()
		showWarnings(out, o.Warnings)
	}
}

// Rates are how fast counters grow.
type rates struct {
	now, then map[string]float64 // then is nil if nothing is known
	seconds   float64
}

// ratesSince has none if a node was asked once, or began anew.
func ratesSince(o, last *overviewAnswer) rates {
	if last == nil || last.Node.Origin != o.Node.Origin {
		return rates{}
	}
	then, err := time.Parse(time.RFC3339, last.Stats.Time)
	now, err2 := time.Parse(time.RFC3339, o.Stats.Time)
	if err != nil || err2 != nil || !now.After(then) {
		return rates{}
	}
	return rates{o.Stats.Counters, last.Stats.Counters, now.Sub(then).Seconds()}
}

// grown is by how much counters have grown.
func (r rates) grown(names ...string) (n float64) {
	for _, name := range names {
		n += r.now[name] - r.then[name]
	}
	return max(n, 0)
}

func (r rates) rate(text func(float64) string, names ...string) string {
	if r.seconds == 0 {
		return "-"
	}
	return text(r.grown(names...) / r.seconds)
}

// ratio is that of hits.
func (r rates) ratio() string { return percent(r.grown("hits"), r.grown("hits", "misses")) }
