package replica

import (
	"math/rand/v2"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/wire"
)

// Bad weather in the simulation: clocks that are wrong by hours, for seconds, on nodes that write
// meanwhile; and many lives that came, wrote something and went. It is drawn apart from all else, so
// that the seeds without it stay what they were.

// drawWeather draws whether there is some.
func (s *sim) drawWeather(seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	if rng.IntN(5) == 0 {
		s.c.glitches = 1 + rng.IntN(4)
		s.c.slow = 3_600_000 * (1 + rng.Int64N(5))
	}
	if rng.IntN(6) == 0 {
		s.c.lives = 10 + rng.IntN(51)
	}
	if s.c.glitches+s.c.lives > 0 {
		s.c.stepWork = 1 + rng.IntN(100)
	}
}

// between is what others do when a replica gives up its lock in the middle of something.
func (s *sim) between(n *simNode) {
	if s.lossy && s.rng.IntN(8) == 0 {
		now, key, val := s.now(n), s.oracle.keys[s.rng.IntN(s.c.keys)], s.value()
		s.change(key)
		s.commit(n, key, simWrite{at: s.t}, func() { s.set(n, now, key, val, 0) })
	}
}

// glitch sets a clock wrong by hours, and right again within seconds. Most are ahead. The node goes on,
// and some of what it does then is done for certain.
func (s *sim) glitch() {
	n := s.nodes[s.rng.IntN(s.c.nodes)]
	if n == nil || s.t < n.suspended {
		return
	}
	jump := s.rng.Int64N(s.c.slow)
	if s.rng.IntN(4) == 0 {
		jump = -jump
	}
	s.setClock(n, jump)
	s.oracle.jumped = true
	s.logf("n%d's clock is wrong by %d s", n.id, jump/1000)
	for range 1 + s.rng.IntN(3) {
		s.after(s.rng.Int64N(2000), func() {
			if s.alive(n) && s.t >= n.stuck {
				s.someWrite(n)
			}
		})
	}
	s.after(500+s.rng.Int64N(4000), func() { s.setRight(n) })
}

// someWrite is a Set, Delete or Clear.
func (s *sim) someWrite(n *simNode) {
	now, key := s.now(n), s.oracle.keys[s.rng.IntN(s.c.keys)]
	switch s.rng.IntN(4) {
	case 0:
		by := delta.Selector("")
		if s.c.selective > 0 {
			by = simSelectors[s.clears.IntN(len(simSelectors))]
		}
		s.clearBy(n, by, now)
	case 1:
		s.change(key)
		s.commit(n, key, simWrite{at: s.t}, func() { _ = n.r.Delete(now, key) })
	default:
		s.change(key)
		val := s.value()
		s.commit(n, key, simWrite{at: s.t}, func() { s.set(n, now, key, val, 0) })
	}
}

// depart is the life of a node that writes once or twice and is gone before anybody is connected to it.
// What it wrote reaches some of the others, relayed.
func (s *sim) depart() {
	ghost := s.newNode(s.rng.IntN(s.c.nodes), s.c.nodes)
	s.n.lives++
	send := func(frame []byte) {
		first := s.rng.IntN(s.c.nodes)
		for i := range 1 + s.rng.IntN(s.c.nodes) {
			to := s.nodes[(first+i)%s.c.nodes]
			if to == nil || to.id == ghost.id {
				continue
			}
			s.after(s.rng.Int64N(s.c.delay), func() {
				if s.alive(to) && s.t >= to.stuck {
					s.receive(ghost, to, frame)
				}
			})
		}
	}
	for range 1 + s.rng.IntN(2) {
		key := s.oracle.keys[s.rng.IntN(s.c.keys)]
		now, val := s.now(ghost), s.value()
		s.change(key)
		s.commit(ghost, key, simWrite{at: s.t}, func() { s.set(ghost, now, key, val, 0) })
		dot := rigDot{ghost.r.state.Origin, ghost.r.state.seq}
		send(wire.AppendDelta(nil, dot.origin, dot.seq, []delta.Record{s.oracle.dots[dot].rec}))
	}
	s.ghostClear(ghost, send)
	s.died(ghost)
}

// A simAhead is a write from the future that a node has seen.
type simAhead struct {
	simWrite
	limit uint64 // what was issued before it, and isn't from the future when it is seen, has no later stamp
}

// ahead notes a write that is from the future to a node, and reports whether it has seen it before.
func (s *sim) ahead(n *simNode, w *simWrite, now delta.Instant) (before bool) {
	for _, a := range n.oracle.ahead {
		if a.rec.Version == w.rec.Version && a.rec.Key == w.rec.Key {
			return true
		}
	}
	n.oracle.ahead = append(n.oracle.ahead, simAhead{*w, n.r.state.latest(now)})
	return false
}

// checkAhead verifies that what a node serves of a key wasn't issued before a write that it has seen,
// though it couldn't apply that.
func (s *sim) checkAhead(n *simNode, key string, held delta.Version) {
	w, known := s.oracle.writes[rigWrite{key, held}]
	if !known {
		return
	}
	for _, a := range n.oracle.ahead {
		if (a.rec.Key == key || a.rec.Kind == delta.KindClear) && w.at < a.at &&
			held.Less(a.rec.Version) && held.Stamp <= a.limit {
			s.fail("n%d serves %s at %v, issued at %d, and has seen %q at %v, issued at %d",
				n.id, key, held, w.at, a.rec.Key, a.rec.Version, a.at)
		}
	}
}

// checkStamps verifies that nothing that a node has taken over is from the future, by the latest that
// its clock has shown.
func (s *sim) checkStamps(n *simNode, wall int64) {
	if s.c.glitches == 0 {
		return
	}
	latest := n.r.state.latest(delta.Instant{Wall: wall})
	if n.r.state.vector.Horizon.Stamp > latest {
		s.fail("n%d's horizon is %d s ahead", n.id, (delta.StampWall(n.r.state.vector.Horizon.Stamp)-wall)/1000)
	}
	for o, set := range n.r.state.vector.Origins {
		if set.Newest > latest && o != n.r.state.Origin {
			s.fail("n%d: the newest stamp of %x is %d s ahead", n.id, o, (delta.StampWall(set.Newest)-wall)/1000)
		}
	}
}

// ready goes on until all nodes are synced, and what is said of clocks is right again: a glitch is over
// when it is over.
func (s *sim) ready() {
	unready := func() string {
		for _, n := range s.nodes {
			if !n.r.standing.ready.synced {
				return n.r.Unsynced(s.now(n))
			}
		}
		return ""
	}
	for end := s.t + simReady; s.failure == ""; s.until(s.t + 500) {
		why := unready()
		if why == "" {
			break
		}
		if s.t > end {
			s.fail("%d s after the faults ended a node isn't ready: %s", simReady/1000, why)
		}
	}
	for _, n := range s.nodes {
		s.checkStamps(n, s.now(n).Wall)
	}
}

// clearWeather checks what bad weather leaves behind: those who are there become ready, and then
// whoever joins. Then time passes, so that nothing is from the future any more.
func (s *sim) clearWeather() {
	if s.c.glitches == 0 {
		return
	}
	s.until(s.t + 2000) // a tick
	s.ready()
	for range 2 {
		s.restart()
		s.until(s.t + 1000)
		s.ready()
	}
	s.slept += s.c.slow
}
