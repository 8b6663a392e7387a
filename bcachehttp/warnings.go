package bcachehttp

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/iwanbk/bcache"
)

// What is worth a warning, as docs/operations.md says it: pure functions of what is and what was.

// A condition is a node as it is, and its figures as they were.
type condition struct {
	now, then *sample // then is a minute or so ago, or when the node began
	lately    *sample // of settling ago, if there is one
	node      bcache.NodeInfo
	members   []member
	ready     error
}

// age is for how long the node has existed.
func (c *condition) age() time.Duration { return c.now.at.Sub(c.node.Since) }

// relayed are the nodes that were reached through others only lately, and still are. While a node starts
// or stops, it is so for a second: that is no reason to act.
func (c *condition) relayed() (all []uint64) {
	for _, id := range c.now.relayed {
		if c.now.at.Sub(c.lately.at) >= settling && slices.Contains(c.lately.relayed, id) {
			all = append(all, id)
		}
	}
	return all
}

// direct is how many other nodes are connected directly.
func (c *condition) direct() (n int) {
	for _, m := range c.members {
		if m.Direct {
			n++
		}
	}
	return n
}

// A warning says in plain words what is wrong, and what to do.
type warning struct {
	name  string // for programs
	grave bool   // somebody must act; otherwise it is good to know
	text  string
	do    string
}

const (
	tooLong   = 30 * time.Second // a node that isn't synced, in any case
	tooLate   = 5 * time.Second  // for a write that a neighbour has
	tooSlow   = time.Second      // for 99 of 100 writes to arrive
	settling  = 10 * time.Second // in which nodes that start or stop find or leave each other
	firstTime = 10 * time.Minute // for which it is said that a node became synced alone
)

// warningsOf lists the warnings, the grave ones first.
func warningsOf(c *condition) []warning {
	var grave, others []warning
	for _, about := range []func(*condition) []warning{
		neighbourWarnings, syncWarnings, growthWarnings, clearWarnings, openWarnings,
	} {
		for _, w := range about(c) {
			if w.grave {
				grave = append(grave, w)
			} else {
				others = append(others, w)
			}
		}
	}
	return append(grave, others...)
}

// neighbourWarnings are about the other nodes.
func neighbourWarnings(c *condition) (all []warning) {
	cfg := &c.node.Config
	var late, slow, skewed []uint64
	direct := c.direct()
	for _, m := range c.members {
		p := m.Peer
		if !m.Direct || p == nil {
			continue
		}
		if p.Late > tooLate {
			late = append(late, m.ID)
		}
		if p.PropagationP99 > tooSlow {
			slow = append(slow, m.ID)
		}
		if offset := p.ClockOffset; p.RoundTrip >= 0 && max(offset, -offset) > cfg.MaxClockSkew/2 {
			skewed = append(skewed, m.ID)
		}
	}
	switch {
	case c.age() < settling: // it looks for them
	case c.now.stats.Isolated: // it says more
		all = append(all, warning{"isolated", true,
			fmt.Sprintf("The node is isolated: within %s it has heard from fewer than %s. It serves nothing "+
				"of what it holds, and asks the database instead.", span(cfg.IsolatedAfter),
				count(cfg.MinPeers, "other node")),
			"Find out what is wrong with the network, with the other nodes, or, if it is overloaded, with this " +
				"one. Its log says when it began, and why."})
	case direct < cfg.MinPeers:
		all = append(all, warning{"too_few_peers", true,
			fmt.Sprintf("%s connected, and MinPeers is %d: the node isn't ready.", isCount(direct, "other node"),
				cfg.MinPeers),
			"Find out where the others are: this node's log says which addresses it can't reach, and why."})
	case direct == 0 && len(cfg.Peers) > 0:
		all = append(all, warning{"alone", true,
			"No other node is connected: this one serves what it has, and doesn't learn what the others write.",
			"Look into its log, which says why Peers can't be reached: an address, a port, a firewall, the " +
				"Secret. If it is the first node, all is well."})
	}
	if relayed := c.relayed(); len(relayed) > 0 {
		all = append(all, warning{"relayed", true,
			nodes(relayed) + plural(len(relayed), " is", " are") + " reached through others only.",
			"Mend the AdvertiseAddr of that node, or the firewall between."})
	}
	if len(late) > 0 {
		all = append(all, warning{"late", true,
			fmt.Sprintf("Writes of %s have been lacking here for more than %s.", lower(nodes(late)),
				span(tooLate)),
			"Find out whether that node is frozen, or the line to it too slow."})
	}
	if len(slow) > 0 {
		all = append(all, warning{"slow_writes", false,
			fmt.Sprintf("Of the writes of %s one in 100 took more than %s to arrive, in the last minute.",
				lower(nodes(slow)), span(tooSlow)),
			"See whether that node, this one, or the line between is busy."})
	}
	if len(skewed) > 0 {
		all = append(all, warning{"clock_offset", true,
			fmt.Sprintf("The clock differs from that of %s by more than half of MaxClockSkew, which is %s.",
				lower(nodes(skewed)), span(cfg.MaxClockSkew)),
			"Run NTP on both. Nodes whose clocks differ by more than MaxClockSkew are refused."})
	}
	if n := len(c.members); n > 0 && direct*10 >= cfg.MaxConns*9 {
		all = append(all, warning{"connections", true,
			fmt.Sprintf("%d of %d connections are in use.", direct, cfg.MaxConns),
			"Raise MaxConns, or the next nodes are refused."})
	}
	return all
}

