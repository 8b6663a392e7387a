package bcachehttp

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
)

// well is a node of three that nothing is wrong with.
func well() *condition {
	now := time.Unix(100_000, 0)
	c := &condition{
		now: &sample{at: now}, then: &sample{at: now.Add(-61 * time.Second)},
		lately: &sample{at: now.Add(-11 * time.Second)},
		node: bcache.NodeInfo{
			ID: 1, Addr: "10.0.0.1:7000", Since: now.Add(-time.Hour), Synced: true, SyncedFrom: 2,
			SyncedAt: now.Add(-time.Hour), Config: bcache.Config{
				ListenAddr: ":7000", Peers: []string{"10.0.0.2:7000"}, Secret: "(set)", ClusterName: "c",
				MaxClockSkew: 500 * time.Millisecond, MaxConns: 256,
			},
		},
	}
	for id := uint64(2); id <= 3; id++ {
		c.members = append(c.members, member{
			bcache.Member{ID: id, Direct: true},
			&bcache.PeerStats{ID: id, Synced: true, RoundTrip: time.Millisecond},
		})
	}
	return c
}

func TestWarnings(t *testing.T) {
	notReady := fmt.Errorf("%w: x", bcache.ErrNotSynced)
	for _, c := range []struct {
		name  string // of the only warning; "" for none
		grave bool
		make  func(*condition)
	}{
		{"", false, func(*condition) {}},
		{"", false, func(c *condition) { // a node by itself
			c.node.Config, c.members, c.node.Addr = bcache.Config{MaxConns: 256}, nil, ""
			c.node.SyncedFrom = 0
		}},
		{"alone", true, func(c *condition) { c.members = nil }},
		{"too_few_peers", true, func(c *condition) { c.node.Config.MinPeers = 3 }},
		{"", false, func(c *condition) { c.node.Config.MinPeers = 2 }},
		{"too_few_peers", true, func(c *condition) {
			c.members, c.node.Config.MinPeers, c.ready = nil, 1, notReady
		}},
		{"isolated", true, func(c *condition) {
			c.now.stats.Isolated, c.ready = true, fmt.Errorf("%w: x", bcache.ErrIsolated)
		}},
		{"isolated", true, func(c *condition) {
			c.now.stats.Isolated, c.ready, c.members, c.node.Config.MinPeers = true, notReady, nil, 1
		}},
		{"not_ready", false, func(c *condition) { // it has just begun
			c.members, c.node.Config.MinPeers, c.ready = nil, 1, notReady
			c.node.Synced, c.node.Since = false, c.now.at.Add(-9*time.Second)
		}},
		{"", false, func(c *condition) { c.members, c.node.Since = nil, c.now.at.Add(-9*time.Second) }},
		{"relayed", true, func(c *condition) {
			c.members[1] = member{bcache.Member{ID: 3}, nil}
			c.now.relayed, c.lately.relayed = []uint64{3}, []uint64{3}
		}},
		{"", false, func(c *condition) { // as while a node stops
			c.members[1] = member{bcache.Member{ID: 3}, nil}
			c.now.relayed, c.lately.relayed = []uint64{3}, []uint64{2}
		}},
		{"", false, func(c *condition) {
			c.members[1] = member{bcache.Member{ID: 3}, nil}
			c.now.relayed, c.lately.relayed = []uint64{3}, []uint64{3}
			c.lately.at = c.now.at.Add(-9 * time.Second)
		}},
		{"late", true, func(c *condition) { c.members[0].Peer.Late = 6 * time.Second }},
		{"", false, func(c *condition) { c.members[0].Peer.Late = 4 * time.Second }},
		{"slow_writes", false, func(c *condition) { c.members[1].Peer.PropagationP99 = 2 * time.Second }},
		{"", false, func(c *condition) { c.members[1].Peer.PropagationP99 = -1 }},
		{"clock_offset", true, func(c *condition) { c.members[0].Peer.ClockOffset = -260 * time.Millisecond }},
		{"", false, func(c *condition) { c.members[0].Peer.ClockOffset = 250 * time.Millisecond }},
		{"", false, func(c *condition) {
			c.members[0].Peer.ClockOffset, c.members[0].Peer.RoundTrip = time.Second, -1
		}},
		{"connections", true, func(c *condition) { c.node.Config.MaxConns = 2 }},
		{"not_synced", true, func(c *condition) { c.node.Synced, c.ready = false, notReady }},
		{"not_ready", false, func(c *condition) {
			c.node.Synced, c.ready, c.node.Since = false, notReady, c.now.at.Add(-20*time.Second)
		}},
		{"not_ready", false, func(c *condition) {
			c.node.Synced, c.ready, c.now.stats.SyncTook = false, notReady, time.Hour
		}},
		{"synced_alone", false, func(c *condition) {
			c.node.SyncedFrom, c.node.SyncedAt = 0, c.now.at.Add(-time.Minute)
		}},
		{"", false, func(c *condition) { c.node.SyncedFrom = 0 }},
		{"syncs_failed", true, func(c *condition) { c.now.stats.SyncsFailed = 1 }},
		{"clocks", true, func(c *condition) { c.now.stats.HandshakesSkew = 1 }},
		{"clocks", true, func(c *condition) { c.now.stats.SkewCut = 1 }},
		{"clocks", true, func(c *condition) { c.now.stats.RefusedFuture = 1 }},
		{"strangers", true, func(c *condition) { c.now.stats.HandshakesRefused = 1 }},
		{"strangers", true, func(c *condition) { c.now.stats.Malformed = 1 }},
		{"unsupported", false, func(c *condition) { c.now.stats.Unsupported = 1 }},
		{"stuck", true, func(c *condition) { c.now.stats.StuckCut = 1 }},
		{"stale_failures", true, func(c *condition) { c.now.stats.StaleFailures = 1 }},
		{"fill_errors", false, func(c *condition) { c.now.stats.FillErrors = 1 }},
		{"fills_given_up", false, func(c *condition) { c.now.stats.FillsGivenUp = 1 }},
		{"leases_missed", false, func(c *condition) { c.now.stats.LeasesMissed = 1 }},
		{"undecodable", false, func(c *condition) { c.now.stats.Undecodable = 1 }},
		{"callbacks", false, func(c *condition) { c.now.stats.EventsLost = 1 }},
		{"callbacks", false, func(c *condition) { c.now.stats.OnStaleMissed = 1 }},
		{"dropped_frames", false, func(c *condition) { c.now.stats.DroppedFrames = 1 }},
		{"dropped_frames", false, func(c *condition) { c.now.stats.DroppedOutbox = 1 }},
		{"forgotten_early", false, func(c *condition) { c.now.stats.DroppedTombstones = 1 }},
		{"forgotten_early", false, func(c *condition) { c.now.stats.DroppedIntervals = 1 }},
		{"forgotten_early", false, func(c *condition) { c.now.stats.DroppedOrigins = 1 }},
		{"clears_forgotten", false, func(c *condition) {
			c.now.stats.DroppedClears, c.now.stats.ClearsRemembered = 4096, 4096
		}},
		{"", false, func(c *condition) { // those that are remembered reach back further
			c.now.stats.DroppedClears, c.now.stats.ClearsRemembered = 1024, 3072
		}},
		{"", false, func(c *condition) { c.now.stats.ClearsRemembered = 4096 }},
		{"too_large", false, func(c *condition) { c.now.stats.RefusedTooLarge = 1 }},
		{"too_large", false, func(c *condition) { c.now.stats.FillsTooLarge = 1 }},
		{"", false, func(c *condition) { // what grew before isn't told of any more
			c.now.stats = bcache.Stats{Malformed: 7, StuckCut: 7, SyncsFailed: 7, FillErrors: 7}
			c.then.stats = c.now.stats
		}},
		{"", false, func(c *condition) { c.then.stats.Malformed = 1 }}, // read while it is counted up
		{"no_secret", true, func(c *condition) { c.node.Config.Secret = "" }},
		{"no_cluster_name", false, func(c *condition) { c.node.Config.ClusterName = "" }},
		{"", false, func(c *condition) { c.node.Config.Secret, c.node.Addr = "", "[::1]:7000" }},
		{"", false, func(c *condition) {
			c.node.Config.Secret, c.node.Config.ListenAddr = "", "localhost:7000"
		}},
	} {
		w := well()
		c.make(w)
		got := warningsOf(w)
		switch {
		case c.name == "" && len(got) == 0:
		case len(got) != 1 || got[0].name != c.name || got[0].grave != c.grave:
			t.Errorf("%s: got %+v", c.name, got)
		case !strings.HasSuffix(got[0].text, ".") || !strings.HasSuffix(got[0].do, "."):
			t.Errorf("%s isn't a sentence: %+v", c.name, got[0])
		}
	}
}

// The grave ones come first, and texts have their figures.
func TestWarningsInOrder(t *testing.T) {
	c := well()
	c.now.stats = bcache.Stats{FillErrors: 1234, StuckCut: 1}
	c.members[0].Peer.Late, c.members[1].Peer.Late = time.Minute, time.Minute
	var texts []string
	for _, w := range warningsOf(c) {
		texts = append(texts, w.text)
	}
	want := []string{
		"Writes of nodes 2 and 3 have been lacking here for more than 5 s.",
		"1 connection was cut, as nothing came any more, in the last minute.",
		"1,234 fills failed, in the last minute.",
	}
	if !slices.Equal(texts, want) {
		t.Errorf("got %q", texts)
	}
	c.then.at = c.now.at.Add(-10 * time.Second)
	if w := warningsOf(c); !strings.HasSuffix(w[2].text, "in the last 10 s.") {
		t.Errorf("got %q", w[2].text)
	}
}
