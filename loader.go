package bcache

import (
	"cmp"
	"context"
	"fmt"
	"sync/atomic"
	"time"
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
//
// One query that hangs doesn't make its key fail: a fill that a caller gives up, as its deadline comes,
// isn't joined by later ones, see LoaderConfig.Fill. At a time no more than three Fills of a key run on
// a node; a further one waits, as long as somebody waits for it.
type Loader struct {
	cache    *Bcache
	cfg      LoaderConfig
	policy   loadPolicy
	lag      time.Duration // Settle
	slots    chan struct{} // a token for each fill that runs; nil is no limit
	failures failures
	stales   *callQueue[staleCall] // of OnStale; nil if there is none

	refreshers atomic.Int32 // workers of the refreshes of GetManys

	// Of a Typed: how it writes values, which is compared, so that a caller never gets what another
	// layout's Fill brought; and whether it can read one. nil, and all, of other Loaders.
	layout  any
	decodes func(val string) bool
}

// NewLoader returns a Loader for a cache. The error wraps ErrConfig, and says everything that is
// wrong. There is nothing to close: fills in the background end with Close of the cache.
func NewLoader(cache *Bcache, cfg LoaderConfig) (*Loader, error) {
	return newLoaderOf(cache, cfg, nil, nil)
}

func newLoaderOf(
	cache *Bcache, cfg LoaderConfig, layout any, decodes func(string) bool,
) (*Loader, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cache == nil {
		return nil, fmt.Errorf("%w: loader: the cache is nil", ErrConfig)
	}
	l := &Loader{
		cache: cache, cfg: cfg.withDefaults(), policy: newLoadPolicy(&cfg),
		lag:    max(cmp.Or(cfg.Settle, cache.settle), 0),
		layout: layout, decodes: decodes,
	}
	if cfg.OnStale != nil {
		l.stales = l.newStales()
	}
	if cfg.MaxConcurrent > 0 {
		l.slots = make(chan struct{}, cfg.MaxConcurrent)
	}
	return l, nil
}

// Get returns the value of key: the cached one or, if there is none that may be served, what
// the Fill returns, which is then cached on all nodes.
//
// The error is that of ctx if it ends first, and then Get returns at once; ErrNotFound, as it came
// or remembered; ErrFillPanicked or ErrFillAborted; one that wraps context.DeadlineExceeded if the
// Fill goes on after FillTimeout, and ErrFillCycle if it would wait for the caller; otherwise the
// Fill's own, unchanged, maybe remembered, see RetryAfter. For a value that is cached ctx isn't looked
// at. After Close of the cache the Fill is still called, and its value returned.
//
// A hit allocates nothing; with a Prefix, as long as the key has no more than 128 bytes with it.
func (l *Loader) Get(ctx context.Context, key string) (string, error) {
	if val, ok := l.fresh(key); ok {
		l.cache.store.count(true)
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
		l.cache.store.count(true)
		return Result{Value: val}
	}
	return l.get(ctx, key)
}

// fresh returns a value about which there is nothing to do, if it is one of the Loader's layout. That it
// is a hit isn't counted.
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
	return l.counted(l.wait(ctx, full))
}

// wait waits for the fill of a key, and begins one if need be.
func (l *Loader) wait(ctx context.Context, full string) Result {
	if err := ctx.Err(); err != nil {
		return Result{Err: err}
	}
	ld, isNew := l.cache.loads.join(full, l.layout, newRun(ctx, false), make(chan struct{}, 1))
	if isNew {
		go l.work(ld)
	}
	return l.outcome(ctx, ld)
}

// outcome waits for what becomes of a load; nil is one that waits for the caller.
func (l *Loader) outcome(ctx context.Context, ld *load) Result {
	if ld == nil {
		return Result{Err: ErrFillCycle}
	}
	res := l.cache.loads.wait(ctx, ld)
	if res.Err == errOverdue {
		return l.overdue(ld.key)
	}
	return res
}

// overdue is failed for who doesn't wait any longer for a Fill that ignores its context.
func (l *Loader) overdue(full string) Result {
	l.cache.peer.log.Errorf(0, "a Fill of %q goes on after its FillTimeout: it must obey its context", full)
	l.rest(full, lookedAt{kept: errOverdue})
	switch rec, v := l.look(full); v {
	case verdictServe, verdictRefresh:
		return Result{Value: rec.val}
	case verdictStale, verdictFallback:
		return Result{Value: rec.val, Stale: true, Err: errOverdue}
	case verdictMissing:
		return Result{Err: ErrNotFound}
	}
	return Result{Err: errOverdue}
}

// held is what a Get of a key that isn't fresh begins with: it returns what can be said without
// waiting for a fill, and counts whether something can.
func (l *Loader) held(full string) (res Result, v verdict, answered bool) {
	now := l.cache.peer.instant()
	rec, v, garbled := l.inspect(full, now.wall)
	if garbled {
		l.cache.n.undecodable.Add(1)
	}
	res, answered = l.answer(full, &rec, v, now.mono)
	l.cache.store.count(answered && v != verdictFill)
	return res, v, answered
}

// look says what is held of a key of the cache, and what to do with it.
func (l *Loader) look(full string) (record, verdict) {
	rec, v, _ := l.inspect(full, l.cache.wall())
	return rec, v
}

// inspect is look that says too whether something is held that would be served if it could be decoded.
// Of what is held and what stands beside it on this node, it takes what this Loader can use.
func (l *Loader) inspect(full string, wall int64) (rec record, v verdict, garbled bool) {
	rec, held := l.cache.store.entry(full, wall)
	v = l.policy.judge(&rec, held, wall)
	if l.decodes == nil || v == verdictMissing || v != verdictFill && l.decodes(rec.val) {
		return rec, v, false
	}
	garbled = v != verdictFill
	rec, held = l.cache.store.beside(full, wall)
	v = l.policy.judge(&rec, held && (rec.kind != kindValue || l.decodes(rec.val)), wall)
	return rec, v, garbled && v == verdictFill
}

// usable reports whether a value is one of the Loader's layout.
func (l *Loader) usable(val string) bool { return l.decodes == nil || l.decodes(val) }

// answer returns what can be said without waiting for a fill.
func (l *Loader) answer(full string, rec *record, v verdict, now time.Duration) (res Result, ok bool) {
	switch v {
	case verdictServe, verdictRefresh:
		return Result{Value: rec.val}, true
	case verdictMissing:
		l.cache.n.notFound.Add(1)
		return Result{Err: ErrNotFound}, true
	}
	err, rests := l.failures.of(now, full, v == verdictFallback)
	switch {
	case v == verdictStale, v == verdictFallback && err != nil:
		return Result{Value: rec.val, Stale: true, Err: err}, true
	case rests && err != nil && err != ErrFillElsewhere: // who has no old value tries for itself
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
