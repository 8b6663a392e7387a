package replica

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
	"github.com/iwanbk/bcache/internal/wire"
)

// Pings and pongs: what nodes tell each other of what they have processed.

// nonce returns a number that no other call, of any node, is likely to return.
func (r *Replica) nonce() uint64 {
	r.nonces++
	b := binary.LittleEndian.AppendUint64(nil, r.Origin)
	return xxhash.Sum64(binary.LittleEndian.AppendUint64(b, r.nonces))
}

// A listing is what a ping says of the vector.
type listing struct {
	entries []dots.Entry
	rest    uint64
}

func (r *Replica) listing(now delta.Instant, since time.Duration) *listing {
	var l listing
	l.entries, l.rest = r.vector.List(since)
	r.dropArrivals(now)
	r.arrivals.claim(&l, r.vector)
	return &l
}

// ping sends a neighbour this node's vector.
func (r *Replica) ping(now delta.Instant, id uint64, flags uint64) {
	r.pingWith(now, id, flags, nil)
}

// pingWith is ping with a listing of what is recent, if there is one.
func (r *Replica) pingWith(now delta.Instant, id uint64, flags uint64, recent *listing) {
	p := r.neighbours.byID[id]
	q := &wire.Ping{ID: r.nonce(), Origin: r.Origin, Seq: r.seq, Wall: now.Wall, Flags: flags | wire.PingContext,
		Horizon: r.vector.Horizon, Held: uint64(r.Store.Len()), Echo: r.touches.Echo()}
	if p.full = p.listAll || flags&wire.PingPull != 0; p.full {
		p.listAll = false
		q.Flags |= wire.PingAll
		recent = r.listing(now, dots.LongAgo)
		recent.rest = 0
	} else if recent == nil {
		recent = r.listing(now, now.Mono-dots.ActiveFor)
	}
	q.Entries, q.Rest = recent.entries, recent.rest
	if r.whole(now) {
		q.Flags |= wire.PingSynced
	}
	p.wall, p.pingID, p.listed = now.Wall, q.ID, r.vector.Get(p.origin).Last()
	r.out.sendPing(pingTo{id, q})
}

func (r *Replica) receivePing(now delta.Instant, from uint64, q wire.Ping) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.neighbours.hear(now, from, q.Origin, q.Echo)
	if p != nil && q.Origin == p.origin {
		p.owe(r.vector.Get(q.Origin), q.Seq, now.Mono)
	}
	if p != nil {
		p.claim(q.Origin, q.Seq)
	}
	if p != nil && q.Flags&wire.PingContext != 0 {
		p.diverged = r.vector.Reconcile(q.Horizon, r.latest(now))
		p.synced, p.held = q.Flags&wire.PingSynced != 0, q.Held
		if q.Flags&wire.PingPull != 0 {
			p.request = &q
			r.counts.RepairsAnswered++
			r.out.wake()
			return
		}
	}
	flags := uint64(0)
	if q.Flags&wire.PingContext != 0 && q.Flags&wire.PingPull == 0 {
		flags = wire.PongContext
		if q.Flags&wire.PingAll == 0 && r.vector.RestOf(q.Entries) != q.Rest {
			flags |= wire.PongAll
		}
		const everything = wire.PongLog | wire.PongOld // then there is no more to say
		for c := r.vector.Compare(q.Claim(), false); flags&everything != everything && c.Next(); {
			if c.Due(r.stepWork) {
				r.letOthers()
			}
			m := c.Lacking()
			flags |= r.answerable(&m)
		}
	}
	r.pong(now, from, &q, flags)
	if q.Flags&wire.PingClosing != 0 && r.vector.Get(q.Origin).Covered < q.Seq {
		r.pullFrom(now, from)
	}
	r.advance(now)
}

// pong answers a ping.
func (r *Replica) pong(now delta.Instant, to uint64, q *wire.Ping, flags uint64) {
	a := wire.Pong{ID: q.ID, Origin: r.Origin, Seq: r.seq, Wall: now.Wall, Flags: flags,
		Horizon: r.vector.Horizon, Held: uint64(r.Store.Len()), Echo: r.touches.Echo()}
	run := r.vector.Get(q.Origin).Run(q.Seq)
	a.From, a.To = run.From, run.To
	if r.whole(now) {
		a.Flags |= wire.PongSynced
	}
	bulk := q.Flags&wire.PingPull != 0 // after what it answers
	r.out.send(message{To: to, Frame: wire.AppendPong(nil, a), Bulk: bulk})
}

func (r *Replica) receivePong(now delta.Instant, from uint64, a wire.Pong) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.neighbours.byID[from]
	if p == nil || p.origin != a.Origin {
		return
	}
	r.neighbours.hear(now, from, a.Origin, a.Echo)
	p.confirm(a.From, min(a.To, r.seq))
	if a.ID == p.pingID {
		r.compareClocks(now, from, p, a.Wall)
	}
	p.diverged = r.vector.Reconcile(a.Horizon, r.latest(now))
	p.synced, p.held = a.Flags&wire.PongSynced != 0, a.Held
	p.claim(a.Origin, a.Seq)
	if a.ID == p.pingID && a.Seq < p.listed {
		r.disbelieve(p)
	}
	done, got := r.pulls.endedBy(from, a.ID)
	if a.Flags&wire.PongContext != 0 && (done || a.ID == p.pingID) { // otherwise it may be out of date
		p.known = a.Flags&wire.PongAll == 0
		p.offer = a.Flags & (wire.PongLog | wire.PongOld)
		if done && !got {
			p.offer &^= wire.PongLog // it can't be had, this time
		} else {
			p.holds = p.offer != 0
		}
	}
	if done {
		if r.pulls.end(now, got); got {
			r.askAgain(now, func(q *neighbour) bool { return q != p && (q.offer != 0 || !q.known) })
		}
	}
	if a.Flags&wire.PongAll != 0 && a.ID == p.pingID && !p.full { // what wasn't asked is worth no list
		p.listAll = true
		r.ping(now, from, 0)
	}
	r.advance(now)
	r.noteComplete(now)
}

// disbelieve is called when a neighbour has written less than what this node's vector had of it when
// it was asked. So that was wrong, whoever told it, and what the neighbour writes next would be taken
// for known. All that is believed to be processed of it is forgotten, and got again.
func (r *Replica) disbelieve(p *neighbour) {
	r.vector.Forget(p.origin)
	p.listed = 0
	r.counts.disbelieved++
	r.neighbours.doubt() // what they said was about that vector
	r.rounds.soon()
}

// askAgain has neighbours say again what they have more than this node.
func (r *Replica) askAgain(now delta.Instant, whom func(*neighbour) bool) {
	for id, p := range r.neighbours.all() {
		if whom(p) {
			p.doubt()
			r.ping(now, id, 0)
		}
	}
}

// compareClocks cuts a neighbour whose clock provably differs too much: it was read after
// the ping left, and before the pong came (compare RFC 5905, section 8).
func (r *Replica) compareClocks(now delta.Instant, id uint64, p *neighbour, wall int64) {
	if bound := r.maxSkew + 1; wall-now.Wall > bound || p.wall-wall > bound {
		const layout = "2006-01-02T15:04:05.000Z07:00"
		r.out.cut(id, fmt.Sprintf("clocks differ by more than %d ms: %s there, %s here", r.maxSkew,
			time.UnixMilli(wall).UTC().Format(layout), time.UnixMilli(now.Wall).UTC().Format(layout)))
		r.counts.RefusedSkewPeers++
	}
}
