package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/iwanbk/bcache/benchmarks/caches"
	"github.com/iwanbk/bcache/benchmarks/measure"
)

var speedOrder = []string{
	measure.GetHit, measure.GetOne, measure.GetHot, measure.GetMiss,
	measure.SetOne, measure.SetAll, measure.SetNew, measure.Mixed,
}

// document is the whole report.
func document(r *measure.Results, m machine) string {
	d := &doc{r: r}
	d.p("# Benchmarks")
	d.p("bcache beside other caches, and its replication beside a bare socket. Everything here, the plots included, "+
		"was written by `go run ./benchmarks/report` in the %s mode, in %.0f minutes.",
		r.Plan.Name, math.Ceil(r.Took.Minutes()))
	d.p("Absolute figures are of the machine below, which may have been busy with other things. Ratios are more reliable: "+
		"each is the median of the ratios inside %d rounds, in each of which every cache had its turn. "+
		"Below 1 is faster than what it is compared with.", r.Plan.Rounds)
	d.machine(m)
	d.p("## At a glance")
	d.glance()
	d.p("## Where bcache isn't the best")
	d.notBest()
	d.speed()
	d.goroutines()
	d.filler()
	d.long()
	d.hitRatio()
	d.replication()
	d.latency()
	d.sync()
	d.p("## How it was measured")
	d.method()
	return strings.TrimRight(d.b.String(), "\n") + "\n"
}

// A doc is a document that is being written.
type doc struct {
	r *measure.Results
	b strings.Builder
}

func (d *doc) p(format string, v ...any) { fmt.Fprintf(&d.b, format+"\n\n", v...) }

func (d *doc) table(header []string, rows [][]string) { d.b.WriteString(table(header, rows) + "\n") }

func (d *doc) plot(file, alt string) { d.p("![%s](%s/%s)", alt, plotDir, file) }

func (d *doc) machine(m machine) {
	d.b.WriteString(textTable([]string{"machine", ""}, [][]string{
		{"CPU", m.CPU}, {"cores used", fmt.Sprint(m.Cores)}, {"system", m.OS}, {"Go", m.Go},
	}) + "\n")
	var rows [][]string
	for _, k := range d.r.Kinds {
		version := cmp.Or(m.Versions[k.Module], missing)
		if k.Module == bcacheModule {
			version = "this commit"
		}
		if k.Remote {
			version += ", server " + d.r.Redis
		}
		rows = append(rows, []string{k.Name, version, k.Setup})
	}
	d.b.WriteString(textTable([]string{"cache", "version", "set up with"}, rows) + "\n")
	if d.r.Redis == "" {
		d.p("There was no redis-server on the PATH, so Redis is missing.")
	}
}

// glance lists the results that say most.
func (d *doc) glance() {
	var rows [][]string
	for _, t := range allTargets(d.r.Plan) {
		rows = append(rows, []string{t.measure, withUnit(t.value(d.r), t.unit)})
	}
	d.table([]string{"measure", "result"}, rows)
}

func withUnit(v float64, unit string) string {
	switch unit {
	case "x":
		return times(v)
	case "/s":
		return number(v) + unit
	}
	return number(v) + " " + unit
}

// notBest lists what other caches do better, from the figures.
func (d *doc) notBest() {
	var lines []string
	better := func(what string, s *measure.Series, unit string) {
		own := s.Median(caches.Bcache)
		ratio := func(name string) float64 { return s.Ratio(name, caches.Bcache) }
		var found []string
		for _, name := range sortedBy(s.Subjects, ratio) {
			if ratio(name) < .995 && !ownVariant(name) {
				found = append(found, fmt.Sprintf("%s (%s)", name, times(ratio(name))))
			}
		}
		if len(found) > 0 {
			lines = append(lines, fmt.Sprintf("- %s: bcache %s %s; better: %s", what, number(own), unit, strings.Join(found, ", ")))
		}
	}
	for _, name := range speedOrder {
		better(name, &d.r.Speeds[name].Ns, "ns")
	}
	better("memory beyond key and value", &d.r.Overhead, "B per entry")
	better("the same after churn", &d.r.AfterChurn, "B per entry")
	better("the same in a small cache", &d.r.SmallCache, "B per entry")
	better("collector's share of CPU", shares(&d.r.GCShare), "%")
	better("longest sixteen operations", &d.r.LongestStep, "ms")
	for _, capacity := range d.r.Plan.Capacities {
		better(fmt.Sprintf("misses of %s entries", comma(capacity)), misses(d.r.HitRatio[capacity]), "%")
	}
	if len(lines) == 0 {
		d.p("Nowhere in this run.")
		return
	}
	d.p("In this run, these were ahead of it; the factor is their figure divided by bcache's:")
	d.p("%s", strings.Join(lines, "\n"))
}

func ownVariant(name string) bool { return strings.HasPrefix(name, caches.Bcache) }

// shares and misses turn shares into figures of which less is better, in percent.
func shares(s *measure.Series) *measure.Series {
	return mapped(s, func(v float64) float64 { return 100 * v })
}
func misses(s *measure.Series) *measure.Series {
	return mapped(s, func(v float64) float64 { return 100 * (1 - v) })
}

func mapped(s *measure.Series, f func(float64) float64) *measure.Series {
	m := &measure.Series{}
	for _, subject := range s.Subjects {
		for _, v := range s.Values(subject) {
			m.Add(subject, f(v))
		}
	}
	return m
}

// ranking is the subjects by their medians, the lowest first.
func ranking(s *measure.Series) []string { return sortedBy(s.Subjects, s.Median) }

func sortedBy(names []string, figure func(string) float64) []string {
	return slices.SortedStableFunc(slices.Values(names), func(a, b string) int {
		return cmp.Compare(figure(a), figure(b))
	})
}
