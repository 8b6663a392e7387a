package replica

import (
	"math/rand/v2"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
)

// Every third seed of the simulation has nodes that ask whether the others have what they wrote: those
// that they are connected with, and those that are reached through others. Who is said to have confirmed
// must have it, and in the end all must confirm.

const (
	simAsks     = 60                    // times that a question is asked
	simAskEvery = int64(AskEvery / 1e6) // ms
	simAnswered = int64(10_000)         // ms within which all confirm once all agree
)

// drawConfirms draws when nodes ask. It leaves the other draws of the seed as they are.
func (s *sim) drawConfirms(seed uint64) {
	if seed%3 != 2 {
		return
	}
	rng := rand.New(rand.NewPCG(seed, 15))
	for range 20 {
		id := rng.IntN(s.c.nodes)
		s.after(rng.Int64N(s.c.span), func() {
			if n := s.nodes[id]; n != nil {
				s.confirm(n, n.r.Ask(s.now(n)), simAsks, func() {})
			}
		})
	}
	s.confirms = true
}

// confirm asks a question so many times, or until all have confirmed: then it calls confirmed.
func (s *sim) confirm(n *simNode, q *Question, times int, confirmed func()) {
	switch {
	case !s.alive(n):
		return
	case times == 0:
		q.End()
		return
	case s.t >= n.stuck:
		missing := 0
		for _, to := range s.nodes {
			if to == n || to == nil {
				continue
			}
			origin := uint64(0)
			if s.up[n.id][to.id] != 0 {
				origin = to.r.state.Origin
			}
			v := q.Of(s.now(n), uint64(to.id), origin, time.Unix(int64(to.life), 0))
			if s.checkConfirmed(n, to, v.UpTo); !v.All {
				missing++
			} else {
				s.n.confirmed++
			}
		}
		if missing == 0 {
			q.End()
			confirmed()
			return
		}
	}
	s.after(simAskEvery, func() { s.confirm(n, q, times-1, confirmed) })
}

// checkConfirmed checks that a node has what another one wrote, as it has said.
func (s *sim) checkConfirmed(n, by *simNode, upTo uint64) {
	if upTo > n.r.state.seq {
		s.fail("n%d has confirmed %d writes of n%d, which has written %d", by.id, upTo, n.id, n.r.state.seq)
	}
	st := by.r.Store
	for seq := uint64(1); seq <= upTo; seq++ {
		w, known := s.oracle.dots[rigDot{n.r.state.Origin, seq}]
		if !known || w.rec.Kind == delta.KindClear && w.rec.Key != "" {
			continue // it was skipped, or is of some keys only
		}
		held, ok := st.Peek(w.rec.Key)
		if ok && !held.Version.Less(w.rec.Version) || st.Clears.All().Stamp >= w.rec.Stamp ||
			w.rec.Kind != delta.KindClear && st.FloorOf(delta.BucketOf(w.rec.Key)) >= w.rec.Stamp {
			continue
		}
		s.fail("n%d has confirmed dot %d of n%d, of %s at %v, and holds %v", by.id, seq, n.id, w.rec.Key, w.rec.Version, held.Version)
		return
	}
}

// checkAllConfirm checks that all confirm, once they agree, and that nothing is left of the questions.
func (s *sim) checkAllConfirm() {
	if !s.confirms || s.failure != "" {
		return
	}
	waiting := 0
	for _, n := range s.nodes {
		waiting++
		s.confirm(n, n.r.Ask(s.now(n)), int(simAnswered/simAskEvery), func() { waiting-- })
	}
	if s.until(s.t + simAnswered + simAskEvery); waiting > 0 {
		s.fail("%d nodes ask in vain, though all agree", waiting)
	}
	for _, n := range s.nodes {
		if c := &n.r.pinger.confirms; c.questions != 0 || c.beyond != nil {
			s.fail("n%d: %d questions are open, and %d nodes remembered", n.id, c.questions, len(c.beyond))
		}
	}
}
