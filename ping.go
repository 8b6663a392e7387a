package bcache

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Pings and pongs: what nodes tell each other of what they have processed.

// nonce returns a number that no other call, of any node, is likely to return.
func (r *replica) nonce() uint64 {
	r.nonces++
	b := binary.LittleEndian.AppendUint64(nil, r.origin)
	return xxhash.Sum64(binary.LittleEndian.AppendUint64(b, r.nonces))
}

// A listing is what a ping says of the vector.
type listing struct {
	entries []vectorEntry
	rest    uint64
}

func (r *replica) listing(now instant, since time.Duration) *listing {
	var l listing
	l.entries, l.rest = r.vector.list(since)
	r.dropArrivals(now)
	r.arrivals.claim(&l, r.vector)
	return &l
}

// ping sends a neighbour this node's vector.
func (r *replica) ping(now instant, id uint64, flags uint64) {
	r.pingWith(now, id, flags, nil)
}

// pingWith is ping with a listing of what is recent, if there is one.
func (r *replica) pingWith(now instant, id uint64, flags uint64, recent *listing) {
	p := r.neighbours.byID[id]
	q := &ping{id: r.nonce(), origin: r.origin, seq: r.seq, wall: now.wall, flags: flags | pingContext,
		horizon: r.vector.horizon, held: uint64(r.store.len()), echo: r.touches.echo()}
	if p.full = p.listAll || flags&pingPull != 0; p.full {
		p.listAll = false
		q.flags |= pingAll
		recent = r.listing(now, longAgo)
		recent.rest = 0
	} else if recent == nil {
		recent = r.listing(now, now.mono-activeFor)
	}
	q.entries, q.rest = recent.entries, recent.rest
	if r.whole(now) {
		q.flags |= pingSynced
	}
	p.wall, p.pingID, p.listed = now.wall, q.id, r.vector.get(p.origin).last()
	r.out.sendPing(pingTo{id, q})
}

func (r *replica) receivePing(now instant, from uint64, q ping) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.neighbours.hear(now, from, q.origin, q.echo)
	if p != nil && q.origin == p.origin {
		p.owe(r.vector.get(q.origin), q.seq, now.mono)
	}
	if p != nil {
		p.claim(q.origin, q.seq)
	}
	if p != nil && q.flags&pingContext != 0 {
		p.diverged = r.vector.reconcile(q.horizon, r.latest(now))
		p.synced, p.held = q.flags&pingSynced != 0, q.held
		if q.flags&pingPull != 0 {
			p.request = &q
			r.counts.repairsAnswered++
			r.out.wake()
			return
		}
	}
	flags := uint64(0)
	if q.flags&pingContext != 0 && q.flags&pingPull == 0 {
		flags = pongContext
		if q.flags&pingAll == 0 && r.vector.restOf(q.entries) != q.rest {
			flags |= pongAll
		}
		const everything = pongLog | pongOld // then there is no more to say
		for c := r.vector.compare(q.claim(), false); flags&everything != everything && c.next(); {
			if c.due(r.stepWork) {
				r.letOthers()
			}
			m := c.lacking()
			flags |= r.answerable(&m)
		}
	}
	r.pong(now, from, &q, flags)
	if q.flags&pingClosing != 0 && r.vector.get(q.origin).covered < q.seq {
		r.pullFrom(now, from)
	}
	r.advance(now)
}

// pong answers a ping.
func (r *replica) pong(now instant, to uint64, q *ping, flags uint64) {
	a := pong{id: q.id, origin: r.origin, seq: r.seq, wall: now.wall, flags: flags,
		horizon: r.vector.horizon, held: uint64(r.store.len()), echo: r.touches.echo()}
	run := r.vector.get(q.origin).run(q.seq)
	a.from, a.to = run.from, run.to
	if r.whole(now) {
		a.flags |= pongSynced
	}
	bulk := q.flags&pingPull != 0 // after what it answers
	r.out.send(message{to: to, frame: appendPong(nil, a), bulk: bulk})
}

func (r *replica) receivePong(now instant, from uint64, a pong) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.neighbours.byID[from]
	if p == nil || p.origin != a.origin {
		return
	}
	r.neighbours.hear(now, from, a.origin, a.echo)
	p.confirm(a.from, min(a.to, r.seq))
	if a.id == p.pingID {
		r.compareClocks(now, from, p, a.wall)
	}
	p.diverged = r.vector.reconcile(a.horizon, r.latest(now))
	p.synced, p.held = a.flags&pongSynced != 0, a.held
	p.claim(a.origin, a.seq)
	if a.id == p.pingID && a.seq < p.listed {
		r.disbelieve(p)
	}
	done, got := r.pulls.endedBy(from, a.id)
	if a.flags&pongContext != 0 && (done || a.id == p.pingID) { // otherwise it may be out of date
		p.known = a.flags&pongAll == 0
		p.offer = a.flags & (pongLog | pongOld)
		if done && !got {
			p.offer &^= pongLog // it can't be had, this time
		} else {
			p.holds = p.offer != 0
		}
	}
	if done {
		if r.pulls.end(now, got); got {
			r.askAgain(now, func(q *neighbour) bool { return q != p && (q.offer != 0 || !q.known) })
		}
	}
	if a.flags&pongAll != 0 && a.id == p.pingID && !p.full { // what wasn't asked is worth no list
		p.listAll = true
		r.ping(now, from, 0)
	}
	r.advance(now)
	r.noteComplete(now)
}

// disbelieve is called when a neighbour has written less than what this node's vector had of it when
// it was asked. So that was wrong, whoever told it, and what the neighbour writes next would be taken
// for known. All that is believed to be processed of it is forgotten, and got again.
func (r *replica) disbelieve(p *neighbour) {
	r.vector.forget(p.origin)
	p.listed = 0
	r.counts.disbelieved++
	r.neighbours.doubt() // what they said was about that vector
	r.rounds.soon()
}

// askAgain has neighbours say again what they have more than this node.
func (r *replica) askAgain(now instant, whom func(*neighbour) bool) {
	for id, p := range r.neighbours.all() {
		if whom(p) {
			p.doubt()
			r.ping(now, id, 0)
		}
	}
}

// compareClocks cuts a neighbour whose clock provably differs too much: it was read after
// the ping left, and before the pong came (compare RFC 5905, section 8).
func (r *replica) compareClocks(now instant, id uint64, p *neighbour, wall int64) {
	if bound := r.maxSkew + 1; wall-now.wall > bound || p.wall-wall > bound {
		const layout = "2006-01-02T15:04:05.000Z07:00"
		r.out.cut(id, fmt.Sprintf("clocks differ by more than %d ms: %s there, %s here", r.maxSkew,
			time.UnixMilli(wall).UTC().Format(layout), time.UnixMilli(now.wall).UTC().Format(layout)))
		r.counts.refusedSkewPeers++
	}
}

// claim is what a ping says that its sender has processed.
func (q *ping) claim() vectorClaim {
	return vectorClaim{origin: q.origin, entries: q.entries, all: q.flags&pingAll != 0, horizon: q.horizon}
}

// claimed is how many dots the vector of a ping has, which grows with every answer to a pull that
// arrives.
func (q *ping) claimed() (n uint64) {
	for i := range q.entries {
		n += q.entries[i].covered
		for _, iv := range q.entries[i].ahead {
			n += iv.to - iv.from
		}
	}
	return n
}
