package main

import (
	"fmt"
	"math"
	"time"

	"github.com/iwanbk/bcache/benchmarks/engines"
)

// An engineLine is a line of the table of all figures. What it says of an engine is "" if it wasn't measured.
type engineLine struct {
	name string
	of   func(*engines.Measured) string
}

func figureRows(r *engines.Results) (rows [][]string) {
	for _, f := range engineLines(r.Plan) {
		row, some := []string{f.name}, false
		for _, e := range r.Engines {
			cell := f.of(e)
			some = some || cell != ""
			if cell == "" {
				cell = missing
			}
			row = append(row, cell)
		}
		if some {
			rows = append(rows, row)
		}
	}
	return rows
}

func engineLines(plan engines.Plan) (list []engineLine) {
	clusters := func(name string, of func(*engines.Cluster, int) string) {
		for _, n := range plan.Nodes {
			list = append(list, engineLine{fmt.Sprintf(name, n), func(m *engines.Measured) string {
				c, ok := m.Clusters[n]
				if !ok {
					return ""
				}
				return of(c, n)
			}})
		}
	}
	clusters("%d nodes: all connected with all; ready, s", func(c *engines.Cluster, _ int) string {
		return number(c.Connected.Seconds()) + "; " + number(c.Ready.Seconds())
	})
	clusters("%d nodes: CPU of all for that, s", func(c *engines.Cluster, _ int) string {
		return cpuText(c.Connecting)
	})
	clusters("%d nodes, idle: %% of a core a node", func(c *engines.Cluster, n int) string {
		return percentText(idleShare(c, n))
	})
	clusters("%d nodes, idle: %% of a core for the server", func(c *engines.Cluster, _ int) string {
		if c.Idle.Server == 0 {
			return ""
		}
		return percentText(100 * c.Idle.Server.Seconds() / c.IdleFor.Seconds())
	})
	clusters("%d nodes: goroutines, and MiB, a node", func(c *engines.Cluster, _ int) string {
		return fmt.Sprintf("%.0f; %.1f", c.Goroutines, c.Heap/(1<<20))
	})
	clusters("%d nodes: a Set shows on all others, p50; p99, ms", func(c *engines.Cluster, _ int) string {
		return delayText(c.Visible)
	})
	clusters("%d nodes: a bare round trip meanwhile, p50; p99, ms", func(c *engines.Cluster, _ int) string {
		return delayText(c.Raw)
	})
	clusters("%d nodes: connections cut as stuck", func(c *engines.Cluster, _ int) string {
		return fmt.Sprint(c.Cut)
	})
	lost := func(what string) string {
		return fmt.Sprintf("%d nodes: %s noticed by all, the longest of %d", plan.LossNodes, what, plan.Losses)
	}
	return append(list,
		engineLine{"3 nodes, one writes: Sets/s on all; CPU of all, µs a Set", burstText},
		engineLine{"Sets of these that were dropped, and repaired", droppedText},
		engineLine{"replication while a third node comes and goes, p50; p99, ms", guestText},
		engineLine{"how often it came in that time", visitsText},
		engineLine{lost("kill -9"), func(m *engines.Measured) string { return lossText(m.Killed) }},
		engineLine{lost("a frozen one, others write,"), func(m *engines.Measured) string { return lossText(m.Frozen) }},
		engineLine{lost("a frozen one, idle,"), func(m *engines.Measured) string { return lossText(m.FrozenIdle) }},
	)
}

func burstText(m *engines.Measured) string {
	switch b := m.Burst; {
	case b == nil:
		return ""
	case b.ServerSet > 0:
		return fmt.Sprintf("%s; %s (server %s)", number(b.Rate), number(b.PerSet), number(b.ServerSet))
	default:
		return number(b.Rate) + "; " + number(b.PerSet)
	}
}

func droppedText(m *engines.Measured) string {
	if m.Burst == nil {
		return ""
	}
	return comma(int(m.Burst.Dropped))
}

func guestText(m *engines.Measured) string {
	if m.Guest == nil {
		return ""
	}
	return delayText(m.Guest.Delay)
}

func visitsText(m *engines.Measured) string {
	if m.Guest == nil {
		return ""
	}
	return comma(m.Guest.Visits)
}

// idleShare is what an idle node takes, in percent of a core, without the engine's server.
func idleShare(c *engines.Cluster, nodes int) float64 {
	if c == nil {
		return math.NaN()
	}
	return 100 * c.Idle.Nodes.Seconds() / c.IdleFor.Seconds() / float64(nodes)
}

func percentText(v float64) string { return fmt.Sprintf("%.3f", v) }

func delayText(d engines.Delay) string { return number(d.P50) + "; " + number(d.P99) }

// cpuText shows the CPU time of all in seconds, and what of it is the server's.
func cpuText(u engines.Use) string {
	if u.Server == 0 {
		return number(u.Nodes.Seconds())
	}
	return fmt.Sprintf("%s (server %s)", number(u.All().Seconds()), number(u.Server.Seconds()))
}

func lossText(l *engines.Loss) string {
	switch {
	case l == nil:
		return ""
	case l.Noticed < time.Second:
		return number(l.Noticed.Seconds()*1e3) + " ms"
	}
	return number(l.Noticed.Seconds()) + " s"
}
