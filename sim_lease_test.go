package bcache

import (
	"errors"
	"slices"
)

// Leases in the simulation.

// A simAsk is a load that waits for its lease.
type simAsk struct {
	n     *simNode
	key   string
	a     *leaseAsk
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
	holder leaseHolder
	conn   int // between the two
}

// ask begins a load that wants a lease.
func (s *sim) ask(n *simNode, key string, v verdict) {
	x := &simAsk{n: n, key: key, begun: s.t}
	x.a = n.r.askLease(s.now(n), key, v != verdictFill, s.c.lease, func() { s.pollIn(x, 0) })
	s.checkLeases(n)
	s.pollIn(x, 0)
	if s.rng.IntN(10) == 0 { // nobody waits any more
		s.after(s.rng.Int64N(2000), func() {
			if !x.over && s.alive(n) && s.t >= n.stuck {
				s.endAsk(x, leaseOutcome{late: s.rng.IntN(2) == 0})
			}
		})
	}
}

// endAsk ends it, and says what became of it.
func (s *sim) endAsk(x *simAsk, o leaseOutcome) {
	x.over = true
	if o.end == tryUncached && s.rng.IntN(2) == 0 {
		o.end = tryOffered
	}
	if o.late {
		s.oracle.late[x.key] = s.mono()
	}
	x.n.r.endLease(s.now(x.n), x.a, o)
	s.oracle.ended[x.a.id()] = true
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
	turn, wait := n.r.turnOf(s.now(n), x.a)
	s.checkLeases(n)
	if waited := s.t - x.begun; waited > s.c.lease.Milliseconds() && !x.late {
		s.fail("n%d has waited for the lease of %s for %d ms", n.id, x.key, waited)
	}
	switch turn {
	case leaseGranted, leaseAlone:
		x.over = true
		s.logf("n%d fills %s, turn %d, after %d ms", n.id, x.key, turn, s.t-x.begun)
		if turn == leaseAlone {
			s.n.alone++
			s.oracle.ended[x.a.id()] = true
		}
		if v := s.look(n, x.key); v == verdictServe || v == verdictMissing {
			held, _ := n.r.store.peek(x.key)
			s.endAsk(x, leaseOutcome{end: tryFilled, stamp: held.stamp, deadline: held.deadline})
			return
		}
		s.beginFill(n, x.key, func(o leaseOutcome) { s.endAsk(x, o) })
		return
	case leaseFailed:
		s.endAsk(x, leaseOutcome{})
		return
	}
	if v := s.look(n, x.key); v == verdictServe || v == verdictMissing { // it has come
		s.endAsk(x, leaseOutcome{})
		return
	}
	if s.rng.IntN(8) == 0 { // what is offered can't be accepted, whenever that comes
		n.r.asks.offerRefused(s.now(n), x.key)
		s.checkLeases(n)
	}
	s.pollIn(x, max(wait.Milliseconds(), 1))
}

// checkLeases verifies that a node grants no lease that somebody has, unless that one is suspected to
// hang; and that who waits, waits for somebody.
func (s *sim) checkLeases(n *simNode) {
	if leases, _ := n.r.leases.len(); leases == 0 {
		return
	}
	if err := n.r.leases.check(); err != nil {
		s.fail("n%d: %v", n.id, err)
	}
	for _, key := range s.oracle.keys {
		if h, ok := n.r.leases.holder(key); ok {
			s.checkGrant(n, key, h)
		}
	}
}

// checkGrant looks at the last grant of a lease.
func (s *sim) checkGrant(n *simNode, key string, h leaseHolder) {
	k := simGrantKey{n.r.origin, key}
	before := s.oracle.grants[k]
	if slices.ContainsFunc(before, func(g simGrant) bool { return g.holder.leaseAsker == h.leaseAsker }) {
		return
	}
	conn := func(peer uint64) int { return s.up[n.id][peer] } // 0 with itself
	before = slices.DeleteFunc(before, func(g simGrant) bool {
		return s.mono() >= g.holder.until || s.oracle.ended[g.holder.id] || conn(g.holder.peer) != g.conn
	})
	for _, g := range before {
		if g.holder.peer != h.peer && s.oracle.late[key] < g.holder.since+leaseReach {
			s.fail("n%d grants the lease of %s to n%d while n%d has it", n.id, key, h.peer, g.holder.peer)
		}
	}
	s.n.leases++
	s.oracle.grants[k] = append(before, simGrant{h, conn(h.peer)})
	s.logf("n%d grants the lease of %s to n%d until %v", n.id, key, h.peer, h.until)
}

// returned notes that a node has given a lease back that it doesn't need, as meanwhile it has asked, and been
// granted it by, somebody else.
func (s *sim) returned(from, to *simNode, frame []byte) {
	m, err := decodeLease(frame)
	if err != nil || m.op != opDeclined {
		return
	}
	if asked, ok := from.r.asks.askedOf(m.id); !ok || int(asked) == to.id {
		return
	}
	k := simGrantKey{to.r.origin, m.key}
	s.oracle.grants[k] = slices.DeleteFunc(s.oracle.grants[k], func(g simGrant) bool {
		return g.holder.leaseAsker == leaseAsker{uint64(from.id), m.id}
	})
}

// checkLeasesEnded verifies that nothing is left when all loads have ended.
func (s *sim) checkLeasesEnded() {
	for _, n := range s.nodes {
		if n == nil {
			continue
		}
		leases, waiting := n.r.leases.len()
		if asks := n.r.asks.len(); leases+waiting+asks+len(n.filling) > 0 {
			s.fail("n%d is left with %d leases, %d asks, %d fills", n.id, leases, asks, len(n.filling))
		}
		if err := errors.Join(n.r.leases.check(), n.r.asks.check()); err != nil {
			s.fail("n%d: %v", n.id, err)
		}
	}
}
