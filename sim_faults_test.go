package bcache

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

func (s *sim) partition() {
	a, b := s.rng.IntN(s.c.nodes), s.rng.IntN(s.c.nodes)
	s.logf("n%d and n%d are cut off from each other", a, b)
	s.cut[[2]int{a, b}] = true
	if !s.c.oneWay {
		s.cut[[2]int{b, a}] = true
	}
	s.after(s.rng.Int64N(5000), func() {
		delete(s.cut, [2]int{a, b})
		delete(s.cut, [2]int{b, a})
	})
}

// restart replaces a node by a new life of it, which knows nothing.
func (s *sim) restart() {
	old := s.nodes[s.rng.IntN(s.c.nodes)]
	n := s.newNode(old.id, old.life+1)
	s.nodes[old.id] = n
	s.n.restarts++
	s.logf("n%d restarts as %x", n.id, n.r.origin)
	for _, o := range s.nodes {
		if o != n {
			o.r.left(uint64(n.id))
			o.r.joined(uint64(n.id), n.r.origin)
			n.r.joined(uint64(o.id), o.r.origin)
		}
	}
}

// jump sets a clock wrong by minutes, and right again later.
func (s *sim) jump() {
	n := s.nodes[s.rng.IntN(s.c.nodes)]
	n.jump = s.rng.Int64N(600_000) - 300_000
	s.honest = false
	s.logf("n%d's clock jumps by %d ms", n.id, n.jump)
	s.after(s.rng.Int64N(3000), func() { n.jump = 0 })
}
