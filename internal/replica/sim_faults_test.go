package replica

import (
	"math/rand/v2"

	"github.com/iwanbk/bcache/internal/wire"
)

// The simulation's clock, as a queue of events, and the faults that happen in it.

type simEvent struct {
	at    int64
	order uint64
	run   func()
}

type simQueue []simEvent

func (q simQueue) Len() int { return len(q) }
func (q simQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}
func (q simQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *simQueue) Push(x any)   { *q = append(*q, x.(simEvent)) }
func (q *simQueue) Pop() any {
	old := *q
	e := old[len(old)-1]
	*q = old[:len(old)-1]
	return e
}

// plan draws when the faults happen.
func (s *sim) plan() {
	some := func(n int, wanted bool, fault func()) {
		for range n {
			if wanted {
				s.after(s.rng.Int64N(s.c.span), fault)
			}
		}
	}
	for i := s.c.nodes - s.c.late; i < s.c.nodes; i++ {
		s.after(s.rng.Int64N(s.c.span), func() { s.start(i) })
	}
	some(3, s.c.partitions, s.partition)
	some(6, s.c.breaks, s.breakOne)
	some(3, s.c.restarts, s.restart)
	some(8, s.c.restarts && s.c.origins < 10, s.restart)
	some(2, s.c.stuck, s.stick)
	some(1, s.c.jumps, s.jump)
	some(s.c.suspends, true, s.suspend)
	some(s.c.glitches, true, s.glitch)
	some(s.c.lives, true, s.depart)
}

// calm ends all faults.
func (s *sim) calm() {
	s.logf("CALM")
	s.lossy = false
	clear(s.cut)
	for i, n := range s.nodes {
		if n == nil {
			n = s.start(i)
		}
		s.rouse(n)
		s.setClock(n, 0)
	}
}

// rouse ends what holds up a node. Its monotonic clock goes on now if its machine was suspended.
func (s *sim) rouse(n *simNode) {
	n.stuck = 0
	if left := n.suspended - s.t; left > 0 {
		n.suspended, n.asleep = s.t, n.asleep-left
	}
}

// dial connects, now and then, who can be connected.
func (s *sim) dial() {
	for i, a := range s.nodes {
		for j := range i {
			b := s.nodes[j]
			if a == nil || b == nil || s.up[i][j] != 0 || s.t < a.stuck || s.t < b.stuck ||
				s.cut[[2]int{i, j}] > 0 || s.cut[[2]int{j, i}] > 0 || s.c.loss > 0 && s.rng.IntN(2) == 0 {
				continue
			}
			if d := s.now(a).Wall - s.now(b).Wall; d > simSkew || d < -simSkew {
				continue // refused
			}
			s.conns++
			s.up[i][j], s.up[j][i] = s.conns, s.conns
			s.logf("n%d and n%d are connected", i, j)
			if s.unequal != nil {
				s.meet(a, b)
				continue
			}
			s.joined(a, b)
			s.joined(b, a)
		}
	}
	s.after(200+s.rng.Int64N(400), s.dial)
}

// drawUnequal has the two ends of a connection, in every fifth seed, notice it at different times. It
// leaves the other draws of the seed as they are.
func (s *sim) drawUnequal(seed uint64) {
	if seed%5 == 4 {
		s.unequal = rand.New(rand.NewPCG(seed, 16))
	}
}

// drawFanout has the rounds, in two of five seeds, ping fewer neighbours than there are: one to three. It
// leaves the other draws of the seed as they are.
func (s *sim) drawFanout(seed uint64) {
	if rng := rand.New(rand.NewPCG(seed, 17)); rng.IntN(5) < 2 {
		s.c.fanout = 1 + rng.IntN(3)
	}
}

// drawUpToOnly has offers, in half of the seeds, name no dots: what they say of origins is needed then. In
// so small a cluster the last dots are nearly always enough. It leaves the other draws of the seed as they
// are.
func (s *sim) drawUpToOnly(seed uint64) {
	s.c.upToOnly = rand.New(rand.NewPCG(seed, 18)).IntN(2) == 0
}

// withoutDots is a frame as it is to be sent.
func (s *sim) withoutDots(frame []byte) []byte {
	o, err := wire.DecodeOffer(frame)
	if !s.c.upToOnly || err != nil {
		return frame
	}
	o.Dots, o.Clears = nil, nil
	return wire.AppendOffer(nil, &o)
}

