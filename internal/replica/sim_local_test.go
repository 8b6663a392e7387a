package replica

import (
	"math/rand/v2"

	"github.com/iwanbk/bcache/internal/delta"
)

// Local values in the simulation: in some seeds a part of all fills, or all of them, brings something
// for its own node only. They are provisional values, so the same must hold of them, and no other node
// may ever have one. It is drawn apart from all else, so that the seeds without it stay what they were.

// drawLocal draws how many fills of ten are for their nodes only.
func (s *sim) drawLocal(seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 2))
	switch rng.IntN(6) {
	case 0:
		s.c.local = 1 + rng.IntN(9)
	case 1:
		s.c.local = 10
		s.c.policy.Local = true
	}
}

// scope draws for whom a fill brings what it brings.
func (s *sim) scope() FillScope {
	if s.c.local > 0 && s.rng.IntN(10) < s.c.local {
		return FillHere
	}
	return FillForAll
}

// checkScope verifies what has become of what a fill of a node brought for that one only.
func (s *sim) checkScope(n *simNode, rec *delta.Record, outcome FillOutcome) {
	switch outcome {
	case FillWritten, FillOffered:
		s.fail("n%d has told others of %+v, which was for itself: %d", n.id, rec, outcome)
	case FillKept:
		s.n.local++
		s.oracle.homes[rec.Val] = n
		if held, ok := servable(n, rec.Key, s.now(n).Wall); ok && rec.Kind == delta.KindTombstone {
			s.fail("n%d: a fill has found nothing of %s, and held is %+v", n.id, rec.Key, held)
		}
	}
}

// checkHome verifies that a provisional value is at home where it is, and alone.
func (s *sim) checkHome(n *simNode, p *delta.Record) {
	if home := s.oracle.homes[p.Val]; home != nil && home != n && p.Kind == delta.KindValue {
		s.fail("n%d has %+v, which is for n%d only", n.id, *p, home.id)
	}
	if held, ok := n.peek(p.Key); ok && held.Kind != delta.KindTombstone {
		s.fail("n%d holds %+v, and without a version %+v", n.id, held, *p)
	}
}
