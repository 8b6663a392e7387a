package bcache

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// What becomes of a load: it waits for its turn, calls the Fill, and caches what that brought.

// loadCounters count what Loaders do.
type loadCounters struct {
	stale, staleMissed, notFound, refreshes, failures, undecodable atomic.Uint64
}

// work does a load by itself.
func (l *Loader) work(ld *load) {
	res := Result{Err: ErrFillAborted} // if a Codec calls runtime.Goexit
	defer func() { l.end(ld, res) }()
	res = l.fill(ld)
}

// end ends a load, whatever became of it.
func (l *Loader) end(ld *load, res Result) {
	ld.ended = true
	l.dropFill(ld)
	l.cache.loads.end(ld, res)
	l.endLease(ld)
}

func (l *Loader) fill(ld *load) Result {
	if err := ld.place(); err != nil {
		return Result{Err: err}
	}
	if res, answered := l.admit(ld); answered {
		return res
	}
	defer l.exit()
	if res, ok := l.found(ld); ok {
		return res
	}
	l.begin(ld.run, ld)
	ctx, cancel := ld.run.fillContext(l.cfg.FillTimeout)
	defer cancel()
	got, err := contain(func() (brought, error) {
		v, err := l.call(ctx, ld.key[len(l.cfg.Prefix):])
		return newBrought(v, err), nil
	})
	if err != nil {
		got = brought{err: err}
	}
	return l.settle(ld, got)
}

// brought is what a Fill has brought of a key.
type brought struct {
	Loaded
	err     error
	missing bool // there is no value: that is no failure
}

// newBrought looks at an error, whose methods are the user's.
func newBrought(v Loaded, err error) brought { return brought{v, err, errors.Is(err, ErrNotFound)} }

// call asks for one key.
func (l *Loader) call(ctx context.Context, key string) (Loaded, error) {
	if l.cfg.Fill != nil {
		return l.cfg.Fill(ctx, key)
	}
	values, err := l.cfg.FillMany(ctx, []string{key})
	return pick(values, err, key)
}

// slot waits for a slot, unless the load is answered meanwhile. If nobody waits for it, it takes one
// that is free, or gives up: a later hit will try again.
func (l *Loader) slot(ld *load) (res Result, answered bool) {
	if l.tryEnter() {
		return Result{}, false
	}
	if ld.run.background {
		ld.run.close()
	}
	for {
		select {
		case l.slots <- struct{}{}:
			return Result{}, false
		case <-ld.arrived:
			if res, ok := l.found(ld); ok {
				return res, true
			}
		case <-ld.run.ctx.Done():
			return Result{Err: ld.run.err()}, true
		}
	}
}

