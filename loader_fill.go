package bcache

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// A keyFill fills one key: it waits for its turn, calls the Fill, and caches what that brought.
type keyFill struct {
	*load
	loader *Loader
	claim  claim // to the lease
	fence  *fill // from the call of the Fill until it is known what becomes of what that brought
	ended  bool
}

func newKeyFill(l *Loader, ld *load) *keyFill {
	return &keyFill{load: ld, loader: l, claim: newClaim(l.cache.peer)}
}

// beginAll begins fills of a run: right after it their Fill is called.
func beginAll(fills ...*keyFill) {
	l, background := fills[0].loader, fills[0].run.background
	keys := make([]string, len(fills))
	for i, k := range fills {
		keys[i] = k.key
		l.cache.loads.begin(k.load)
	}
	l.cache.fills.called.Add(uint64(len(fills)))
	if background {
		l.cache.fills.refreshes.Add(uint64(len(fills)))
	}
	p := l.cache.peer
	for i, f := range p.replica.beginFills(p.instant(), l.lag, keys...) {
		fills[i].fence = f
	}
}

// work does it by itself.
func (k *keyFill) work() {
	res := Result{Err: ErrFillAborted} // if a Codec calls runtime.Goexit
	defer func() { k.end(res) }()
	res = k.fill()
}

// end ends it, whatever became of it.
func (k *keyFill) end(res Result) {
	k.ended = true
	k.dropFence()
	k.loader.cache.loads.end(k.load, loadResult(res))
	k.claim.end(errors.Is(context.Cause(k.run.ctx), context.DeadlineExceeded))
}

func (k *keyFill) fill() Result {
	if err := k.place(); err != nil {
		return Result{Err: err}
	}
	if res, answered := k.admit(); answered {
		return res
	}
	l := k.loader
	defer l.slots.exit()
	if res, ok := k.found(); ok {
		return res
	}
	beginAll(k)
	ctx, cancel := k.run.fillContext(l.cfg.FillTimeout)
	defer cancel()
	got, err := contain(func() (brought, error) {
		return newBrought(k.call(ctx)), nil
	})
	if err != nil {
		got = brought{err: err}
	}
	return k.settle(got)
}

// call calls the Fill.
func (k *keyFill) call(ctx context.Context) (Loaded, error) {
	key := k.loader.unprefixed(k.key)
	if k.loader.cfg.Fill != nil {
		return k.loader.cfg.Fill(ctx, key)
	}
	values, err := k.loader.cfg.FillMany(ctx, []string{key})
	return pick(values, err, key)
}

// brought is what a Fill has brought of a key.
type brought struct {
	Loaded
	err     error
	missing bool // there is no value: that is no failure
}

// newBrought looks at an error, whose methods are the user's.
func newBrought(v Loaded, err error) brought { return brought{v, err, errors.Is(err, ErrNotFound)} }

// found looks into the cache again: somebody may have filled it since the caller looked.
func (k *keyFill) found() (res Result, ok bool) {
	l := k.loader
	ok = l.cache.loads.lookUp(k.load, func() bool {
		rec, v := l.view.look(k.key)
		switch {
		case v == verdictServe, v == verdictRefresh && !k.run.background:
			res = Result{Value: rec.val}
		case v == verdictMissing:
			res = Result{Err: ErrNotFound}
		default:
			return false
		}
		k.claim.filled(&rec)
		l.recovered(k.key)
		return true
	})
	return res, ok
}

// settle makes of what the Fill brought what those have who wait.
func (k *keyFill) settle(got brought) Result {
	switch err := k.run.err(); {
	case got.err == nil:
		return k.bring(got.Loaded)
	case got.missing:
		return k.miss(got.err)
	case err != nil && err != errOverdue: // nobody waits; that isn't the database's fault
		return Result{Err: got.err}
	}
	k.loader.cache.fills.failed.Add(1)
	k.claim.failed(k.loader.cfg.RetryAfter)
	return k.fallBack(got.err)
}

// bring caches a value, unless something newer is known.
func (k *keyFill) bring(v Loaded) Result {
	l, b := k.loader, k.loader.cache
	now := b.peer.now()
	rec, cache := l.view.policy.value(now, k.key, v.Value, v.TTL, rand.Float64())
	k.claim.uncached(false)
	switch {
	case !cache:
	case b.tooLarge(k.key, v.Value):
		b.fills.tooLarge.Add(1)
	case k.write(now, &rec):
		l.recovered(k.key)
		return Result{Value: v.Value}
	default:
		if newer, ok := l.view.live(k.key); ok {
			return Result{Value: newer}
		}
	}
	k.unchanged()
	return Result{Value: v.Value}
}

// miss caches that there is no value.
func (k *keyFill) miss(err error) Result {
	l, b := k.loader, k.loader.cache
	k.claim.uncached(false)
	l.recovered(k.key)
	if l.cfg.NegativeTTL == 0 && !l.view.replaces(k.key) || b.tooLarge(k.key, "") {
		return Result{Err: err}
	}
	now := b.peer.now()
	rec := l.view.policy.missing(now, k.key, rand.Float64())
	if k.write(now, &rec) {
		return Result{Err: err}
	}
	k.unchanged()
	if newer, ok := l.view.live(k.key); ok {
		return Result{Value: newer}
	}
	return Result{Err: err}
}

// write writes what the Fill brought, unless the fence refuses it, and reports whether the key has that
// now. It stands beside what is held if that is another layout's.
func (k *keyFill) write(now time.Time, rec *record) bool {
	beside := k.loader.view.foreign(k.key) // the fence isn't lost if a Codec calls runtime.Goexit
	f := k.fence
	k.fence = nil
	p := k.loader.cache.peer
	switch p.replica.endFill(p.instantOf(now), f, rec, beside) {
	case fillRefused:
		k.loader.cache.fills.refused.Add(1)
		return false
	case fillOffered:
		k.claim.uncached(true)
	case fillWritten:
		if rec.kind != kindTombstone {
			k.claim.filled(rec)
		}
	}
	return true
}

// dropFence has nothing written of what the Fill brings, or has brought.
func (k *keyFill) dropFence() {
	if k.fence != nil {
		k.loader.cache.peer.replica.dropFill(k.fence)
		k.fence = nil
	}
}

// fallBack serves an old value where the Fill has failed, if there is one that may be served.
func (k *keyFill) fallBack(err error) Result {
	l := k.loader
	rec, v := l.view.look(k.key)
	if v == verdictServe { // somebody else was more successful meanwhile
		return Result{Value: rec.val}
	}
	known := examine(err)
	l.rest(k.key, known)
	if v == verdictMissing || v == verdictFill {
		return Result{Err: err}
	}
	l.cache.fills.staleFailures.Add(1)
	l.cache.peer.log.Errorf(0, "a fill of %q failed, the old value is served: %s", k.key, known.text)
	l.stales.tell(l.unprefixed(k.key), known)
	if v == verdictRefresh {
		return Result{Value: rec.val}
	}
	return Result{Value: rec.val, Stale: true, Err: err}
}

// unchanged is for a fill that hasn't failed, but what is held is as before: in the background it
// mustn't begin again at once.
func (k *keyFill) unchanged() {
	if k.run.background {
		k.loader.rest(k.key, knownError{})
	} else {
		k.loader.recovered(k.key)
	}
}
