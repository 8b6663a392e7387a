package replica

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
	"github.com/iwanbk/bcache/internal/wire"
)

// A pinger sends pings and pongs: they tell the neighbours what this node has processed. It isn't
// locked.
type pinger struct {
	state      *state
	neighbours *neighbours
	arrivals   *arrivals
	standing   *standing
	writes     *localWrites
	out        *outgoing

	rounds   rounds
	subset   subset
	hearings hearings
	confirms confirmations
	nonces   uint64 // drawn so far
	counts   pingerCounts
}

type pingerCounts struct {
	Stuck uint64 // neighbours that were silent for too long
}

// A listing is what a ping says of the vector.
type listing struct {
	entries []dots.Entry
	rest    uint64
	claims  []dots.OriginDots // what it has too much: it is only arriving
}

// nonce returns a number that no other call, of any node, is likely to return.
func (s *pinger) nonce() uint64 {
	s.nonces++
	b := binary.LittleEndian.AppendUint64(nil, s.state.Origin)
	return xxhash.Sum64(binary.LittleEndian.AppendUint64(b, s.nonces))
}

// listing lists the dots of origins that were active since a time.
func (s *pinger) listing(now delta.Instant, since time.Duration) *listing {
	var l listing
	l.entries, l.rest = s.state.vector.List(since)
	s.dropArrivals(now)
	s.arrivals.claim(&l, s.state.vector)
	for _, x := range *s.arrivals {
		claimed := []dots.Interval{{From: x.Seq - 1, To: x.Seq}}
		l.claims = append(l.claims, dots.OriginDots{Origin: x.Origin, Dots: claimed})
	}
	return &l
}

// dropArrivals forgets what has come, or doesn't come any more: then others say in the next round
// whether they have it.
func (s *pinger) dropArrivals(now delta.Instant) {
	if s.arrivals.drop(now, s.state.vector) {
		s.rounds.active = true
	}
}

// ping sends a neighbour this node's vector.
func (s *pinger) ping(now delta.Instant, id uint64, flags uint64) {
	s.pingWith(now, id, flags, nil)
}

// pingWith is ping with a listing of what is recent, if there is one.
func (s *pinger) pingWith(now delta.Instant, id uint64, flags uint64, recent *listing) {
	p := s.neighbours.byID[id]
	q := &wire.Ping{
		ID: s.nonce(), Origin: s.state.Origin, Seq: s.state.seq, Wall: now.Wall, Micros: now.Micros,
		Flags: flags, Echo: s.state.touches.Echo(),
	}
	s.standing.describe(now, q)
	if p.full = p.listAll || flags&wire.PingPull != 0; p.full {
		p.listAll = false
		q.Flags |= wire.PingAll
		recent = s.listing(now, dots.LongAgo)
		recent.rest = 0
	} else if recent == nil {
		recent = s.listing(now, now.Mono-dots.ActiveFor)
	}
	q.Entries, q.Rest = recent.entries, recent.rest
	p.left, p.pingID, p.listed = now, q.ID, s.state.vector.Get(p.origin).Last()
	p.pull, p.again = flags&wire.PingPull != 0, false
	s.hearings.ask(now, p, q, recent.claims)
	s.out.sendPing(pingTo{id, q})
}

// pingAll sends it to all of them. Where there are many that is much: it is for what happens rarely.
func (s *pinger) pingAll(now delta.Instant) {
	for id := range s.neighbours.all() {
		s.ping(now, id, 0)
	}
}

// pingSome pings as many as a round draws, without waiting for one.
func (s *pinger) pingSome(now delta.Instant) {
	for _, id := range slices.Clone(s.subset.draw(s.neighbours.ids)) {
		s.ping(now, id, 0)
	}
}

// askAll has all neighbours say again what they have more than this node.
func (s *pinger) askAll(now delta.Instant) {
	s.neighbours.doubt()
	s.pingAll(now)
}

// pong answers a ping. lacks is what it says exactly, if it does.
func (s *pinger) pong(now delta.Instant, to uint64, q *wire.Ping, flags uint64, lacks []dots.Entry) {
	a := wire.Pong{ID: q.ID, Origin: s.state.Origin, Seq: s.state.seq, Wall: now.Wall, Micros: now.Micros,
		Flags: flags | wire.PongAnswers | wire.PongTags, Horizon: s.state.vector.Horizon,
		Held: uint64(s.state.Store.Sync.Held()), Echo: s.state.touches.Echo(), Lacks: lacks}
	run := s.state.vector.Get(q.Origin).Run(q.Seq)
	a.From, a.To = run.From, run.To
	if s.standing.whole(now) {
		a.Flags |= wire.PongSynced
	}
	if s.writes.closed {
		a.Flags |= wire.PongLeaving
	}
	bulk := q.Flags&wire.PingPull != 0 // after what it answers
	s.out.send(message{To: to, Frame: wire.AppendPong(nil, a), Bulk: bulk})
}

// askAgain is askAll for some, and for no more of them than a round draws. What the others of them have
// offered may be out of date, and is forgotten. Those that are asked have it soon, too, and the rounds
// come to the others. Who hasn't answered its last ping is asked when it has: many small pulls would
// pile up pings at one that hangs, and it would answer them all at once.
func (s *pinger) askAgain(now delta.Instant, whom func(*neighbour) bool) {
	asked := s.subset.some(s.neighbours, whom)
	for id, p := range s.neighbours.all() {
		switch {
		case slices.Contains(asked, id):
			p.doubt()
			if p.again = p.awaited(now); !p.again {
				s.ping(now, id, 0)
			}
		case whom(p):
			p.offer = 0
		}
	}
}

// round pings neighbours, if it is time. Who was silent for too long is cut: mesh itself never notices a
// node that takes nothing any more while there is something to send.
func (s *pinger) round(now delta.Instant, busy bool) {
	quiet := !s.rounds.active && !busy && s.standing.ready.synced && !s.hearings.isolation.Is()
	restless := func(p *neighbour) bool {
		return p.offer != 0 || p.diverged || p.open() || p.owes() ||
			p.hint.due(now.Mono, s.state.vector)
	}
	quiet = quiet && !s.neighbours.exists(restless)
	if few := len(s.neighbours.ids) <= Fanout; !s.rounds.due(now, quiet, few) {
		return
	}
	recent := s.listing(now, now.Mono-dots.ActiveFor)
	whom := s.whom(now)
	for id, p := range s.neighbours.all() {
		p.look()
		switch silent := now.Mono - p.from; {
		case p.missed >= 2 && silent+TickEvery/2 >= SilentMost:
			silent = silent.Round(100 * time.Millisecond)
			s.out.cut(id, fmt.Sprintf("nothing has come from it for %v", silent))
			s.counts.Stuck++
		case p.missed > 0 || s.standing.awaits(p) || p.recall > s.state.vector.Get(p.origin).Covered ||
			slices.Contains(whom, id):
			p.ask(now.Mono, s.rounds.last)
			s.pingWith(now, id, 0, recent)
		}
	}
	s.rounds.end(now, quiet)
}

// whom lists the neighbours that a round pings, beside those that were asked and are silent, or that keep
// this node from being complete: some are drawn, and as many may be those with which something is the
// matter.
func (s *pinger) whom(now delta.Instant) []uint64 {
	open := func(p *neighbour) bool {
		return p.offer != 0 || p.diverged || p.listAll || !p.known || p.owes() ||
			p.hint.due(now.Mono, s.state.vector)
	}
	return slices.Concat(s.subset.draw(s.neighbours.ids), s.subset.some(s.neighbours, open))
}
