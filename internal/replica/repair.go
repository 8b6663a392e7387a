package replica

import (
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/wire"
)

const (
	RoundMin = 2 * time.Second // between the pings to a neighbour
	RoundMax = 10 * time.Second
	RoundFew = 3 * time.Second // instead of RoundMax, with up to Fanout neighbours

	// A neighbour of which nothing came for so long, in spite of two pings, is cut.
	SilentMost = 3 * RoundMin

	pullLimit   = time.Minute // however much of it comes
	surveyEvery = time.Second

	pullTimeout      = 2 * time.Second
	pullEvery        = 200 * time.Millisecond // for gaps, which frames may come and fill
	defaultPullBytes = 512 << 10              // in an answer, about; then the node asks again

	pullsAtOnce = 2           // answers that Flush makes in one go
	pullAgain   = time.Second // until the same is answered again

	stepWork = 2048 // intervals compared without letting others take the lock
)

// A repair (anti-entropy) gets what this node lacks. Every round a node pings some neighbours with its
// vector, and each answers whether it has more. If so, the node asks one of them to send it: that is a
// pull, and one at a time suffices. What is sent are deltas, made from the log. Where no log reaches
// back far enough, there is a full sync. A repair isn't locked.
type repair struct {
	state      *state
	neighbours *neighbours
	arrivals   *arrivals
	pinger     *pinger
	standing   *standing
	writes     *localWrites

	pulls  pulls
	client syncClient
	counts repairCounts
}

type repairCounts struct{ RepairsAsked uint64 }

// busy reports whether something is asked for: one thing at a time.
func (r *repair) busy() bool { return r.pulls.current != nil || r.client.session != nil }

// pullFrom asks a neighbour for what this node lacks, unless something of the kind is
// under way.
func (r *repair) pullFrom(now delta.Instant, id uint64) {
	if r.busy() || r.writes.closed || r.neighbours.byID[id] == nil {
		return
	}
	r.pinger.ping(now, id, wire.PingPull)
	r.pulls.begin(now, id, r.neighbours.byID[id].pingID)
	r.counts.RepairsAsked++
}

// pullFromOne asks one of some neighbours, another one each time.
func (r *repair) pullFromOne(now delta.Instant, ids []uint64) {
	r.pullFrom(now, r.neighbours.choose(ids, 0))
}

// gap is called when a frame has left a gap in the dots of origin. What is missing was
// lost, most likely; only a frame that took another way may still come.
func (r *repair) gap(now delta.Instant, origin uint64) {
	if r.pulls.early(now) || !r.standing.ready.synced {
		return
	}
	if r.pinger.dropArrivals(now); r.arrivals.fill(origin, r.state.vector) {
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
func (r *repair) advance(now delta.Instant) {
	if r.busy() || r.writes.closed || r.state.local {
		return
	}
	if !r.standing.ready.synced || r.client.unvouched {
		if r.startSync(now, anyone) || len(r.neighbours.where(isSynced)) > 0 {
			return
		}
	}
	if r.startSync(now, func(p *neighbour) bool { return p.diverged }) {
		return
	}
	logged := func(p *neighbour) bool { return p.offer&wire.PongLog != 0 }
	if ids := r.neighbours.where(logged); len(ids) > 0 {
		r.pullFromOne(now, ids)
		return
	}
	old := func(p *neighbour) bool { return p.offer&wire.PongOld != 0 }
	switch {
	case len(r.neighbours.where(isUnknown)) > 0:
		// Somebody may still have it.
	case len(r.neighbours.where(old)) == 0:
		r.pulls.surveyed = false
	case r.pulls.mustSurvey(now):
		r.pinger.askAll(now)
	case r.pulls.surveyed && r.startSync(now, old):
		r.pulls.surveyed = false
	}
}

// startSync asks one of the neighbours for a full sync. They must be synced, and as wanted.
func (r *repair) startSync(now delta.Instant, want func(*neighbour) bool) bool {
	peer, ok := r.client.choose(now, r.state.Origin, want)
	if ok {
		r.client.start(now, peer, r.pinger.nonce())
	}
	return ok
}

// tick gives up a pull that isn't answered.
func (r *repair) tick(now delta.Instant) {
	peer, expired := r.pulls.expire(now)
	if p := r.neighbours.byID[peer]; expired && p != nil {
		p.doubt() // until the next round
	}
}
