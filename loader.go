package bcache

import (
	"context"
	"fmt"
	"unsafe"
)

// A Loader is a cache that fills itself, and protects the database behind it: it says in one place how
// the values of some keys are looked up, for how long they live, and what happens when they
// don't live any more. NewLoader makes one. All methods are safe for concurrent use.
//
// At a time one fill per key runs on this node; callers that come meanwhile wait for its
// result, each as long as its own context allows. A fill never beats a Set, Delete or Clear that was
// issued after it began, on any node, as with GetWithFiller; neither does one in the background.
// A caller that comes after such a write never gets what a fill brought that this node began before it.
// A fill during which the key is written is returned but not cached.
type Loader struct {
	cache    *Bcache
	cfg      LoaderConfig
	policy   loadPolicy
	slots    chan struct{} // a token for each fill that runs; nil is no limit
	failures failures
}

// NewLoader returns a Loader for a cache. The error wraps ErrConfig, and says everything that is
// wrong. There is nothing to close: fills in the background end with Close of the cache.
func NewLoader(cache *Bcache, cfg LoaderConfig) (*Loader, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cache == nil {
		return nil, fmt.Errorf("%w: loader: the cache is nil", ErrConfig)
	}
	l := &Loader{cache: cache, cfg: cfg.withDefaults(), policy: newLoadPolicy(&cfg)}
	if cfg.MaxConcurrent > 0 {
		l.slots = make(chan struct{}, cfg.MaxConcurrent)
	}
	return l, nil
}

// Get returns the value of key: the cached one or, if there is none that may be served, what
// the Fill returns, which is then cached on all nodes.
//
// The error is that of ctx if it ends first, and then Get returns at once; ErrNotFound, as it came
// or remembered; ErrFillPanicked or ErrFillAborted; otherwise the Fill's own, unchanged,
// maybe remembered, see RetryAfter. For a value that is cached ctx isn't looked at. After Close of the
// cache the Fill is still called, and its value returned.
//
// A hit allocates nothing; with a Prefix, as long as the key has no more than 128 bytes with it.
func (l *Loader) Get(ctx context.Context, key string) (string, error) {
	if val, ok := l.fresh(key); ok {
		return val, nil
	}
	r := l.get(ctx, key)
	if r.Stale {
		return r.Value, nil
	}
	return r.Value, r.Err
}

// A Result is what GetResult returns.
type Result struct {
	Value string

	// Stale means that the deadline of Value has passed: it is returned because StaleFor or
	// StaleOnErrorFor allow that.
	Stale bool

	// Err is why there is no value. If Value is stale, it is why there is no newer one: how
	// the last fill failed, or nil if it didn't, or that was long ago.
	Err error
}

// GetResult is Get for who wants to know whether the value is stale, and why.
func (l *Loader) GetResult(ctx context.Context, key string) Result {
	if val, ok := l.fresh(key); ok {
		return Result{Value: val}
	}
	return l.get(ctx, key)
}

// fresh returns a value about which there is nothing to do.
func (l *Loader) fresh(key string) (string, bool) {
	b := l.cache
	if l.cfg.Prefix == "" {
		return b.store.fresh(key, b.wall)
	}
	var joined [128]byte
	if len(l.cfg.Prefix)+len(key) > len(joined) {
		return b.store.fresh(l.cfg.Prefix+key, b.wall)
	}
	n := copy(joined[:], l.cfg.Prefix)
	n += copy(joined[n:], key)
	return b.store.fresh(unsafe.String(&joined[0], n), b.wall) // it isn't kept
}

// get deals with all other cases.
func (l *Loader) get(ctx context.Context, key string) Result {
	full := l.cfg.Prefix + key
	res, v, answered := l.held(full)
	if answered {
		if v.refreshes() {
			l.refresh(ctx, full)
		}
		return l.counted(res)
	}
	if err := ctx.Err(); err != nil {
		return Result{Err: err}
	}
	return l.counted(l.wait(ctx, full, nil))
}

// refill fills a key that has a value that can't be used.
func (l *Loader) refill(ctx context.Context, full, bad string) Result {
	if err, rests := l.failures.of(l.cache.peer.instant().mono, full, false); rests && err != nil {
		return Result{Err: err}
	}
	return l.wait(ctx, full, &bad)
}

// wait waits for the fill of a key, and begins one if need be.
func (l *Loader) wait(ctx context.Context, full string, bad *string) Result {
	ld, isNew := l.cache.loads.join(ctx, full, newRun(ctx, false), bad)
	if isNew {
		go l.work(ld)
	}
	return ld.wait(ctx)
}

// held is what a Get of a key that isn't fresh begins with: it returns what can be said without
// waiting for a fill, and counts whether something can.
func (l *Loader) held(full string) (res Result, v verdict, answered bool) {
	rec, v := l.look(full)
	res, answered = l.answer(full, &rec, v)
	l.cache.store.count(answered && v != verdictFill)
	return res, v, answered
}

// look says what is held of a key of the cache, and what to do with it.
func (l *Loader) look(full string) (record, verdict) {
	rec, held := l.cache.store.entry(full, l.cache.wall)
	return rec, l.policy.judge(&rec, held, l.cache.wall())
}

// answer returns what can be said without waiting for a fill.
func (l *Loader) answer(full string, rec *record, v verdict) (res Result, ok bool) {
	switch v {
	case verdictServe, verdictRefresh:
		return Result{Value: rec.val}, true
	case verdictMissing:
		l.cache.n.notFound.Add(1)
		return Result{Err: ErrNotFound}, true
	}
	err, rests := l.failures.of(l.cache.peer.instant().mono, full, v == verdictFallback)
	switch {
	case v == verdictStale, v == verdictFallback && err != nil:
		return Result{Value: rec.val, Stale: true, Err: err}, true
	case rests && err != nil:
		return Result{Err: err}, true
	}
	return Result{}, false
}

func (l *Loader) counted(r Result) Result {
	if r.Stale {
		l.cache.n.stale.Add(1)
	}
	return r
}

// refresh starts a fill of keys in the background, without those that are being filled or have
// just failed, and only if a slot is free: a later hit will try again.
func (l *Loader) refresh(ctx context.Context, full ...string) {
	if l.slots != nil && len(l.slots) == cap(l.slots) || l.cache.closed.Load() {
		return
	}
	now := l.cache.peer.instant().mono
	var r *run
	var started []*load
	for _, key := range full {
		if _, rests := l.failures.of(now, key, false); rests || l.cache.loads.runs(key) {
			continue
		}
		if r == nil || l.cfg.FillMany == nil { // Fills are given up one by one
			r = newRun(ctx, true)
		}
		if ld := l.cache.loads.background(key, r); ld != nil {
			started = append(started, ld)
		}
	}
	if l.cache.closed.Load() { // meanwhile
		for _, ld := range started {
			ld.run.close()
		}
	}
	l.start(started)
}

// start has loads done: those of one run, or each by itself.
func (l *Loader) start(lds []*load) {
	if len(lds) > 1 && l.cfg.FillMany != nil {
		go l.workMany(lds)
		return
	}
	for _, ld := range lds {
		go l.work(ld)
	}
}
