package bcache

import (
	"time"
)

// Pulls: a node asks a neighbour for the dots that it lacks, and the neighbour answers with deltas
// from its log and then a pong.

// A pullOp is a pull under way.
type pullOp struct {
	peer  uint64
	id    uint64 // of its ping
	began time.Duration
	alive time.Duration // something of the answer came last
	got   uint64        // records so far
}

// pullFrom asks a neighbour for what this node lacks, unless something of the kind is
// under way.
func (r *replica) pullFrom(now instant, id uint64) {
	if r.pull != nil || r.client.session != nil || r.closed || r.neighbours.byID[id] == nil {
		return
	}
	r.ping(now, id, pingPull)
	r.pull = &pullOp{peer: id, id: r.neighbours.byID[id].pingID, began: now.mono, alive: now.mono}
	r.lastPull = now.mono
	r.counts.repairsAsked++
}

// pullFromOne asks one of some neighbours, another one each time.
func (r *replica) pullFromOne(now instant, ids []uint64) {
	r.pullFrom(now, r.neighbours.choose(ids, 0))
}

// gap is called when a frame has left a gap in the dots of origin. What is missing was
// lost, most likely; only a frame that took another way may still come.
func (r *replica) gap(now instant, origin uint64) {
	if now.mono-r.lastPull < pullEvery || now.mono < r.gapsWait || !r.ready.synced {
		return
	}
	if r.dropArrivals(now); r.arrivals.fill(origin, r.vector) {
		return
	}
	candidates := r.neighbours.where(func(p *neighbour) bool { return p.origin == origin })
	if len(candidates) == 0 {
		candidates = r.neighbours.where(isSynced)
	}
	if len(candidates) > 0 {
		r.pullFromOne(now, candidates)
	}
}

// advance starts what is to be done next to catch up with the others: a full sync for who
// needs one in any case; otherwise pulls, from one neighbour after the other; and a full
// sync if no log has what is missing. One thing at a time.
func (r *replica) advance(now instant) {
	if r.pull != nil || r.client.session != nil || r.closed || r.local {
		return
	}
	if !r.ready.synced || r.client.unvouched {
		if r.startSync(now, anyone) || len(r.neighbours.where(isSynced)) > 0 {
			return
		}
	}
	if r.startSync(now, func(p *neighbour) bool { return p.diverged }) {
		return
	}
	if ids := r.neighbours.where(func(p *neighbour) bool { return p.offer&pongLog != 0 }); len(ids) > 0 {
		r.pullFromOne(now, ids)
		return
	}
	old := func(p *neighbour) bool { return p.offer&pongOld != 0 }
	switch {
	case len(r.neighbours.where(isUnknown)) > 0:
		// Somebody may still have it.
	case len(r.neighbours.where(old)) == 0:
		r.surveyed = false
	case !r.surveyed && now.mono-r.lastSurvey >= surveyEvery:
		r.surveyed, r.lastSurvey = true, now.mono // what the others have said may be out of date
		r.askAgain(now, anyone)
	case r.surveyed && r.startSync(now, old):
		r.surveyed = false
	}
}

// pullTick gives up a pull that isn't answered.
func (r *replica) pullTick(now instant) {
	if r.pull == nil || now.mono-r.pull.alive < pullTimeout && now.mono-r.pull.began < pullLimit {
		return
	}
	if p := r.neighbours.byID[r.pull.peer]; p != nil {
		p.doubt() // until the next round
	}
	r.pull = nil
}
