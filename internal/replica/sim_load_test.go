package replica

import (
	"cmp"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/fill"
	"github.com/iwanbk/bcache/internal/lease"
	"github.com/iwanbk/bcache/internal/store"
)

// Loads in the simulation: what a Loader does, driven in virtual time. Even seeds have them, so
// that the odd ones stay what they were.

// Policy draws what all nodes' Loaders do.
func (s *sim) drawLoads(seed uint64) {
	if seed%4 == 0 {
		return
	}
	some := func() time.Duration {
		if s.rng.IntN(3) == 0 {
			return 0
		}
		return time.Duration(1+s.rng.IntN(4000)) * time.Millisecond
	}
	s.c.loads = 500
	if s.rng.IntN(2) == 0 {
		s.c.lease = time.Duration(500+s.rng.IntN(2500)) * time.Millisecond
	}
	s.c.policy = fill.Policy{
		Ttl: cmp.Or(some(), time.Second), NegativeTTL: some(), Jitter: float64(s.rng.IntN(3)) / 4,
		StaleForMs: some().Milliseconds(), OnErrorMs: some().Milliseconds(),
		RefreshAhead: float64(s.rng.IntN(4)) / 4,
	}
}

// load is a Get of a Loader.
func (s *sim) load() {
	n := s.nodes[s.rng.IntN(len(s.nodes))]
	key := s.oracle.keys[s.rng.IntN(s.c.keys)]
	if n == nil || s.t < n.stuck || n.closing {
		return
	}
	s.fresh(n, key)
	switch v := s.look(n, key); v {
	case fill.VerdictServe, fill.VerdictMissing:
	case fill.VerdictFill, fill.VerdictFallback, fill.VerdictRefresh, fill.VerdictStale:
		if !n.filling[key] {
			n.filling[key] = true
			s.logf("n%d loads %s (verdict %d)", n.id, key, v)
			if s.c.lease > 0 {
				s.ask(n, key, v)
			} else {
				s.beginFill(n, key, func(lease.Outcome) { delete(n.filling, key) })
			}
		}
	}
}

// simOwner shares what it decodes, as a Typed does: each value is decoded to itself.
var simOwner store.Owner

// fresh is what a Loader looks at first. It must be no more than what get would serve, and what is shared
// with it must be its own.
func (s *sim) fresh(n *simNode, key string) {
	s.watch(n)
	now := s.now(n)
	held, ok := n.peek(key)
	e := n.r.Store.Fresh(key, func() int64 { return now.Wall })
	if e == nil {
		return
	}
	val := e.Val
	if x, ok := e.Shared(&simOwner); ok && x != any(val) {
		s.fail("n%d: with %q of %s %q is shared", n.id, val, key, x)
	} else if sharer := &n.r.Store.Sharer; !ok && sharer.Wants(e, int64(len(val))) {
		with := &store.Sharing{Owner: &simOwner, Decoded: val, Size: int64(len(val))}
		if x, ok := sharer.Keep(e, with); !ok || x != any(val) {
			s.fail("n%d: with %q of %s %q can't be shared: %v", n.id, val, key, x, ok)
		}
	}
	live := ok && held.Kind == delta.KindValue && !held.Expired(now.Wall)
	if p, has := n.r.Store.Fills.Peek(key); has && !live {
		held, ok = p, true
	}
	if !ok || held.Kind != delta.KindValue || val != held.Val || held.Expired(now.Wall) || held.RefreshFrom != 0 && now.Wall >= held.RefreshFrom {
		s.fail("n%d: %q of %s is said to be fresh, and held is %+v", n.id, val, key, held)
	}
}

// look judges what is held, and checks what that means to a user.
func (s *sim) look(n *simNode, key string) fill.Verdict {
	s.watch(n)
	wall := s.now(n).Wall
	there, ok := servable(n, key, wall)
	held, served := n.r.Store.Entry(key, wall)
	if there.Mark = 0; served != ok || served && held != there {
		s.fail("n%d: %+v (%v) of %s may be served, and held is %+v", n.id, held, served, key, there)
	}
	v := s.c.policy.Judge(&held, served, wall)
	if v == fill.VerdictFill {
		return v
	}
	w := s.oracle.writes[rigWrite{key, held.Version}].rec // as it was written
	if held.Provisional {
		w = held // see checkProvisional
		held.Version = n.oracle.shown[key]
	}
	switch {
	case held.Version.Less(n.oracle.shown[key]):
		s.fail("n%d serves %s at %v after %v", n.id, key, held.Version, n.oracle.shown[key])
	case v == fill.VerdictMissing:
		if w.Kind != delta.KindNegative || w.Expired(wall) {
			s.fail("n%d says that %s is known to be missing, and written was %+v", n.id, key, w)
		}
		s.n.negatives++
	case w.Kind != delta.KindValue || held.Val != w.Val || w.Ended(wall):
		s.fail("n%d may serve %+v at %d, and written was %+v", n.id, held, wall, w)
	case (v == fill.VerdictStale || v == fill.VerdictFallback) != w.Expired(wall):
		s.fail("n%d: verdict %d about %+v at %d", n.id, v, w, wall)
	case v == fill.VerdictStale:
		s.n.stale++
	case v == fill.VerdictRefresh:
		s.n.refreshes++
	}
	n.oracle.shown[key] = held.Version
	s.checkAnswer(n, &held)
	return v
}

// beginFill is a fill, and what becomes of it.
func (s *sim) beginFill(n *simNode, key string, ended func(lease.Outcome)) {
	took := 1 + s.rng.Int64N(400)
	if s.rng.IntN(20) == 0 {
		took *= 20 // longer than any lease
	}
	begun := s.fill(n, key, took, func(f *simFill) {
		var outcome lease.Outcome
		defer func() { ended(outcome) }()
		now := time.UnixMilli(s.now(n).Wall)
		var rec delta.Record
		switch x := s.rng.IntN(10); {
		case x < 2:
			s.logf("n%d's fill of %s fails", n.id, key)
			outcome = lease.Outcome{End: lease.TryFailed, Retry: delta.Ms(uint64(s.rng.IntN(1000)))}
			n.r.Fills.Drop(f.f)
			return
		case x < 4:
			rec = s.c.policy.Missing(now, key, s.rng.Float64())
		default:
			rec, _ = s.c.policy.Value(now, key, s.value(), 0, s.rng.Float64())
		}
		outcome = lease.Outcome{End: lease.TryUncached}
		if s.endFill(f, &rec) == FillWritten {
			outcome = lease.Outcome{End: lease.TryFilled, Stamp: rec.Stamp, Deadline: rec.Deadline}
		}
	})
	if !begun { // it has joined one
		ended(lease.Outcome{})
	}
}
