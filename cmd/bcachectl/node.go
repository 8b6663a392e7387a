package main

import (
	"strings"

	"github.com/spf13/cobra"
)

func nodeCommand(a *app) *cobra.Command {
	return asking(a, "node", "Shows who the node is, and how it is configured", "api/node", nil,
		func(out *printer, n *nodeAnswer) error {
			out.table(&table{columns: []string{"FIELD", "VALUE"}, rows: [][]string{
				{"id", n.ID},
				{"origin", n.Origin},
				{"address", orDash(n.Addr)},
				{"began", ago(n.Since, n.Time)},
				{"ready", readiness(n)},
				{"synced", syncedText(n)},
				{"bcache", orDash(n.Version)},
				{"Go", n.Go},
				{"cluster", orDash(n.Config.ClusterName)},
				{"secret", yesNo(n.Config.Secret)},
				{"peers", orDash(strings.Join(n.Config.Peers, ", "))},
				{"min peers", number(n.Config.MinPeers)},
				{"isolation", isolationText(&n.Config)},
				{"max keys", number(n.Config.MaxKeys)},
				{"max bytes", limitText(n.Config.MaxBytes)},
				{"eviction", orDash(n.Config.Eviction)},
			}, styles: make([]style, 16)})
			return nil
		})
}

// readiness says whether a node is ready and, if it isn't, why: of one that syncs, how far it is.
func readiness(n *nodeAnswer) string {
	switch {
	case n.Ready:
		return "yes"
	case n.NotReady == "":
		return "no"
	}
	return "no: " + whyNotReady(n)
}

// whyNotReady is the error of Ready, for who knows that bcache speaks.
func whyNotReady(n *nodeAnswer) string { return strings.TrimPrefix(n.NotReady, "bcache: ") }

func syncedText(n *nodeAnswer) string {
	switch {
	case !n.Synced:
		return "no"
	case n.SyncedFrom == "":
		return "yes, by itself, " + ago(n.SyncedAt, n.Time)
	}
	return "yes, from " + n.SyncedFrom + ", " + ago(n.SyncedAt, n.Time)
}

// isolationText says whether a node goes on serving when it hears from too few others.
func isolationText(c *configs) string {
	if c.Isolation != "MissWhenIsolated" {
		return orDash(c.Isolation)
	}
	return c.Isolation + ", after " + span(c.IsolatedAfter)
}

func limitText(bytes float64) string {
	if bytes <= 0 {
		return "no limit"
	}
	return bytesText(bytes)
}
