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
	return r.synced && !r.unvouched && !r.future(now, r.clock.last.Load())
}

// declareInTime declares the node synced, if its time has come. One that was synced before, and holds
// what a full sync brought that didn't end, doesn't wait for others: it has the most.
func (r *replica) declareInTime(now instant) {
	if len(r.neighbours.byID) == 0 || r.neighbours.knowServer() {
		r.unsyncedSince = now.mono
	}
	if r.synced && !r.unvouched || r.sync != nil || r.vouching {
		return
	}
	switch {
	case len(r.neighbours.byID) == 0:
		if now.mono-r.aloneSince >= r.aloneLimit {
			r.declare(now)
		}
	case r.neighbours.knowSynced(): // and since then all that are have failed to serve this node
		if now.mono-r.unsyncedSince >= r.unsyncedLimit {
			r.declare(now)
		}
	default:
		since := now.mono - r.unsyncedSince
		if since >= electAfter && (r.synced || !r.neighbours.outdone(r.id, uint64(r.store.len()))) || since >= r.unsyncedLimit {
			r.declare(now)
		}
	}
}

// declare makes the node synced on its own authority. What it holds without anybody vouching for
// it, it vouches for itself: everybody else will need a full sync from it.
func (r *replica) declare(now instant) {
	if r.unvouched {
		r.vouch(now)
	}
	if !r.synced {
		r.out.notice(syncNotice{others: len(r.neighbours.byID), took: now.mono - r.aloneSince})
	}
	r.becomeSynced()
	for id := range r.neighbours.all() { // they may be waiting for one that is
		r.ping(now, id, 0)
	}
}

// vouch takes the marks of full syncs that didn't end from all that is held. Others get the lock in
// between, but no full sync begins meanwhile.
func (r *replica) vouch(now instant) {
	r.vouching = true
	work := 0
	for i := range r.store.shards() {
		if work += 1 + r.store.unmark(i); work >= r.stepWork {
			work = 0
			r.letOthers()
		}
	}
	r.vouching, r.unvouched = false, false
	r.skipSeq(now)
}

func (r *replica) becomeSynced() {
	r.synced = true
}

// unsynced says why the node isn't ready; "" if it is.
func (r *replica) unsynced(now instant) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch in := r.sync; {
	case r.synced && !r.complete && in == nil:
		return r.incomplete(now)
	case r.complete && len(r.neighbours.byID) < r.minPeers:
		return fmt.Sprintf("only %d of at least %d other nodes are connected (MinPeers)", len(r.neighbours.byID), r.minPeers)
	case r.complete:
		return ""
	case in != nil && in.head.groups > 0:
		return fmt.Sprintf("a full sync from node %x is under way: %d %%", in.peer, 100*in.group/in.head.groups)
	case in != nil:
		return fmt.Sprintf("a full sync from node %x begins", in.peer)
	case len(r.neighbours.byID) == 0 && r.aloneLimit == never:
		return fmt.Sprintf("no other node is reached for %v; "+
			"with MinPeers, or a negative SyncTimeout, it waits until one is", (now.mono - r.aloneSince).Round(time.Second))
	case len(r.neighbours.byID) == 0:
		return fmt.Sprintf("no other node is reached for %v; that is enough after %v", (now.mono - r.aloneSince).Round(time.Second), r.aloneLimit)
	case r.syncFailure != "":
		return r.syncFailure
	}
	return fmt.Sprintf("none of the %d other nodes that are reached is synced", len(r.neighbours.byID))
}
