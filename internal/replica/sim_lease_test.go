package replica

import (
	"slices"

	"github.com/iwanbk/bcache/internal/fill"
	"github.com/iwanbk/bcache/internal/lease"
	"github.com/iwanbk/bcache/internal/wire"
)

// Leases in the simulation.

// A simAsk is a load that waits for its lease.
type simAsk struct {
	n     *simNode
	key   string
	a     *lease.Ask
	begun int64
	timer int  // only the last one counts
	late  bool // its node was stuck meanwhile
	over  bool
}

type simGrantKey struct {
	origin uint64 // of who granted it
	key    string
}

type simGrant struct {
	holder lease.Holder
	conn   int // between the two
}

// ask begins a load that wants a lease.
func (s *sim) ask(n *simNode, key string, v fill.Verdict) {
	x := &simAsk{n: n, key: key, begun: s.t}
	x.a = n.r.AskLease(s.now(n), key, v != fill.VerdictFill, s.c.lease, func() { s.pollIn(x, 0) })
	s.checkLeases(n)
	s.pollIn(x, 0)
	if s.rng.IntN(10) == 0 { // nobody waits any more
		s.after(s.rng.Int64N(2000), func() {
			if !x.over && s.alive(n) && s.t >= n.stuck {
				s.endAsk(x, lease.Outcome{Late: s.rng.IntN(2) == 0})
			}
		})
	}
}

// endAsk ends it, and says what became of it.
func (s *sim) endAsk(x *simAsk, o lease.Outcome) {
	x.over = true
	if o.End == lease.TryUncached && s.rng.IntN(2) == 0 {
		o.End = lease.TryOffered
	}
	if o.Late {
		s.oracle.late[x.key] = s.mono()
	}
	x.n.r.EndLease(s.now(x.n), x.a, o)
	s.oracle.ended[x.a.Id()] = true
	delete(x.n.filling, x.key)
	s.checkLeases(x.n)
}

func (s *sim) pollIn(x *simAsk, d int64) {
	x.timer++
	timer := x.timer
	s.after(d, func() {
		if timer == x.timer && !x.over && s.alive(x.n) {
			s.poll(x)
		}
	})
}

// poll is what a load does when it is woken, or its timer comes.
func (s *sim) poll(x *simAsk) {
	n := x.n
	if s.t < n.stuck {
		x.late = true
		s.pollIn(x, n.stuck-s.t)
		return
	}
	turn, wait := n.r.TurnOf(s.now(n), x.a)
	s.checkLeases(n)
	if waited := s.t - x.begun; waited > s.c.lease.Milliseconds() && !x.late {
		s.fail("n%d has waited for the lease of %s for %d ms", n.id, x.key, waited)
	}
	switch turn {
	case lease.Granted, lease.Alone:
		x.over = true
		s.logf("n%d fills %s, turn %d, after %d ms", n.id, x.key, turn, s.t-x.begun)
		if turn == lease.Alone {
			s.n.alone++
			s.oracle.ended[x.a.Id()] = true
		}
		if v := s.look(n, x.key); v == fill.VerdictServe || v == fill.VerdictMissing {
			held, _ := n.r.Store.Peek(x.key)
			s.endAsk(x, lease.Outcome{End: lease.TryFilled, Stamp: held.Stamp, Deadline: held.Deadline})
			return
		}
		s.beginFill(n, x.key, func(o lease.Outcome) { s.endAsk(x, o) })
		return
	case lease.Failed:
		s.endAsk(x, lease.Outcome{})
		return
	}
	if v := s.look(n, x.key); v == fill.VerdictServe || v == fill.VerdictMissing { // it has come
		s.endAsk(x, lease.Outcome{})
		return
	}
	if s.rng.IntN(8) == 0 { // what is offered can't be accepted, whenever that comes
		n.r.asks.OfferRefused(s.now(n), x.key)
		s.checkLeases(n)
	}
	s.pollIn(x, max(wait.Milliseconds(), 1))
}

// checkLeases verifies that a node grants no lease that somebody has, unless that one is suspected to
// hang; and that who waits, waits for somebody.
func (s *sim) checkLeases(n *simNode) {
	if leases, _ := n.r.leases.Len(); leases == 0 {
		return
	}
	if err := lease.Check(n.r.leases, n.r.asks); err != nil {
		s.fail("n%d: %v", n.id, err)
	}
	for _, key := range s.oracle.keys {
		if h, ok := n.r.leases.Holder(key); ok {
			s.checkGrant(n, key, h)
		}
	}
}

// checkGrant looks at the last grant of a lease.
func (s *sim) checkGrant(n *simNode, key string, h lease.Holder) {
	k := simGrantKey{n.r.Origin, key}
	before := s.oracle.grants[k]
	if slices.ContainsFunc(before, func(g simGrant) bool { return g.holder.Asker == h.Asker }) {
		return
	}
	conn := func(peer uint64) int { return s.up[n.id][peer] } // 0 with itself
	before = slices.DeleteFunc(before, func(g simGrant) bool {
		return s.mono() >= g.holder.Until || s.oracle.ended[g.holder.Id] || conn(g.holder.Peer) != g.conn
	})
	for _, g := range before {
		if g.holder.Peer != h.Peer && s.oracle.late[key] < g.holder.Since+lease.Reach {
			s.fail("n%d grants the lease of %s to n%d while n%d has it", n.id, key, h.Peer, g.holder.Peer)
		}
	}
	s.n.leases++
	s.oracle.grants[k] = append(before, simGrant{h, conn(h.Peer)})
	s.logf("n%d grants the lease of %s to n%d until %v", n.id, key, h.Peer, h.Until)
}

// returned notes that a node has given a lease back that it doesn't need, as meanwhile it has asked, and been
// granted it by, somebody else.
func (s *sim) returned(from, to *simNode, frame []byte) {
	m, err := wire.DecodeLease(frame)
	if err != nil || m.Op != wire.OpDeclined {
		return
	}
	if asked, ok := from.r.asks.AskedOf(m.Id); !ok || int(asked) == to.id {
		return
	}
	k := simGrantKey{to.r.Origin, m.Key}
	s.oracle.grants[k] = slices.DeleteFunc(s.oracle.grants[k], func(g simGrant) bool {
		return g.holder.Asker == lease.Asker{Peer: uint64(from.id), Id: m.Id}
	})
}

// checkLeasesEnded verifies that nothing is left when all loads have ended.
func (s *sim) checkLeasesEnded() {
	for _, n := range s.nodes {
		if n == nil {
			continue
		}
		leases, waiting := n.r.leases.Len()
		if asks := n.r.asks.Len(); leases+waiting+asks+len(n.filling) > 0 {
			s.fail("n%d is left with %d leases, %d asks, %d fills", n.id, leases, asks, len(n.filling))
		}
		if err := lease.Check(n.r.leases, n.r.asks); err != nil {
			s.fail("n%d: %v", n.id, err)
		}
	}
}