// syncWarnings are about whether the node has what the others have.
func syncWarnings(c *condition) (all []warning) {
	stats := &c.now.stats
	age := c.age()
	switch limit := max(tooLong, 3*stats.SyncTook); {
	case !c.node.Synced && age > limit:
		all = append(all, warning{"not_synced", true,
			fmt.Sprintf("The node has existed for %s, and isn't synced.", span(age)),
			"See which nodes it reaches, and whether those are synced; its log says more."})
	case c.ready != nil && (age < settling || // otherwise it has a warning already
		c.direct() >= c.node.Config.MinPeers && !stats.Isolated):
		all = append(all, warning{"not_ready", false, "The node isn't ready: " + reason(c.ready) + ".",
			"Wait: this is as it should be for seconds after a start."})
	}
	if n := grown(c, func(s *bcache.Stats) uint64 { return s.SyncsFailed }); n > 0 {
		all = append(all, warning{"syncs_failed", true,
			fmt.Sprintf("%s failed %s: the node can't get what it lacks, and misses more.",
				count(n, "full sync"), since(c)),
			"Look into the log of this node, and of those that it asks. If it happened once, all is well."})
	}
	joined := len(c.node.Config.Peers) > 0 && len(c.members) > 0
	if c.node.Synced && c.node.SyncedFrom == 0 && joined && c.now.at.Sub(c.node.SyncedAt) < firstTime {
		all = append(all, warning{"synced_alone", false,
			"The node declared itself synced: it reached no synced one. What it didn't reach then, it lacks.",
			"Nothing, if the cluster was new. Otherwise see why it didn't reach the others."})
	}
	return all
}

// A growth is a counter that shouldn't grow.
type growth struct {
	name    string
	grave   bool
	counter func(*bcache.Stats) uint64
	one     string // what happened once
	many    string // or more often
	do      string
}

