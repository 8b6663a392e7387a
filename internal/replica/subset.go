package replica

import (
	"math/rand/v2"
	"slices"
)

// Fanout is how many neighbours a round pings, beside those that have to be. Of each it hears what it
// lacks itself, so what one node has gets round in a number of rounds that grows with the logarithm of
// that of the nodes, see "Rounds of a few" in docs/design.md.
const Fanout = 8

// A subset draws the neighbours that a round pings: another few each time, and each neighbour once
// before anyone is drawn again. It isn't locked.
type subset struct {
	most int // of a round; if there are no more neighbours, all are drawn
	rng  *rand.Rand
	pass []uint64 // those that haven't been drawn yet, the next one last
}

func newSubset(most int, origin uint64) subset {
	return subset{most: most, rng: rand.New(rand.NewPCG(origin, 0))}
}

// enoughFor returns a subset of how many neighbours lets this node hear from so many of them in each
// round, though some don't answer in time.
func enoughFor(peers int) int { return peers + max(peers/2, 2) }

// draw returns those of a round. ids are the neighbours, ascending; it may return them as they are.
func (s *subset) draw(ids []uint64) (drawn []uint64) {
	if len(ids) <= s.most {
		s.pass = nil
		return ids
	}
	for len(drawn) < s.most {
		if len(s.pass) == 0 {
			s.shuffle(ids, drawn)
		}
		last := len(s.pass) - 1
		id := s.pass[last]
		s.pass = s.pass[:last]
		if _, there := slices.BinarySearch(ids, id); there {
			drawn = append(drawn, id)
		}
	}
	return drawn
}

// shuffle begins a pass. Those that this round has drawn already come last in it.
func (s *subset) shuffle(ids, drawn []uint64) {
	s.pass = append(s.pass, ids...)
	s.rng.Shuffle(len(s.pass), func(i, j int) { s.pass[i], s.pass[j] = s.pass[j], s.pass[i] })
	next := 0
	for i, id := range s.pass {
		if slices.Contains(drawn, id) {
			s.pass[i], s.pass[next] = s.pass[next], s.pass[i]
			next++
		}
	}
}

// some returns no more of the neighbours that are as wanted than a round draws. Which of them, is left
// to chance.
func (s *subset) some(n *neighbours, want func(*neighbour) bool) (ids []uint64) {
	if len(n.ids) <= s.most {
		for _, id := range n.ids {
			if want(n.byID[id]) {
				ids = append(ids, id)
			}
		}
		return ids
	}
	start := s.rng.IntN(len(n.ids))
	for i := 0; i < len(n.ids) && len(ids) < s.most; i++ {
		id := n.ids[(start+i)%len(n.ids)]
		if want(n.byID[id]) {
			ids = append(ids, id)
		}
	}
	return ids
}