// meet has one of two nodes notice at once that they are connected, and the other one later.
func (s *sim) meet(a, b *simNode) {
	if s.unequal.IntN(2) == 0 {
		a, b = b, a
	}
	conn := s.up[a.id][b.id]
	s.joined(a, b)
	s.after(s.unequal.Int64N(400), func() {
		if s.alive(b) && s.up[b.id][a.id] == conn {
			s.joined(b, a)
		}
	})
}

// joined has a node notice that it is connected with another one, which may have asked for a full sync
// already, maybe when they were last connected.
func (s *sim) joined(n, peer *simNode) {
	n.r.Joined(s.now(n), uint64(peer.id), peer.r.state.Origin)
	if out := n.r.server.sessions[uint64(peer.id)]; out != nil {
		s.serves(out.session, n.r.standing.ready.synced)
	}
}

// disconnect ends a connection. The other side notices too, unless it is stuck.
func (s *sim) disconnect(i, j int) {
	if s.up[i][j] == 0 {
		return
	}
	s.up[i][j], s.up[j][i] = 0, 0
	s.logf("n%d and n%d are disconnected", i, j)
	for _, p := range [][2]int{{i, j}, {j, i}} {
		if n := s.nodes[p[0]]; n != nil {
			n.r.Left(s.now(n), uint64(p[1]))
			s.checkLeases(n)
		}
	}
}

// partition cuts two groups of nodes off from each other, or loses everything one way.
func (s *sim) partition() {
	side := make([]bool, s.c.nodes)
	for i := range side {
		side[i] = s.rng.IntN(2) == 0
	}
	if s.rng.IntN(2) == 0 { // one node
		clear(side)
		side[s.rng.IntN(s.c.nodes)] = true
	}
	s.logf("PARTITION %v", side)
	breaks := s.rng.IntN(2) == 0 // at once, or when somebody notices
	each := func(by int) {
		for i := range side {
			for j := range side {
				if side[i] && !side[j] {
					s.cut[[2]int{i, j}] += by
					if !s.c.oneWay {
						s.cut[[2]int{j, i}] += by
					}
					if by > 0 && breaks {
						s.disconnect(i, j)
					}
				}
			}
		}
	}
	each(+1)
	s.after(s.rng.Int64N(12_000), func() {
		if s.lossy {
			s.logf("HEALED %v", side)
			each(-1)
		}
	})
}

// breakOne breaks a connection.
func (s *sim) breakOne() { s.disconnect(s.rng.IntN(s.c.nodes), s.rng.IntN(s.c.nodes)) }

// restart replaces a node by a new life of it, which knows nothing.
func (s *sim) restart() {
	old := s.nodes[s.rng.IntN(s.c.nodes)]
	if old == nil {
		return
	}
	s.n.restarts++
	s.logf("n%d dies", old.id)
	s.replace(old)
}

// replace begins another life of a node.
func (s *sim) replace(old *simNode) {
	for j := range s.nodes {
		s.disconnect(old.id, j)
	}
	s.died(old)
	s.count(old)
	s.start(old.id)
}

// stick stops a node for a while. What is sent to it waits.
func (s *sim) stick() {
	if n := s.nodes[s.rng.IntN(s.c.nodes)]; n != nil {
		n.stuck = s.t + s.rng.Int64N(15_000)
		s.logf("n%d is stuck until %d", n.id, n.stuck)
	}
}

// jump sets a clock wrong by minutes, and right again later.
func (s *sim) jump() {
	n := s.nodes[s.rng.IntN(s.c.nodes)]
	if n == nil || s.t < n.suspended {
		return
	}
	s.setClock(n, s.rng.Int64N(600_000)-300_000)
	s.oracle.jumped = true
	s.logf("n%d's clock jumps by %d ms", n.id, n.jump)
	s.after(s.rng.Int64N(8000), func() { s.setRight(n) })
}

// setRight sets a clock right, once its machine isn't suspended.
func (s *sim) setRight(n *simNode) {
	if s.t < n.suspended {
		s.after(n.suspended-s.t, func() { s.setRight(n) })
		return
	}
	s.setClock(n, 0)
}

// setClock sets the clock of a machine that isn't suspended, with a look before and after: one that is set
// back by as much as the machine slept, before anybody looks, shows nothing.
func (s *sim) setClock(n *simNode, jump int64) {
	s.watch(n)
	n.oracle.maxWall = max(n.oracle.maxWall, s.now(n).Wall)
	n.jump = jump
	s.watch(n)
}
