package bcachehttp

import "math"

// A bound is how much there is of something, and how much there may be.
type bound struct {
	Name      string
	Has, Most string
	Part      int     // in percent, 0 to 100; -1 if it isn't known
	Then      string  // what happens at the bound
	Class     string  // good, or note if it is nearly reached and that matters
	Width     float64 // of the bar
}

const (
	maxOrigins    = 4096
	maxClears     = 4096
	minTombstones = 1 << 10
	maxTombstones = 1 << 20
	barWidth      = 100
)

// bounds lists what grows, and how far it may.
func bounds(c *condition) []bound {
	s, cfg := &c.now.stats, &c.node.Config
	of := func(name string, has, most int, then string) bound {
		return newBound(name, whole(has), whole(most), float64(has)/float64(max(most, 1)), then)
	}
	all := []bound{of("Keys", s.Keys, cfg.MaxKeys, "one makes room for another")}
	if cfg.MaxBytes > 0 {
		all = append(all, newBound("Bytes", size(float64(s.Bytes)), size(float64(cfg.MaxBytes)),
			float64(s.Bytes)/float64(cfg.MaxBytes), "keys make room for others"))
	} else {
		all = append(all, newBound("Bytes", size(float64(s.Bytes)), "no limit", -1, ""))
	}
	all = append(all, of("Deleted keys remembered", s.Tombstones,
		min(max(cfg.MaxKeys, minTombstones), maxTombstones), "the oldest is forgotten, which costs misses"))
	all = append(all, of("Clears of prefixes and tags remembered", s.ClearsRemembered, maxClears,
		"the oldest are forgotten, and writes from before them that come late aren't taken"))
	if c.node.Addr == "" {
		return all
	}
	connections := of("Connections", c.direct(), cfg.MaxConns, "the next node is refused")
	if connections.Part >= 90 {
		connections.Class = "note"
	}
	return append(all,
		of("Writes in the log", s.LogRecords, cfg.LogSize, "the oldest go: who missed more needs a full sync"),
		newBound("Writes that wait to be sent", whole(s.Outbox), size(float64(cfg.MaxPending))+" of them", -1,
			"the oldest go, and the others ask for them"),
		connections,
		of("Lives of nodes kept track of", s.Origins, maxOrigins, "one that left is forgotten"))
}

func newBound(name, has, most string, part float64, then string) bound {
	b := bound{Name: name, Has: has, Most: most, Part: -1, Then: then, Class: "good"}
	if part >= 0 {
		part = min(part, 1)
		b.Part, b.Width = int(math.Round(part*100)), math.Round(part*barWidth*10)/10
	}
	return b
}
