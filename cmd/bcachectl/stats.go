package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// A group is figures that belong together.
type group struct {
	title string
	names []string
}

var groups = []group{
	{"reads", []string{"hits", "misses", "not_found", "undecodable"}},
	{"writes", []string{"sets", "deletes", "clears", "clear_prefixes", "clear_tags"}},
	{"held", []string{
		"keys", "provisional", "bytes", "tombstones", "clears_remembered", "evictions", "expirations", "cleared",
	}},
	{"fills", []string{
		"fills", "fill_errors", "fills_refused", "fills_too_large", "fills_given_up", "refreshes",
		"stale_served", "stale_failures", "on_stale_missed", "leases_granted", "leases_missed",
	}},
	{"fills without a version", []string{
		"provisional_kept", "provisional_offered", "provisional_accepted", "provisional_refused",
		"provisional_dropped",
	}},
	{"network", []string{
		"frames_in", "frames_out", "bytes_in", "bytes_out", "records_in", "records_out", "duplicates",
		"outbox", "log_records", "origins",
	}},
	{"repair", []string{"repairs_asked", "repairs_answered", "records_repaired", "records_resent"}},
	{"full syncs", []string{
		"synced", "syncing", "serving", "syncs_served", "syncs_received", "syncs_failed", "sync_records",
		"sync_bytes_in", "sync_bytes_out", "sync_took",
	}},
	{"isolation", []string{"isolated", "isolations"}},
	{"refused and cut", []string{
		"refused_future", "refused_floor", "refused_too_large", "malformed", "unsupported", "handshakes_skew",
		"handshakes_refused", "stuck_cut", "skew_cut",
	}},
	{"dropped", []string{
		"dropped_outbox", "dropped_frames", "dropped_messages", "dropped_tombstones", "dropped_clears",
		"dropped_intervals", "dropped_origins", "events_lost",
	}},
}

func statsCommand(a *app) *cobra.Command {
	var all bool
	show := func(out *printer, s *statsAnswer) error {
		showStats(out, s, all)
		return nil
	}
	cmd := asking(a, "stats", "Shows the figures of the node", "api/stats", nil, show)
	cmd.Long = aboutStats
	cmd.Flags().BoolVar(&all, "all", false, "figures that are zero, too")
	return cmd
}

// showStats shows groups, and what a later version of bcache has beside them.
func showStats(out *printer, s *statsAnswer, all bool) {
	figures := maps.Clone(s.Counters)
	if figures == nil {
		figures = map[string]float64{}
	}
	maps.Copy(figures, s.Gauges)
	hits, misses := figures["hits"], figures["misses"]
	rest := maps.Clone(figures)
	for _, g := range groups {
		for _, name := range g.names {
			delete(rest, name)
		}
	}
	t := &table{columns: []string{"FIGURE", ">VALUE"}}
	for _, g := range slices.Concat(groups, []group{{"others", slices.Sorted(maps.Keys(rest))}}) {
		var rows [][]string
		for _, name := range g.names {
			value, ok := figures[name]
			if !ok || value == 0 && !all {
				continue
			}
			rows = append(rows, []string{"  " + strings.ReplaceAll(name, "_", " "), figureText(name, value)})
		}
		if g.title == "reads" && hits+misses > 0 {
			rows = append(rows, []string{"  hit ratio", percent(hits, hits+misses)})
		}
		if len(rows) == 0 {
			continue
		}
		t.add(g.title, "")
		t.styles[len(t.styles)-1] = bold
		for _, row := range rows {
			t.add(row...)
		}
	}
	out.table(t)
}

// figureText has the unit of a figure.
func figureText(name string, value float64) string {
	switch {
	case strings.Contains(name, "bytes"):
		return bytesText(value)
	case name == "sync_took":
		return span(value)
	case name == "synced", name == "syncing", name == "isolated":
		return yesNo(value != 0)
	}
	return number(value)
}
