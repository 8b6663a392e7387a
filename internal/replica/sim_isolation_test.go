package replica

import (
	"math/rand/v2"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
)

// Isolation in the simulation: in a third of the seeds nodes hide what they hold when they haven't heard
// from enough others, and machines are suspended. What must hold: of N lives, once N-1-MinPeers others have
// processed a write, and the bound has passed, no such node serves what was there before. It is drawn
// apart from all else, so that the other seeds stay what they were.

// A simLife is when a node was there.
type simLife struct {
	n        *simNode
	from, to int64 // to is 0 while it lives
}

// drawIsolation draws whether nodes hide what they hold.
func (s *sim) drawIsolation(seed uint64) {
	if seed%3 != 1 {
		return
	}
	rng := rand.New(rand.NewPCG(seed, 2))
	s.c.isolated = 1500 + rng.Int64N(4500)
	s.c.minPeers = 1 + rng.IntN(3)
	s.c.seeded = false // with MinPeers a node waits for others
	for range s.c.nodes {
		s.c.hiders = append(s.c.hiders, rng.IntN(4) > 0)
	}
	if s.c.lease == 0 && rng.IntN(2) == 0 {
		s.c.suspends = 1 + rng.IntN(4)
	}
}

// hiding sets what a node is told of isolation.
func (s *sim) hiding(id int, c *Config) {
	if s.c.isolated > 0 && s.c.hiders[id] {
		c.Isolated, c.MinPeers = time.Duration(s.c.isolated)*time.Millisecond, s.c.minPeers
	}
}

// watch is what a node's shell does all the time.
func (s *sim) watch(n *simNode) {
	iso := n.r.Isolation()
	if iso == nil || s.t < n.stuck {
		return
	}
	was := iso.Is()
	iso.Watch(s.now(n))
	if is := iso.Is(); is != was {
		s.logf("n%d is isolated: %v", n.id, is)
	}
	iso.TakeNotices()
}

// suspend stops a node's machine for a while, and its monotonic clock with it.
func (s *sim) suspend() {
	n := s.nodes[s.rng.IntN(s.c.nodes)]
	if n == nil || s.t < n.stuck {
		return
	}
	n.stuck = s.t + s.rng.Int64N(12_000)
	n.suspended, n.asleep = n.stuck, n.asleep+n.stuck-s.t
	s.logf("n%d is suspended until %d", n.id, n.stuck)
}

// peek is what is held of a key and may be served.
func (n *simNode) peek(key string) (delta.Record, bool) {
	if n.r.Isolation().Is() {
		return delta.Record{}, false
	}
	return n.r.Store.Peek(key)
}

// promised reports whether a node must not serve any more what was there before a write: of the others
// that it may have heard from, too few hadn't processed the write a bound ago.
func (s *sim) promised(n *simNode, w *simWrite) bool {
	if n.r.Isolation() == nil {
		return false
	}
	since, unaware := s.t-s.c.isolated, 0
	processed := s.oracle.processed[w.dot]
	if w.issued > since {
		return false
	}
	for _, l := range s.oracle.lives {
		if l.n == n || l.to != 0 && l.to <= since {
			continue
		}
		if at, ok := processed[l.n]; !ok || at > since {
			unaware++
		}
	}
	return unaware < s.c.minPeers
}

// promisedChanges is the last change of a key that what a node serves must show.
func (s *sim) promisedChanges(n *simNode, key string) (changes int) {
	if n.r.Isolation() == nil {
		return 0
	}
	for _, of := range [...]string{key, ""} {
		for i := range s.oracle.history[of] {
			if w := &s.oracle.history[of][i]; w.follows[key] > changes && s.promised(n, w) {
				changes = w.follows[key]
			}
		}
	}
	return changes
}

// checkPromise verifies that a node may serve this version of a key, or if it has none what has shown so
// many changes.
func (s *sim) checkPromise(n *simNode, key string, held delta.Version, changes int) {
	if n.r.Isolation() == nil || s.failure != "" {
		return
	}
	for _, of := range [...]string{key, ""} {
		for i := range s.oracle.history[of] {
			w := &s.oracle.history[of][i]
			older := held.Less(w.rec.Version)
			if held == (delta.Version{}) {
				older = changes < w.follows[key]
			}
			if older && s.promised(n, w) {
				s.fail("ISOLATION: n%d serves %s at %v, of change %d, and others have processed %v (of change %d) %d ms ago: %v",
					n.id, key, held, changes, w.rec.Version, w.follows[key], s.c.isolated, s.oracle.processed[w.dot])
			}
		}
	}
}

// checkServed is checkPromise for all values that a node serves now.
func (s *sim) checkServed(n *simNode) {
	if n.r.Isolation() == nil || s.t < n.stuck {
		return
	}
	s.watch(n)
	st := n.r.Store
	for i := range st.Shards() {
		for _, e := range st.Live(i, s.now(n).Wall) {
			if held, ok := st.Peek(e.Key); ok && held.Version == e.Version && held.Val == e.Val {
				s.checkPromise(n, e.Key, e.Version, 0)
			} else {
				s.checkPromise(n, e.Key, delta.Version{}, s.oracle.reads[simRead{key: e.Key, val: e.Val}].changes)
			}
		}
	}
}

// checkAnswer is checkPromise for what a Loader, or a Get, is given.
func (s *sim) checkAnswer(n *simNode, held *delta.Record) {
	if held.Provisional {
		s.checkPromise(n, held.Key, delta.Version{}, s.oracle.reads[readOf(held)].changes)
		return
	}
	s.checkPromise(n, held.Key, held.Version, 0)
}
