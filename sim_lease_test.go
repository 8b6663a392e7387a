package bcache

import "time"

// Leases in the simulation.

// A simAsk is a load that waits for its lease.
type simAsk struct {
	n     *simNode
	key   string
	a     *leaseAsk
	begun int64
	timer int // only the last one counts
	over  bool
}

type simGrantKey struct {
	origin uint64 // of who granted it
	key    string
}

type simGrant struct {
	holder leaseTurn
	until  time.Duration
	conn   int // between the two
}

const simHang = 40_000 // ms: four others, each of which is stuck with its lease

// ask begins a load that wants a lease.
func (s *sim) ask(n *simNode, key string, v verdict) {
	held, _ := n.r.store.peek(key)
	x := &simAsk{n: n, key: key, begun: s.t}
	x.a = n.r.askLease(s.now(n), key, held.version, v != verdictFill, s.c.lease, func() { s.pollIn(x, 0) })
	s.checkLeases(n)
	s.pollIn(x, 0)
	if s.rng.IntN(10) == 0 { // nobody waits any more
		s.after(s.rng.Int64N(2000), func() {
			if !x.over && s.alive(n) && s.t >= n.stuck {
				s.endAsk(x, leaseMsg{op: opDeclined})
			}
		})
	}
}

// endAsk ends it, and says what became of it.
func (s *sim) endAsk(x *simAsk, m leaseMsg) {
	x.over = true
	x.n.r.endLease(s.now(x.n), x.a, m)
	s.oracle.ended[x.a.want.id] = true
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
		s.pollIn(x, n.stuck-s.t)
		return
	}
	turn, wait := n.r.turnOf(s.now(n), x.a)
	s.checkLeases(n)
	switch turn {
	case turnGranted, turnAlone:
		x.over = true
		s.logf("n%d fills %s, turn %d, after %d ms", n.id, x.key, turn, s.t-x.begun)
		if turn == turnAlone {
			s.n.alone++
			s.oracle.ended[x.a.want.id] = true
		}
		if v := s.look(n, x.key); v == verdictServe || v == verdictMissing {
			held, _ := n.r.store.peek(x.key)
			s.endAsk(x, leaseMsg{op: opFilled, stamp: held.stamp, wall: held.deadline})
			return
		}
		s.beginFill(n, x.key, func(m leaseMsg) { s.endAsk(x, m) })
		return
	case turnFailed:
		s.endAsk(x, leaseMsg{op: opDeclined})
		return
	}
	if v := s.look(n, x.key); v == verdictServe || v == verdictMissing { // it has come
		s.endAsk(x, leaseMsg{op: opDeclined})
		return
	}
	if s.t-x.begun > simHang {
		s.fail("n%d has waited for the lease of %s for %d ms", n.id, x.key, s.t-x.begun)
	}
	s.pollIn(x, max(wait.Milliseconds(), 1))
}

// checkLeases verifies that a node grants no lease that somebody has.
func (s *sim) checkLeases(n *simNode) {
	if len(n.r.leases) == 0 {
		return
	}
	for _, key := range s.oracle.keys {
		l := n.r.leases[key]
		if l == nil || l.holder.id == 0 {
			continue
		}
		k := simGrantKey{n.r.origin, key}
		before, known := s.oracle.grants[k]
		if known && before.holder.id == l.holder.id {
			continue
		}
		conn := func(peer uint64) int { return s.up[n.id][peer] } // 0 with itself
		if known && before.holder.peer != l.holder.peer && s.mono() < before.until && !s.oracle.ended[before.holder.id] &&
			conn(before.holder.peer) == before.conn {
			s.fail("n%d grants the lease of %s to n%d while n%d has it", n.id, key, l.holder.peer, before.holder.peer)
		}
		s.n.leases++
		s.oracle.grants[k] = simGrant{l.holder, l.until, conn(l.holder.peer)}
		s.logf("n%d grants the lease of %s to n%d until %v", n.id, key, l.holder.peer, l.until)
		if len(l.queue) >= s.c.nodes {
			s.fail("n%d: %d nodes wait for the lease of %s", n.id, len(l.queue), key)
		}
	}
}

// checkLeasesEnded verifies that nothing is left when all loads have ended.
func (s *sim) checkLeasesEnded() {
	for _, n := range s.nodes {
		if n != nil && (len(n.r.leases) > 0 || len(n.r.asks) > 0 || len(n.filling) > 0) {
			s.fail("n%d is left with %d leases, %d asks, %d fills", n.id, len(n.r.leases), len(n.r.asks), len(n.filling))
		}
	}
}
