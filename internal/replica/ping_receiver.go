package replica

import (
	"fmt"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
	"github.com/iwanbk/bcache/internal/wire"
)

// A pingReceiver deals with the pings and pongs that come in: what the neighbours have processed, and
// hold.
type pingReceiver struct {
	mu         *lock
	state      *state
	neighbours *neighbours
	pinger     *pinger
	answers    *pullAnswers
	repair     *repair
	standing   *standing
	out        *outgoing
	counts     pingCounts
}

type pingCounts struct {
	RefusedSkewPeers uint64
	disbelieved      uint64
}

func (r *pingReceiver) receivePing(now delta.Instant, from uint64, q wire.Ping) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.neighbours.hear(now, from, q.Origin, q.Echo)
	again := p == nil || p.leaving
	if p != nil && q.Origin == p.origin {
		p.leaving = p.leaving || q.Flags&wire.PingLeaving != 0
		p.owe(r.state.vector.Get(q.Origin), q.Seq, now.Mono)
		p.delays.clock.check(now, delta.Instant{Wall: q.Wall, Micros: q.Micros}.UnixMicro())
	}
	if p != nil {
		p.claim(q.Origin, q.Seq)
	}
	if p != nil && q.Flags&wire.PingContext != 0 {
		p.hint.take(now.Mono, r.state.vector, q.Entries, r.state.Origin)
		p.diverged = r.state.vector.Reconcile(q.Horizon, r.state.latest(now))
		p.tell(q.Flags&wire.PingSynced != 0, q.Held)
		p.answers, p.tags = q.Flags&wire.PingAnswers != 0, q.Flags&wire.PingTags != 0
		if q.Flags&wire.PingPull != 0 {
			r.answers.request(p, &q)
			return
		}
	}
	flags, lacks := uint64(0), []dots.Entry(nil)
	if q.Flags&wire.PingContext != 0 && q.Flags&wire.PingPull == 0 {
		flags = wire.PongContext
		if q.Flags&wire.PingAll == 0 && r.state.vector.RestOf(q.Entries) != q.Rest {
			flags |= wire.PongAll
		}
		const everything = wire.PongLog | wire.PongOld // then there is no more to say
		for c := r.state.vector.Compare(r.claim(p, &q), false); flags&everything != everything && c.Next(); {
			if c.Due(r.mu.stepWork) {
				r.mu.letOthers()
			}
			m := c.Lacking()
			flags |= r.state.answerable(&m)
		}
		if q.Flags&wire.PingExact != 0 && flags&wire.PongAll == 0 {
			var ok bool
			if lacks, ok = r.exactly(&q); ok {
				flags |= wire.PongExact
			}
		}
	}
	behind := q.Flags&wire.PingConfirm != 0 && r.state.vector.Get(q.Origin).Covered < q.Seq
	if q.Flags&wire.PingLeaving != 0 {
		if lacksOf(&q, r.state.vector, r.mu) {
			flags |= wire.PongBehind
			behind = behind || again // at first it may be on its way
		} else {
			flags |= wire.PongWhole
		}
	}
	r.pinger.pong(now, from, &q, flags, lacks)
	if behind {
		if p != nil {
			r.repair.pullFrom(now, from)
		} else {
			r.repair.gap(now, q.Origin) // others may have it
		}
	}
	r.repair.advance(now)
}

// claim is what a ping claims. p is its sender, nil if that isn't a neighbour yet.
func (r *pingReceiver) claim(p *neighbour, q *wire.Ping) dots.Claim {
	c := q.Claim()
	if c.Before = r.state.seq; p != nil {
		c.Before = p.baseline
	}
	return c
}

func (r *pingReceiver) receivePong(now delta.Instant, from uint64, a wire.Pong) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.neighbours.byID[from]
	if p == nil {
		r.pinger.confirms.receiveBeyond(now, from, &a)
		return
	}
	if p.origin != a.Origin {
		return
	}
	r.neighbours.hear(now, from, a.Origin, a.Echo)
	r.pinger.confirms.receive(now, p, &a)
	if a.ID == p.pingID {
		r.compareClocks(now, from, p, delta.Instant{Wall: a.Wall, Micros: a.Micros})
	}
	p.diverged = r.state.vector.Reconcile(a.Horizon, r.state.latest(now))
	p.leaving = p.leaving || a.Flags&wire.PongLeaving != 0
	p.tell(a.Flags&wire.PongSynced != 0, a.Held)
	p.answers, p.tags = a.Flags&wire.PongAnswers != 0, a.Flags&wire.PongTags != 0
	p.claim(a.Origin, a.Seq)
	if a.ID == p.pingID && a.Seq < p.listed {
		r.disbelieve(now, p)
	}
	r.pinger.hearings.take(now, p, &a)
	r.pinger.hearings.listen(now)
	done, got := r.repair.pulls.endedBy(from, a.ID)
	if done && a.Flags&wire.PongContext == 0 {
		// It doesn't know yet that they are connected. It pings when it does, and is asked again then.
		r.repair.pulls.left(from)
		return
	}
	last := a.ID == p.pingID && !p.again // otherwise what it has may be out of date
	if a.Flags&wire.PongContext != 0 && (done || last) {
		p.known = a.Flags&wire.PongAll == 0
		p.offer = a.Flags & (wire.PongLog | wire.PongOld)
		if done && !got {
			p.offer &^= wire.PongLog // it can't be had, this time
		} else {
			p.holds = p.offer != 0
		}
	}
	if done {
		if r.repair.pulls.end(now, got); got {
			others := func(q *neighbour) bool { return q != p && (q.offer != 0 || !q.known) }
			r.pinger.askAgain(now, others)
		}
	}
	more := a.Flags&wire.PongAll != 0 && !p.full // what wasn't asked is worth no list
	if a.ID == p.pingID && (more || p.again) {
		p.listAll = p.listAll || more
		r.pinger.ping(now, from, 0)
	}
	r.repair.advance(now)
	r.standing.noteComplete(now)
}

// disbelieve is called when a neighbour has written less than what this node's vector had of it when
// it was asked. So that was wrong, whoever told it, and what the neighbour writes next would be taken
// for known. All that is believed to be processed of it is forgotten, and got again.
func (r *pingReceiver) disbelieve(now delta.Instant, p *neighbour) {
	r.state.vector.Forget(p.origin)
	p.listed, p.recall = 0, p.claimed
	r.counts.disbelieved++
	r.neighbours.doubt() // what they said was about that vector
	r.pinger.hearings.isolation.doubt(now)
	r.pinger.rounds.soon()
}

// compareClocks measures how far a neighbour's clock is from this node's, and cuts it if they provably
// differ too much: it was read after the ping left, and before the pong came.
func (r *pingReceiver) compareClocks(now delta.Instant, id uint64, p *neighbour, theirs delta.Instant) {
	if s, ok := sampleOf(p.left, now, theirs); ok && !p.pull {
		p.delays.clock.add(s)
	}
	wall := theirs.Wall
	if bound := r.state.maxSkew + 1; wall-now.Wall > bound || p.left.Wall-wall > bound {
		const layout = "2006-01-02T15:04:05.000Z07:00"
		r.out.cut(id, fmt.Sprintf("clocks differ by more than %d ms: %s there, %s here", r.state.maxSkew,
			time.UnixMilli(wall).UTC().Format(layout), time.UnixMilli(now.Wall).UTC().Format(layout)))
		r.counts.RefusedSkewPeers++
	}
}
