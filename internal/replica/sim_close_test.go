package replica

import (
	"math/rand/v2"
	"time"
)

// In the seeds with restarts nodes close in order, too: they hand over what they have, for two
// seconds at most. Who has said that it has all of that must have it.

const (
	simCloseFor   = 2 * time.Second
	simHandOvers  = int(simCloseFor / AskEvery)
	simCloseTimes = 6
)

// drawCloses draws when nodes close. It leaves the other draws of the seed as they are.
func (s *sim) drawCloses(seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 19))
	if !s.c.restarts {
		return
	}
	for range 1 + rng.IntN(simCloseTimes) {
		id := rng.IntN(s.c.nodes)
		s.after(rng.Int64N(s.c.span), func() { s.close(s.nodes[id]) })
	}
}

// close closes a node, and begins another life of it when that is done.
func (s *sim) close(n *simNode) {
	if n == nil || n.closing || s.t < n.stuck {
		return
	}
	s.logf("n%d closes", n.id)
	n.closing = true
	n.r.Close()
	s.handOver(n, n.r.Ask(s.now(n)), simHandOvers)
}

// handOver has a node hand over so many times, or until it waits for nobody.
func (s *sim) handOver(n *simNode, q *Question, times int) {
	switch {
	case !s.alive(n):
		return
	case s.t < n.stuck:
	case times == 0:
		s.n.unheard++
		s.closed(n, q)
		return
	case len(q.HandOver(s.now(n))) == 0:
		s.n.closes++
		s.checkHandedOver(n, q)
		s.closed(n, q)
		return
	}
	s.after(simAskEvery, func() { s.handOver(n, q, max(times-1, 0)) })
}

func (s *sim) closed(n *simNode, q *Question) {
	q.End()
	s.logf("n%d is closed", n.id)
	s.replace(n)
}

// checkHandedOver checks that those have all that a node had who have said so, and that one has.
func (s *sim) checkHandedOver(n *simNode, q *Question) {
	whole, stay := false, false
	for id, p := range n.r.neighbours.all() {
		stay = stay || p.synced && !p.leaving
		if !p.whole || p.leaving {
			continue
		}
		whole = true
		to := s.nodes[id]
		v := to.r.state.vector
		if to.r.state.Origin != p.origin || v.Horizon.Stamp > 0 || s.c.glitches > 0 {
			continue // it has died since, or may have dropped some of it
		}
		for i := range q.had {
			e := &q.had[i]
			if v.LacksOf(e) {
				s.fail("n%d has all of n%d, as it has said, and lacks some of %x: %v of %v", to.id, n.id, e.Origin, v.Get(e.Origin), e.Set)
			}
		}
	}
	if !whole && stay && len(q.had) > 0 {
		s.fail("n%d closes, and nobody has all that it has", n.id)
	}
}
