package bcache

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
)

// What becomes of a load: it waits for its turn, calls the Fill, and caches what that brought.

// loadCounters count what Loaders do.
type loadCounters struct {
	stale, notFound, refreshes, failures, undecodable atomic.Uint64
}

// work does a load that was begun for one key.
func (l *Loader) work(ld *load) {
	l.cache.loads.end(ld, l.fill(ld))
}

func (l *Loader) fill(ld *load) Result {
	if l.cfg.ClusterWide {
		if res, answered := l.admit(ld); answered {
			return res
		}
		defer l.endLease(ld)
	} else if err := l.enter(ld.run); err != nil {
		return Result{Err: err}
	}
	defer l.exit()
	if res, ok := l.found(ld); ok {
		return res
	}
	stamp := l.begin(ld.run, 1)
	ctx, cancel := ld.run.fillContext(l.cfg.FillTimeout)
	defer cancel()
	v, err := contain(func() (Loaded, error) { return l.call(ctx, ld.key[len(l.cfg.Prefix):]) })
	return l.settle(ld, stamp, v, err)
}

// call asks for one key.
func (l *Loader) call(ctx context.Context, key string) (Loaded, error) {
	if l.cfg.Fill != nil {
		return l.cfg.Fill(ctx, key)
	}
	values, err := l.cfg.FillMany(ctx, []string{key})
	return pick(values, err, key)
}

// enter waits for a slot, as long as somebody waits. If nobody does it takes one that is free, or
// gives up: a later hit will try again.
func (l *Loader) enter(r *run) error {
	if l.slots == nil {
		return nil
	}
	select {
	case l.slots <- struct{}{}:
		return nil
	default:
	}
	if r.background {
		r.close()
	}
	select {
	case l.slots <- struct{}{}:
		return nil
	case <-r.ctx.Done():
		return r.err()
	}
}

func (l *Loader) exit() {
	if l.slots != nil {
		<-l.slots
	}
}

// found looks into the cache again: somebody may have filled it since the caller looked.
func (l *Loader) found(ld *load) (res Result, ok bool) {
	rec, v := l.look(ld.key)
	switch {
	case ld.bad != nil && rec.val == *ld.bad && v != verdictMissing:
		return Result{}, false
	case v == verdictServe, v == verdictRefresh && !ld.run.background:
		res = Result{Value: rec.val}
	case v == verdictMissing:
		res = Result{Err: ErrNotFound}
	default:
		return Result{}, false
	}
	ld.filled(&rec)
	l.failures.end(ld.key)
	return res, true
}

// filled notes for the other nodes what the key has now.
func (ld *load) filled(rec *record) {
	ld.outcome = leaseMsg{op: opFilled, stamp: rec.stamp, wall: rec.deadline}
}

// begin returns the stamp of a fill of n keys that begins now, see Bcache.fill.
func (l *Loader) begin(r *run, n int) uint64 {
	l.cache.fills.Add(uint64(n))
	if r.background {
		l.cache.n.refreshes.Add(uint64(n))
	}
	return l.cache.peer.replica.fillStamp(l.cache.peer.instant())
}

// settle makes of what a fill brought what those who wait get.
func (l *Loader) settle(ld *load, stamp uint64, v Loaded, err error) Result {
	switch {
	case err == nil:
		return l.bring(ld, stamp, v)
	case errors.Is(err, ErrNotFound):
		return l.miss(ld, stamp, err)
	case ld.run.ctx.Err() != nil: // nobody waits; that isn't the database's fault
		return Result{Err: err}
	}
	l.cache.fillErrors.Add(1)
	ld.outcome = leaseMsg{op: opFailed, term: toMs(l.cfg.RetryAfter)}
	return l.failed(ld, err)
}

// bring caches a value, unless something newer is known.
func (l *Loader) bring(ld *load, stamp uint64, v Loaded) Result {
	b := l.cache
	now := b.peer.now()
	rec, cache := l.policy.value(now, ld.key, v, rand.Float64())
	ld.outcome = leaseMsg{op: opUncached}
	switch {
	case !cache:
	case b.tooLarge(ld.key, v.Value):
		b.fillsTooLarge.Add(1)
	case b.peer.replica.fillRecord(b.peer.instantOf(now), &rec, stamp):
		ld.filled(&rec)
		l.failures.end(ld.key)
		return Result{Value: v.Value}
	default:
		b.fillsRefused.Add(1)
		if newer, ok := b.held(ld.key); ok && (ld.bad == nil || newer != *ld.bad) {
			return Result{Value: newer}
		}
	}
	l.unchanged(ld)
	return Result{Value: v.Value}
}

// miss caches that there is no value.
func (l *Loader) miss(ld *load, stamp uint64, err error) Result {
	b := l.cache
	ld.outcome = leaseMsg{op: opUncached}
	l.failures.end(ld.key)
	if old, held := b.store.peek(ld.key); l.cfg.NegativeTTL == 0 && !(held && old.kind == kindValue) || b.tooLarge(ld.key, "") {
		return Result{Err: err}
	}
	now := b.peer.now()
	rec := l.policy.missing(now, ld.key, rand.Float64())
	if b.peer.replica.fillRecord(b.peer.instantOf(now), &rec, stamp) {
		if rec.kind == kindNegative {
			ld.filled(&rec)
		}
		return Result{Err: err}
	}
	b.fillsRefused.Add(1)
	l.unchanged(ld)
	if newer, ok := b.held(ld.key); ok {
		return Result{Value: newer}
	}
	return Result{Err: err}
}

// failed falls back on an old value, if there is one that may be served.
func (l *Loader) failed(ld *load, err error) Result {
	l.rest(ld.key, err)
	rec, v := l.look(ld.key)
	switch v {
	case verdictMissing, verdictFill:
		return Result{Err: err}
	}
	l.cache.n.failures.Add(1)
	key := ld.key[len(l.cfg.Prefix):]
	l.cache.peer.log.Errorf(0, "a fill of %q failed, the old value is served: %v", ld.key, err)
	if l.cfg.OnStale != nil {
		_, failure := contain(func() (struct{}, error) { l.cfg.OnStale(key, err); return struct{}{}, nil })
		if failure != nil {
			l.cache.peer.log.Errorf(0, "OnStale: %v", failure)
		}
	}
	if v == verdictServe || v == verdictRefresh {
		return Result{Value: rec.val}
	}
	return Result{Value: rec.val, Stale: true, Err: err}
}

// rest leaves a key alone for RetryAfter.
func (l *Loader) rest(key string, err error) {
	now := l.cache.peer.instant().mono
	l.failures.add(now, key, err, l.cfg.RetryAfter)
}

// unchanged is for a fill that hasn't failed, but what is held is as before: in the background it
// mustn't begin again at once.
func (l *Loader) unchanged(ld *load) {
	if ld.run.background {
		l.rest(ld.key, nil)
	} else {
		l.failures.end(ld.key)
	}
}
