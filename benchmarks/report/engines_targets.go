package main

import (
	"math"
	"slices"

	"github.com/iwanbk/bcache/benchmarks/engines"
)

const (
	engineMesh = "mesh"
	engineNATS = "nats"
)

// An engineTarget is what an engine has to reach.
type engineTarget struct {
	name, target string
	value        func(*engines.Measured) float64 // NaN: it wasn't measured
	limit        func(*engines.Results, *engines.Measured) float64
	atLeast      bool
	unit         string
}

// met reports whether a value is good enough. What wasn't measured isn't.
func (t engineTarget) met(r *engines.Results, m *engines.Measured) bool {
	v, limit := t.value(m), t.limit(r, m)
	if t.atLeast {
		return v >= limit
	}
	return v <= limit
}

func targetRows(r *engines.Results) (rows [][]string) {
	for _, t := range engineTargets() {
		row := []string{t.name, t.target}
		for _, m := range r.Engines {
			v := t.value(m)
			cell := missing
			if !math.IsNaN(v) {
				cell = number(v) + t.unit
				if !t.met(r, m) {
					cell = "**" + cell + "**"
				}
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	return rows
}

func engineTargets() []engineTarget {
	at := func(v float64) func(*engines.Results, *engines.Measured) float64 {
		return func(*engines.Results, *engines.Measured) float64 { return v }
	}
	return []engineTarget{
		{"50 nodes connected and ready", "2 s", readyIn(50), at(2), false, " s"},
		{"CPU of all for that", "2 s", readyWith(50), at(2), false, " s"},
		{"100 nodes connected and ready", "6 s", readyIn(100), at(6), false, " s"},
		{"idle, of a core, each of 100 nodes", "0.1 %", idleOf(100), at(.1), false, " %"},
		{"200 nodes connected and ready (NATS)", "12 s", readyIn(200), at(12), false, " s"},
		{"a Set shows on all of 3, p50, in bare round trips", "2.5", roundTrips, at(2.5), false, ""},
		{"the same, in ms", "that of mesh", visible, meshVisible, false, ""},
		{"Sets/s on all of 3 nodes", "500,000", burstRate, at(500_000), true, ""},
		{"CPU of all 3 for each", "4 µs", burstCPU, at(4), false, " µs"},
		{"replication while a third node comes and goes, p99", "5 ms", guestP99, at(5), false, " ms"},
		{"kill -9 noticed", "100 ms; NATS: 7 s", killed, killedLimit, false, " ms"},
		{"a frozen node noticed, while others write", "7 s", frozen, at(7), false, " s"},
		{"the same, while nobody writes", "7 s", frozenIdle, at(7), false, " s"},
	}
}

func readyIn(nodes int) func(*engines.Measured) float64 {
	return func(m *engines.Measured) float64 {
		if c := m.Clusters[nodes]; c != nil {
			return c.Ready.Seconds()
		}
		return math.NaN()
	}
}

func readyWith(nodes int) func(*engines.Measured) float64 {
	return func(m *engines.Measured) float64 {
		if c := m.Clusters[nodes]; c != nil {
			return c.Connecting.All().Seconds()
		}
		return math.NaN()
	}
}

func idleOf(nodes int) func(*engines.Measured) float64 {
	return func(m *engines.Measured) float64 { return idleShare(m.Clusters[nodes], nodes) }
}

func visible(m *engines.Measured) float64 {
	if c := m.Clusters[3]; c != nil {
		return c.Visible.P50
	}
	return math.NaN()
}

// meshVisible is the limit of visible.
func meshVisible(r *engines.Results, _ *engines.Measured) float64 {
	i := slices.IndexFunc(r.Engines, func(m *engines.Measured) bool { return m.Name == engineMesh })
	if i < 0 {
		return math.NaN()
	}
	return visible(r.Engines[i])
}

func roundTrips(m *engines.Measured) float64 {
	if c := m.Clusters[3]; c != nil {
		return c.Visible.P50 / c.Raw.P50
	}
	return math.NaN()
}

func burstRate(m *engines.Measured) float64 {
	if m.Burst == nil {
		return math.NaN()
	}
	return m.Burst.Rate
}

func burstCPU(m *engines.Measured) float64 {
	if m.Burst == nil {
		return math.NaN()
	}
	return m.Burst.PerSet
}

func guestP99(m *engines.Measured) float64 {
	if m.Guest == nil {
		return math.NaN()
	}
	return m.Guest.P99
}

func killed(m *engines.Measured) float64 { return noticed(m.Killed) }

func frozen(m *engines.Measured) float64     { return noticed(m.Frozen) / 1e3 }
func frozenIdle(m *engines.Measured) float64 { return noticed(m.FrozenIdle) / 1e3 }

// noticed is in ms.
func noticed(l *engines.Loss) float64 {
	if l == nil {
		return math.NaN()
	}
	return l.Noticed.Seconds() * 1e3
}

// killedLimit is in ms. The end of a connection tells of it; with NATS only the server sees that.
func killedLimit(_ *engines.Results, m *engines.Measured) float64 {
	if m.Name == engineNATS {
		return 7000
	}
	return 100
}
