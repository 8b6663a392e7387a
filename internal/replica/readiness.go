package replica

import (
	"fmt"
	"math"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
)

// A node is synced when it has what the others had when it came. That is about how
// complete it is, not about safety: an unsynced node misses more. Once synced it stays so.
//
// Normally a full sync from a synced neighbour makes it so. Somebody has to be the first:
//
//   - a node that has nobody to connect to is synced from the start;
//   - one that reaches nobody for Config.SyncTimeout declares itself, unless that is negative or there
//     is a Config.MinPeers: then it never does while it is alone;
//   - if a whole cluster starts together, all neighbours are unsynced: the node that holds most
//     declares itself after a while, the lowest PeerID if several do, anyone after SyncTimeout;
//   - so does a node whose synced neighbours fail, all of them, to serve it for SyncTimeout.
//
// Nothing is lost if that was wrong: what one node has and another lacks is repaired
// whenever they meet.
//
// A node is complete once it is synced and no connected neighbour, synced or not, holds what it lacks.
// Only then is it ready. Like being synced, that lasts. It isn't waited for for ever: what comes no
// nearer for as long as a synced node is waited for can't be had.

const (
	// ElectAfter is for how long all neighbours are unsynced before one is elected: a synced one may be
	// about to connect.
	ElectAfter = 3 * time.Second

	never time.Duration = math.MaxInt64
)

// readiness is whether a node is synced and complete, and what it waits for.
type readiness struct {
	neighbours    *neighbours
	aloneLimit    time.Duration // for so long it waits for others
	unsyncedLimit time.Duration // and for one of them to be synced
	minPeers      int           // neighbours, or it isn't ready

	synced        bool
	syncedAt      time.Duration // when it last became so
	complete      bool
	fed           uint64        // records that came of what it lacked,
	fedAt         time.Duration // when there were more of them
	aloneSince    time.Duration // the last neighbour left
	unsyncedSince time.Duration // all neighbours are unsynced, or have failed to serve it
}

func newReadiness(near *neighbours, c *Config) readiness {
	r := readiness{
		neighbours: near,
		aloneLimit: c.SyncTimeout, unsyncedLimit: c.SyncTimeout, minPeers: c.MinPeers,
	}
	if r.unsyncedLimit < 0 {
		r.unsyncedLimit = DefaultSyncTimeout
	}
	first := c.First
	if c.SyncTimeout < 0 || c.MinPeers > 0 {
		first, r.aloneLimit = false, never
	}
	r.synced = first || c.Local
	r.complete = r.synced
	return r
}

// become makes the node synced, or synced again.
func (r *readiness) become(now delta.Instant) { r.synced, r.syncedAt = true, now.Mono }

// mayDeclare reports whether the time has come for the node to declare itself synced. One that was
// synced before, and is unsure of what a full sync brought that didn't end, doesn't wait for others: it
// has the most, and leads. So does who holds more than its neighbours. busy is a full sync.
func (r *readiness) mayDeclare(now delta.Instant, unsure, busy, leads bool) bool {
	alone := len(r.neighbours.ids) == 0
	if alone || r.neighbours.knowServer() {
		r.unsyncedSince = now.Mono
	}
	if r.synced && !unsure || busy {
		return false
	}
	switch since := now.Mono - r.unsyncedSince; {
	case alone:
		return now.Mono-r.aloneSince >= r.aloneLimit
	case r.neighbours.knowSynced(): // and since then all that are have failed to serve this node
		return since >= r.unsyncedLimit
	default:
		return since >= ElectAfter && (r.synced || leads) || since >= r.unsyncedLimit
	}
}

// note looks whether the node is complete now, and reports whether it has become so; fed is how many
// records have come of what it lacked. While some are arriving, or there is a full sync, it waits for
// them.
func (r *readiness) note(now delta.Instant, fed uint64, arriving, busy bool) (became bool) {
	if r.complete {
		return false
	}
	if !r.synced || fed != r.fed || arriving {
		r.fed, r.fedAt = fed, now.Mono
	}
	if !r.synced || busy {
		return false
	}
	r.complete = len(r.neighbours.holders()) == 0 || now.Mono-r.fedAt >= r.unsyncedLimit
	return r.complete
}

// lacks says why the node isn't ready; "" if it is. syncing says so of a full sync under way, failure of
// the last one.
func (r *readiness) lacks(now delta.Instant, syncing, failure string) string {
	alone := (now.Mono - r.aloneSince).Round(time.Second)
	switch n := len(r.neighbours.ids); {
	case r.synced && !r.complete && syncing == "":
		return fmt.Sprintf("others hold, or may hold, what this node lacks: %x; "+
			"that is enough after %v in which nothing comes",
			r.neighbours.holders(), (r.unsyncedLimit - (now.Mono - r.fedAt)).Round(time.Second))
	case r.complete && n < r.minPeers:
		return fmt.Sprintf("too few other nodes are connected: %d of at least %d (MinPeers)", n, r.minPeers)
	case r.complete:
		return ""
	case syncing != "":
		return syncing
	case n == 0 && r.aloneLimit == never:
		return fmt.Sprintf("no other node is reached for %v; "+
			"with MinPeers, or a negative SyncTimeout, it waits until one is", alone)
	case n == 0:
		return fmt.Sprintf("no other node is reached for %v; that is enough after %v",
			alone, r.aloneLimit)
	case failure != "":
		return failure
	case n == 1:
		return "the other node that is reached isn't synced"
	default:
		return fmt.Sprintf("none of the %d other nodes that are reached is synced", n)
	}
}