var growths = []growth{
	{"clocks", true,
		func(s *bcache.Stats) uint64 { return s.HandshakesSkew + s.SkewCut + s.RefusedFuture },
		"time a node was refused, or a write, because the clocks differ",
		"times a node was refused, or a write, because the clocks differ",
		"Run NTP on all nodes. The log says which clock is off."},
	{"strangers", true,
		func(s *bcache.Stats) uint64 { return s.HandshakesRefused + s.Malformed },
		"connection or frame of something that doesn't belong here was refused",
		"connections or frames of something that doesn't belong here were refused",
		"Look into the log: a node of another cluster, Secret or version, MaxConns, or no node at all."},
	{"unsupported", false,
		func(s *bcache.Stats) uint64 { return s.Unsupported },
		"frame of a later version was dropped", "frames of a later version were dropped",
		"Nothing during a deployment. Otherwise give all nodes one version."},
	{"stuck", true,
		func(s *bcache.Stats) uint64 { return s.StuckCut },
		"connection was cut, as nothing came any more", "connections were cut, as nothing came any more",
		"A node, or the way to it, hangs. The log says which one."},
	{"stale_failures", true,
		func(s *bcache.Stats) uint64 { return s.StaleFailures },
		"fill failed, and callers don't notice, as they get an old value",
		"fills failed, and callers don't notice, as they get old values",
		"See why: the log has a line, and OnStale is told of all. The old values end, too."},
	{"fill_errors", false,
		func(s *bcache.Stats) uint64 { return s.FillErrors },
		"fill failed", "fills failed", "See what callers log: it is the error that the Fill returned."},
	{"fills_given_up", false,
		func(s *bcache.Stats) uint64 { return s.FillsGivenUp },
		"fill took longer than a caller's deadline", "fills took longer than a caller's deadline",
		"See whether queries hang, or deadlines are too short. The slowest fills are below."},
	{"leases_missed", false,
		func(s *bcache.Stats) uint64 { return s.LeasesMissed },
		"fill had no lease, so that several nodes may ask the database",
		"fills had no lease, so that several nodes may ask the database",
		"See whether all nodes reach each other. While nodes start or stop, some are usual."},
	{"undecodable", false,
		func(s *bcache.Stats) uint64 { return s.Undecodable },
		"Get missed, as the value has another layout", "Gets missed, as the value has another layout",
		"Nothing during a deployment. Otherwise two services, or versions, write the same keys."},
	{"callbacks", false,
		func(s *bcache.Stats) uint64 { return s.EventsLost + s.OnStaleMissed },
		"call of a subscriber or an OnStale was left out, as it is too slow",
		"calls of a subscriber or an OnStale were left out, as it is too slow",
		"Make it return sooner: have it pass on what it is told."},
	{"dropped_frames", false,
		func(s *bcache.Stats) uint64 { return s.DroppedFrames + s.DroppedOutbox },
		"frame or write wasn't sent at once; the others ask for it",
		"frames or writes weren't sent at once; the others ask for them",
		"Nothing is lost. If it grows all the time, more is written than the network, or a node, takes."},
	{"forgotten_early", false,
		func(s *bcache.Stats) uint64 { return s.DroppedTombstones + s.DroppedIntervals + s.DroppedOrigins },
		"thing was forgotten early, as a bound is reached: it costs misses",
		"things were forgotten early, as a bound is reached: it costs misses",
		"See the bounds below. More deletes come than DeletionDelay has room for, or nodes lack many writes."},
	{"too_large", false,
		func(s *bcache.Stats) uint64 { return s.RefusedTooLarge + s.FillsTooLarge },
		"value wasn't kept, as it is too large", "values weren't kept, as they are too large",
		"Raise MaxBytes, or keep smaller values: a record has at most 1 MiB."},
}

// growthWarnings are about counters that have grown within the last minute.
func growthWarnings(c *condition) (all []warning) {
	for i := range growths {
		g := &growths[i]
		if n := grown(c, g.counter); n > 0 {
			text := whole(n) + " " + plural(n, g.one, g.many) + ", " + since(c) + "."
			all = append(all, warning{g.name, g.grave, text, g.do})
		}
	}
	return all
}

// clearWarnings are about Clears of prefixes and tags. To forget the oldest is no harm as long as those
// that are remembered reach back further than writes come late.
func clearWarnings(c *condition) []warning {
	n := grown(c, func(s *bcache.Stats) uint64 { return s.DroppedClears })
	if n == 0 || n < c.now.stats.ClearsRemembered {
		return nil
	}
	return []warning{{"clears_forgotten", false,
		fmt.Sprintf("%s of prefixes and tags were forgotten %s, as many others came: writes from before them "+
			"that come late aren't taken, which costs misses.", count(n, "Clear"), since(c)),
		"See who clears so often. Give what is cleared together one tag, and clear that."}}
}

// openWarnings are about a port that strangers may reach.
func openWarnings(c *condition) (all []warning) {
	if c.node.Addr == "" || loopback(c.node.Addr) || loopback(c.node.Config.ListenAddr) {
		return nil
	}
	if c.node.Config.Secret == "" {
		all = append(all, warning{"no_secret", true,
			"There is no Secret: whoever reaches " + c.node.Addr + " can read and write the cache.",
			"Set the same Secret on all nodes."})
	}
	if c.node.Config.ClusterName == "" {
		all = append(all, warning{"no_cluster_name", false,
			"There is no ClusterName: nodes of another service that reach this one become part of its cluster.",
			"Set a ClusterName."})
	}
	return all
}

// loopback reports whether an address is reached from its own machine only.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// grown is by how much a counter has grown.
func grown(c *condition, counter func(*bcache.Stats) uint64) int {
	return int(min(gain(counter(&c.then.stats), counter(&c.now.stats)), math.MaxInt32))
}

// since says since when things have grown.
func since(c *condition) string {
	d := c.now.at.Sub(c.then.at).Round(time.Second)
	if d >= time.Minute && d < time.Minute+2*sampleEvery {
		return "in the last minute"
	}
	return "in the last " + span(d)
}

// isCount is "1 node is" or "3 nodes are".
func isCount(n int, of string) string { return count(n, of) + plural(n, " is", " are") }
