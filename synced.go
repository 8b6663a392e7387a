package bcache

import (
	"fmt"
	"math"
	"time"
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

const (
	electAfter = 3 * time.Second // all neighbours being unsynced, in case a synced one is about to connect

	never time.Duration = math.MaxInt64
)

// whole reports whether a full sync from this node would make another one complete: it is synced,
// vouches for all that it holds, and its stamps aren't ahead of what others accept.
func (r *replica) whole(now instant) bool {
	return r.synced && !r.client.unvouched && !r.future(now, r.clock.last.Load())
}

// mayDeclare reports whether the time has come to declare the node synced. One that was synced before, and
// holds what a full sync brought that didn't end, doesn't wait for others: it has the most.
func (r *replica) mayDeclare(now instant) bool {
	if len(r.neighbours.byID) == 0 || r.neighbours.knowServer() {
		r.unsyncedSince = now.mono
	}
	if r.synced && !r.client.unvouched || r.client.session != nil || r.client.vouching {
		return false
	}
	switch since := now.mono - r.unsyncedSince; {
	case len(r.neighbours.byID) == 0:
		return now.mono-r.aloneSince >= r.aloneLimit
	case r.neighbours.knowSynced(): // and since then all that are have failed to serve this node
		return since >= r.unsyncedLimit
	default:
		leads := r.synced || !r.neighbours.outdone(r.id, uint64(r.store.len()))
		return since >= electAfter && leads || since >= r.unsyncedLimit
	}
}

// declare makes the node synced on its own authority. What it holds without anybody vouching for
// it, it vouches for itself: everybody else will need a full sync from it.
func (r *replica) declare(now instant) {
	if !r.synced {
		r.out.notice(syncNotice{others: len(r.neighbours.byID), took: now.mono - r.aloneSince})
	}
	r.synced = true
	for id := range r.neighbours.all() { // they may be waiting for one that is
		r.ping(now, id, 0)
	}
}

// A vouching takes the marks of full syncs that didn't end from all that is held, in steps: others get the
// lock in between, but no full sync begins meanwhile.
type vouching struct {
	store *store
	shard int // the next one
}

// step takes about so many steps, and reports whether there may be more.
func (v *vouching) step(most int) bool {
	for work := 0; v.shard < v.store.shards(); {
		work += 1 + v.store.unmark(v.shard)
		if v.shard++; work >= most {
			return true
		}
	}
	return false
}

// unsynced says why the node isn't ready; "" if it is.
func (r *replica) unsynced(now instant) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch in := r.client.session; {
	case r.synced && !r.complete && in == nil:
		return r.incomplete(now)
	case r.complete && len(r.neighbours.byID) < r.minPeers:
		return fmt.Sprintf("only %d of at least %d other nodes are connected (MinPeers)", len(r.neighbours.byID), r.minPeers)
	case r.complete:
		return ""
	case in != nil:
		return r.client.progress()
	case len(r.neighbours.byID) == 0 && r.aloneLimit == never:
		return fmt.Sprintf("no other node is reached for %v; "+
			"with MinPeers, or a negative SyncTimeout, it waits until one is", (now.mono - r.aloneSince).Round(time.Second))
	case len(r.neighbours.byID) == 0:
		return fmt.Sprintf("no other node is reached for %v; that is enough after %v", (now.mono - r.aloneSince).Round(time.Second), r.aloneLimit)
	case r.client.failure != "":
		return r.client.failure
	}
	return fmt.Sprintf("none of the %d other nodes that are reached is synced", len(r.neighbours.byID))
}