// tryEnter takes a slot that is free.
func (l *Loader) tryEnter() bool {
	if l.slots == nil {
		return true
	}
	select {
	case l.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

func (l *Loader) exit() {
	if l.slots != nil {
		<-l.slots
	}
}

// found looks into the cache again: somebody may have filled it since the caller looked.
func (l *Loader) found(ld *load) (res Result, ok bool) {
	return l.cache.loads.lookUp(ld, func() (Result, bool) {
		rec, v := l.look(ld.key)
		var res Result
		switch {
		case v == verdictServe, v == verdictRefresh && !ld.run.background:
			res.Value = rec.val
		case v == verdictMissing:
			res.Err = ErrNotFound
		default:
			return Result{}, false
		}
		ld.filled(&rec)
		l.recovered(ld.key)
		return res, true
	})
}

// filled notes for the other nodes what the key has now.
func (ld *load) filled(rec *record) {
	if rec.provisional { // the others were offered it, when it was kept
		ld.outcome = leaseOutcome{}
		return
	}
	ld.outcome = leaseOutcome{end: tryFilled, stamp: rec.stamp, deadline: rec.deadline}
}

// begin begins the fills of some loads of a run: right after it their Fill is called.
func (l *Loader) begin(r *run, lds ...*load) {
	keys := make([]string, len(lds))
	for i, ld := range lds {
		keys[i] = ld.key
		l.cache.loads.begin(ld)
	}
	l.cache.fills.Add(uint64(len(lds)))
	if r.background {
		l.cache.n.refreshes.Add(uint64(len(lds)))
	}
	p := l.cache.peer
	for i, f := range p.replica.beginFills(p.instant(), l.lag, keys...) {
		lds[i].fill = f
	}
}

// endFill says what becomes of what a load's fill brought. A value, or that there is none, stands beside
// what is held if that is another layout's.
func (l *Loader) endFill(now time.Time, ld *load, rec *record) fillOutcome {
	f := ld.fill
	ld.fill = nil
	p := l.cache.peer
	return p.replica.endFill(p.instantOf(now), f, rec, l.foreign(ld.key))
}

// dropFill ends a load's fill unless that has ended.
func (l *Loader) dropFill(ld *load) {
	if ld.fill != nil {
		l.cache.peer.replica.dropFill(ld.fill)
		ld.fill = nil
	}
}

// settle makes of what a fill brought what those who wait get.
func (l *Loader) settle(ld *load, got brought) Result {
	switch {
	case got.err == nil:
		return l.bring(ld, got.Loaded)
	case got.missing:
		return l.miss(ld, got.err)
	case ld.run.err() != nil && ld.run.err() != errOverdue: // nobody waits; that isn't the database's fault
		return Result{Err: got.err}
	}
	l.cache.fillErrors.Add(1)
	ld.outcome = leaseOutcome{end: tryFailed, retry: l.cfg.RetryAfter}
	return l.failed(ld, got.err)
}

// bring caches a value, unless something newer is known.
func (l *Loader) bring(ld *load, v Loaded) Result {
	b := l.cache
	now := b.peer.now()
	rec, cache := l.policy.value(now, ld.key, v, rand.Float64())
	ld.outcome = leaseOutcome{end: tryUncached}
	switch {
	case !cache:
	case b.tooLarge(ld.key, v.Value):
		b.fillsTooLarge.Add(1)
	case l.cached(ld, l.endFill(now, ld, &rec), &rec):
		l.recovered(ld.key)
		return Result{Value: v.Value}
	default:
		if newer, ok := l.newer(ld.key); ok {
			return Result{Value: newer}
		}
	}
	l.unchanged(ld)
	return Result{Value: v.Value}
}

// miss caches that there is no value.
func (l *Loader) miss(ld *load, err error) Result {
	b := l.cache
	ld.outcome = leaseOutcome{end: tryUncached}
	l.recovered(ld.key)
	if l.cfg.NegativeTTL == 0 && !l.replaces(ld.key) || b.tooLarge(ld.key, "") {
		return Result{Err: err}
	}
	now := b.peer.now()
	rec := l.policy.missing(now, ld.key, rand.Float64())
	if l.cached(ld, l.endFill(now, ld, &rec), &rec) {
		return Result{Err: err}
	}
	l.unchanged(ld)
	if newer, ok := l.newer(ld.key); ok {
		return Result{Value: newer}
	}
	return Result{Err: err}
}

// cached notes the outcome of a fill, and reports whether the key has now what that brought.
func (l *Loader) cached(ld *load, o fillOutcome, rec *record) bool {
	switch {
	case o == fillRefused:
		l.cache.fillsRefused.Add(1)
		return false
	case o == fillOffered:
		ld.outcome = leaseOutcome{end: tryOffered}
	case o == fillKept:
	case rec.kind != kindTombstone:
		ld.filled(rec)
	}
	return true
}

// newer returns the value that is there after a fill was refused.
func (l *Loader) newer(key string) (string, bool) {
	rec, v := l.look(key)
	return rec.val, v == verdictServe || v == verdictRefresh
}

// foreign reports whether a live value of another layout is held.
func (l *Loader) foreign(key string) bool {
	if l.decodes == nil {
		return false
	}
	rec, ok := l.cache.store.peek(key)
	return ok && rec.kind == kindValue && !rec.expired(l.cache.wall()) && !l.decodes(rec.val)
}

// replaces reports whether a value is there that a fill that finds nothing ends: be it stale, or
// provisional, but not that of another layout.
func (l *Loader) replaces(key string) bool {
	ours := func(rec record, ok bool) bool { return ok && rec.kind == kindValue && l.usable(rec.val) }
	st := l.cache.store
	return ours(st.peek(key)) || ours(st.beside(key, l.cache.wall()))
}

// failed falls back on an old value, if there is one that may be served.
func (l *Loader) failed(ld *load, err error) Result {
	rec, v := l.look(ld.key)
	if v == verdictServe { // somebody else was more successful meanwhile
		return Result{Value: rec.val}
	}
	look := lookAt(err)
	l.rest(ld.key, look)
	if v == verdictMissing || v == verdictFill {
		return Result{Err: err}
	}
	l.cache.n.failures.Add(1)
	l.cache.peer.log.Errorf(0, "a fill of %q failed, the old value is served: %s", ld.key, look.text)
	l.tellStale(ld.key[len(l.cfg.Prefix):], look)
	if v == verdictRefresh {
		return Result{Value: rec.val}
	}
	return Result{Value: rec.val, Stale: true, Err: err}
}

// rest leaves a key alone for RetryAfter.
func (l *Loader) rest(key string, err lookedAt) {
	now := l.cache.peer.instant().mono
	l.failures.add(now, key, err, l.cfg.RetryAfter)
}

// recovered forgets how a key's last fill failed.
func (l *Loader) recovered(key string) { l.failures.end(l.cache.peer.instant().mono, key) }

// unchanged is for a fill that hasn't failed, but what is held is as before: in the background it
// mustn't begin again at once.
func (l *Loader) unchanged(ld *load) {
	if ld.run.background {
		l.rest(ld.key, lookedAt{})
	} else {
		l.recovered(ld.key)
	}
}
