package replica

import (
	"fmt"
	"sync"

	"github.com/iwanbk/bcache/internal/delta"
)

// Provisional values in the simulation. There is a database, in which each key has been changed so many
// times. Every write is issued after such a change, and every fill reads how many there have been. What
// must hold, whatever clocks and the network do: once a node has processed a write, it serves nothing
// that was read before the change that the write followed.

// A simFill is a fill under way. Those who come while it runs join it, unless a write forgets it.
type simFill struct {
	n     *simNode
	key   string
	f     *Fill
	begun int64
	tags  map[string]int // changes of tags that it has seen
	read  int            // changes of the key that it has seen
	known []int          // what the node knew when each of those came who wait for it
}

// A simRead names what a fill brought: a value, or the deadline of a negative.
type simRead struct {
	key, val string
	deadline int64
	tags     delta.Tags
}

// A simSeen is what is known of it.
type simSeen struct {
	changes int            // that the fill had seen
	tags    map[string]int // the same of each tag
	rec     delta.Record
}

func readOf(rec *delta.Record) simRead {
	if rec.Kind == delta.KindValue {
		return simRead{key: rec.Key, val: rec.Val}
	}
	return simRead{key: rec.Key, deadline: rec.Deadline, tags: rec.Tags}
}

// simKeys returns keys of which each two share a bucket.
var simKeys = sync.OnceValue(func() (keys []string) {
	for k := 0; len(keys) < 32; k += 2 {
		key := fmt.Sprintf("k%02d", k)
		keys = append(keys, key)
		for i := 0; ; i++ {
			if other := fmt.Sprintf("k%02d.%d", k+1, i); delta.BucketOf(other) == delta.BucketOf(key) {
				keys = append(keys, other)
				break
			}
		}
	}
	return keys
})

// change changes a key in the database; "" is all keys.
func (s *sim) change(key string) {
	for _, k := range s.oracle.keys {
		if key == "" || k == key {
			s.oracle.changes[k] = append(s.oracle.changes[k], s.t)
		}
	}
}

// seen is how many changes of a key the database, or its replica that lags, shows now.
func (s *sim) seen(key string) int {
	at := s.oracle.changes[key]
	n := len(at)
	for s.c.lag > 0 && n > 0 && at[n-1] > s.t-s.c.lag {
		n--
	}
	return n
}

// follows lists the changes that a write that is issued now follows, by key.
func (s *sim) follows(key string) map[string]int {
	f := map[string]int{}
	for k, at := range s.oracle.changes {
		if s.about(key, k) {
			f[k] = len(at)
		}
	}
	return f
}

// knows notes that a node has processed a write.
func (s *sim) knows(n *simNode, w *simWrite) {
	for key, changes := range w.follows {
		n.oracle.known[key] = max(n.oracle.known[key], changes)
	}
}

// fill begins a fill that takes so long, or joins one, and has end called when it has read the database.
// It reports whether it began one.
func (s *sim) fill(n *simNode, key string, took int64, end func(x *simFill)) bool {
	s.watch(n)
	known := max(n.oracle.known[key], s.promisedChanges(n, key))
	if x := n.flights[key]; x != nil {
		x.known = append(x.known, known)
		return false
	}
	x := &simFill{n: n, key: key, begun: s.t, known: []int{known}}
	n.flights[key] = x
	x.f = n.r.Fills.Begin(s.now(n), s.settle(), key)[0]
	s.logf("n%d begins a fill of %s @%x", n.id, key, x.f.stamp)
	s.after(s.rng.Int64N(took+1), func() { x.read, x.tags = s.seen(key), s.seenTags() })
	var ends func()
	ends = func() {
		switch {
		case !s.alive(n):
		case s.t < n.stuck:
			s.after(n.stuck-s.t, ends)
		default:
			end(x)
			if n.flights[key] == x {
				delete(n.flights, key)
			}
			s.checkNode(n)
		}
	}
	s.after(took, ends)
	return true
}

// endFill has what a fill brought cached, and checks what those get who wait for it.
func (s *sim) endFill(x *simFill, rec *delta.Record) (outcome FillOutcome) {
	n := x.n
	was, scope := n.r.Fills.counts.ProvisionalKept, s.scope()
	if rec.Kind != delta.KindTombstone {
		rec.Tags = s.tags()
	}
	if old, ok := s.oracle.reads[readOf(rec)]; !ok || old.changes < x.read {
		s.oracle.reads[readOf(rec)] = simSeen{x.read, x.tags, *rec}
	}
	s.commit(n, x.key, simWrite{fill: true, filled: rec, at: x.begun - s.c.lag}, func() {
		outcome = n.r.Fills.End(s.now(n), x.f, rec, scope)
	})
	if outcome == FillKept { // an isolated node has cut its times
		s.oracle.reads[readOf(rec)] = simSeen{x.read, x.tags, *rec}
	}
	if scope == FillHere {
		s.checkScope(n, rec, outcome)
	}
	s.logf("n%d's fill of %s, of change %d, ends: %d", n.id, x.key, x.read, outcome)
	if n.r.Fills.counts.ProvisionalKept > was {
		s.n.kept++
	}
	for _, known := range x.known {
		if x.read < known && s.c.lag == 0 {
			s.fail("n%d: a fill of %s has read change %d; somebody who knew of %d waited for it",
				n.id, x.key, x.read, known)
		}
	}
	return outcome
}

// forget is what a node does when it is told that a key was touched.
func (n *simNode) forget(key string, kind delta.Kind) {
	if kind == delta.KindClear {
		n.forgetBy(delta.Selector(key))
	} else {
		delete(n.flights, key)
	}
}

// servable returns what the store may serve of a key: a live record, a provisional value, a stale
// record.
func servable(n *simNode, key string, wall int64) (rec delta.Record, ok bool) {
	st := n.r.Store
	rec, ok = n.peek(key)
	ok = ok && rec.Kind != delta.KindTombstone && !rec.Ended(wall)
	if ok && !rec.Expired(wall) {
		return rec, true
	}
	if p, has := st.Fills.Peek(key); has && !p.Ended(wall) {
		return p, true
	}
	return rec, ok
}

// checkProvisional verifies that what a node may serve of a key without a version was read after every
// change that it knows of.
func (s *sim) checkProvisional(n *simNode, key string) {
	p, ok := n.r.Store.Fills.Peek(key)
	if !ok || p.Ended(s.now(n).Wall) {
		return
	}
	s.checkHome(n, &p)
	seen, known := s.oracle.reads[readOf(&p)]
	switch brought := seen.rec; {
	case !known || p.Version != (delta.Version{}) || p.Deadline != brought.Deadline ||
		p.StaleUntil != brought.StaleUntil || p.RefreshFrom != brought.RefreshFrom || p.Tags != brought.Tags:
		s.fail("n%d holds %+v provisionally, a fill has brought %+v", n.id, p, brought)
	case seen.changes < n.oracle.known[key]:
		s.fail("PROVISIONAL: n%d serves %s as of change %d, and has processed a write that followed change %d",
			n.id, key, seen.changes, n.oracle.known[key])
	default:
		s.checkTags(n, &p, seen.tags)
	}
}

// checkFillsEnded verifies that no fill is left.
func (s *sim) checkFillsEnded() {
	for _, n := range s.nodes {
		if n.r.Store.Fills.Len() > 0 {
			s.fail("n%d is left with fills", n.id)
		}
	}
}
