package bcache

import (
	"cmp"
	"time"
)

// Loads in the simulation: what a Loader does, driven in virtual time. Even seeds have them, so
// that the odd ones stay what they were.

// loadPolicy draws what all nodes' Loaders do.
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
	s.c.policy = loadPolicy{
		ttl: cmp.Or(some(), time.Second), negativeTTL: some(), jitter: float64(s.rng.IntN(3)) / 4,
		staleForMs: some().Milliseconds(), onErrorMs: some().Milliseconds(),
		refreshAhead: float64(s.rng.IntN(4)) / 4,
	}
}

// load is a Get of a Loader.
func (s *sim) load() {
	n := s.nodes[s.rng.IntN(len(s.nodes))]
	key := s.oracle.keys[s.rng.IntN(s.c.keys)]
	if n == nil || s.t < n.stuck {
		return
	}
	s.fresh(n, key)
	switch v := s.look(n, key); v {
	case verdictServe, verdictMissing:
	case verdictFill, verdictFallback, verdictRefresh, verdictStale:
		if !n.filling[key] {
			n.filling[key] = true
			s.logf("n%d loads %s (verdict %d)", n.id, key, v)
			if s.c.lease > 0 {
				s.ask(n, key, v)
			} else {
				s.beginFill(n, key, func(leaseOutcome) { delete(n.filling, key) })
			}
		}
	}
}

// fresh is what a Loader looks at first. It must be no more than what get would serve.
func (s *sim) fresh(n *simNode, key string) {
	now := s.now(n)
	held, ok := n.r.store.peek(key)
	val, hit := n.r.store.fresh(key, func() int64 { return now.wall })
	if !hit {
		return
	}
	live := ok && held.kind == kindValue && !held.expired(now.wall)
	if p, has := n.r.store.fills.peek(key); has && !live {
		held, ok = p, true
	}
	if !ok || held.kind != kindValue || val != held.val || held.expired(now.wall) || held.refreshFrom != 0 && now.wall >= held.refreshFrom {
		s.fail("n%d: %q of %s is said to be fresh, and held is %+v", n.id, val, key, held)
	}
}

// look judges what is held, and checks what that means to a user.
func (s *sim) look(n *simNode, key string) verdict {
	wall := s.now(n).wall
	there, ok := servable(n.r.store, key, wall)
	held, served := n.r.store.entry(key, wall)
	if there.mark = 0; served != ok || served && held != there {
		s.fail("n%d: %+v (%v) of %s may be served, and held is %+v", n.id, held, served, key, there)
	}
	v := s.c.policy.judge(&held, served, wall)
	if v == verdictFill {
		return v
	}
	w := s.oracle.writes[rigWrite{key, held.version}].rec // as it was written
	if held.provisional {
		w = held // see checkProvisional
		held.version = n.oracle.shown[key]
	}
	switch {
	case held.version.less(n.oracle.shown[key]):
		s.fail("n%d serves %s at %v after %v", n.id, key, held.version, n.oracle.shown[key])
	case v == verdictMissing:
		if w.kind != kindNegative || w.expired(wall) {
			s.fail("n%d says that %s is known to be missing, and written was %+v", n.id, key, w)
		}
		s.n.negatives++
	case w.kind != kindValue || held.val != w.val || w.ended(wall):
		s.fail("n%d may serve %+v at %d, and written was %+v", n.id, held, wall, w)
	case (v == verdictStale || v == verdictFallback) != w.expired(wall):
		s.fail("n%d: verdict %d about %+v at %d", n.id, v, w, wall)
	case v == verdictStale:
		s.n.stale++
	case v == verdictRefresh:
		s.n.refreshes++
	}
	n.oracle.shown[key] = held.version
	return v
}

// beginFill is a fill, and what becomes of it.
func (s *sim) beginFill(n *simNode, key string, ended func(leaseOutcome)) {
	took := 1 + s.rng.Int64N(400)
	if s.rng.IntN(20) == 0 {
		took *= 20 // longer than any lease
	}
	begun := s.fill(n, key, took, func(f *simFill) {
		var outcome leaseOutcome
		defer func() { ended(outcome) }()
		now := time.UnixMilli(s.now(n).wall)
		var rec record
		switch x := s.rng.IntN(10); {
		case x < 2:
			s.logf("n%d's fill of %s fails", n.id, key)
			outcome = leaseOutcome{end: tryFailed, retry: ms(uint64(s.rng.IntN(1000)))}
			n.r.dropFill(f.f)
			return
		case x < 4:
			rec = s.c.policy.missing(now, key, s.rng.Float64())
		default:
			rec, _ = s.c.policy.value(now, key, s.value(), 0, s.rng.Float64())
		}
		outcome = leaseOutcome{end: tryUncached}
		if s.endFill(f, &rec) == fillWritten {
			outcome = leaseOutcome{end: tryFilled, stamp: rec.stamp, deadline: rec.deadline}
		}
	})
	if !begun { // it has joined one
		ended(leaseOutcome{})
	}
}
