package bcache

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/fill"
	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/replica"
)

// A keyFill fills one key: it waits for the key's turn, calls the Fill, and caches what that returned.
type keyFill struct {
	*fill.Load
	loader *Loader
	claim  claim         // to the key's lease
	fence  *replica.Fill // from the call of the Fill until what that returned is written; otherwise nil

	outcome fill.Outcome // of the Fill, once it has returned
	ended   bool
}

func newKeyFill(l *Loader, ld *fill.Load) *keyFill {
	return &keyFill{Load: ld, loader: l, claim: newClaim(l.cache.peer)}
}

// beginAll raises the fences of some keys of one run, right before the caller calls their Fill. What it
// returns has to be ended.
func beginAll(fills ...*keyFill) *fillCall {
	l := fills[0].loader
	keys := make([]string, len(fills))
	for i, k := range fills {
		keys[i] = k.Key
		l.cache.loads.Begin(k.Load)
		k.endWait(true)
	}
	call := newFillCall(fills)
	p := l.cache.peer
	for i, f := range p.replica.Fills.Begin(p.instant(), l.lag, keys...) {
		fills[i].fence = f
	}
	return call
}

// work fills the key alone, not as one of a batch.
func (k *keyFill) work() {
	res := Result{Err: ErrFillAborted} // if a Codec or an Observer calls runtime.Goexit
	defer func() { k.end(res) }()
	res = k.fill()
}

// end gives the result to who waits for the load, and tells the other nodes how the fill has ended.
func (k *keyFill) end(res Result) {
	k.ended = true
	k.dropFence()
	k.endWait(false)
	defer func() { // also if an Observer calls runtime.Goexit
		k.loader.cache.loads.End(k.Load, fill.Result(res))
		k.claim.end(errors.Is(context.Cause(k.Run.Ctx), context.DeadlineExceeded))
	}()
	k.tellWait()
}

func (k *keyFill) fill() Result {
	if err := k.Place(); err != nil {
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
	call := beginAll(k)
	ctx, cancel := k.Run.FillContext(l.cfg.FillTimeout)
	defer cancel()
	defer call.end()
	got, err := contain(func() (brought, error) {
		return newBrought(k.call(call.begin(ctx))), nil
	})
	if err != nil {
		got = brought{err: err}
	}
	call.err = got.err
	return k.settle(got)
}

// call calls the Fill, or a FillMany for this key alone.
func (k *keyFill) call(ctx context.Context) (Loaded, error) {
	key := k.loader.unprefixed(k.Key)
	if k.loader.cfg.Fill != nil {
		return k.loader.cfg.Fill(ctx, key)
	}
	values, err := k.loader.cfg.FillMany(ctx, []string{key})
	return pick(values, err, key)
}

// brought is what a Fill has returned for a key.
type brought struct {
	Loaded
	err     error
	missing bool // there is no value: that is no failure
}

// newBrought asks an error what it is. Errors are the user's, so that runs under no lock.
func newBrought(v Loaded, err error) brought { return brought{v, err, errors.Is(err, ErrNotFound)} }

// found looks into the cache again: somebody may have filled the key since the caller looked. That is
// nothing for callers who ask anew.
func (k *keyFill) found() (res Result, ok bool) {
	if k.Run.Anew {
		return Result{}, false
	}
	l := k.loader
	ok = l.cache.loads.LookUp(k.Load, func() bool {
		rec, v := l.view.Look(k.Key)
		switch {
		case v == fill.VerdictServe, v == fill.VerdictRefresh && !k.Run.Background:
			res = Result{Value: rec.Val}
		case v == fill.VerdictMissing:
			res = Result{Err: ErrNotFound}
		default:
			return false
		}
		k.Brings(rec.Tags)
		k.claim.filled(&rec)
		k.claim.ends = fill.WaitFilled
		l.recovered(k.Key)
		return true
	})
	return res, ok
}

// settle caches what the Fill returned, and says what the load's waiters get.
func (k *keyFill) settle(got brought) Result {
	switch err := k.Run.Err(); {
	case got.err == nil:
		return k.bring(got.Loaded)
	case got.missing:
		return k.miss(got.Tags, got.err)
	// it was cancelled as nobody waits: the database hasn't failed
	case err != nil && err != fill.ErrOverdue:
		k.outcome = fill.Abandoned
		return Result{Err: got.err}
	}
	k.outcome = fill.Failed
	k.claim.failed(k.loader.cfg.RetryAfter)
	return k.fallBack(got.err)
}

// bring caches a value, unless something newer is known.
func (k *keyFill) bring(v Loaded) Result {
	l, b := k.loader, k.loader.cache
	now := b.peer.now()
	rec, cache := l.view.Policy.Value(now, k.Key, v.Value, v.TTL, rand.Float64())
	k.claim.uncached(false)
	tagged := k.tag(&rec, v.Tags)
	switch {
	case !cache || !tagged:
		k.outcome = fill.Uncached
	case b.writes.tooLarge(&rec):
		k.outcome = fill.TooLarge
	case k.write(now, &rec):
		l.recovered(k.Key)
		return Result{Value: v.Value}
	default:
		if newer, ok := l.view.Live(k.Key); ok && !k.Run.Anew {
			k.Brings(newer.Tags)
			return Result{Value: newer.Val}
		}
	}
	k.unchanged()
	return Result{Value: v.Value}
}

// tag gives a record the tags that a Fill has returned, and reports whether they can be.
func (k *keyFill) tag(rec *delta.Record, tags []string) bool {
	var wrong string
	if rec.Tags, wrong = delta.MakeTags(tags); wrong == "" {
		k.Brings(rec.Tags)
	} else {
		k.loader.cache.peer.log.Errorf(0, "what a Fill of %q returned isn't cached: %s",
			linelog.Field("key", k.Key), linelog.Field("reason", wrong))
	}
	return wrong == ""
}

// miss caches that there is no value.
func (k *keyFill) miss(tags []string, err error) Result {
	l, b := k.loader, k.loader.cache
	k.outcome = fill.NotFound
	k.claim.uncached(false)
	l.recovered(k.Key)
	if packed, wrong := delta.MakeTags(tags); wrong == "" { // they count also if nothing is cached
		k.Brings(packed)
	}
	now := b.peer.now()
	rec := l.view.Policy.Missing(now, k.Key, rand.Float64())
	if l.cfg.NegativeTTL == 0 && !l.view.Replaces(k.Key) || b.writes.tooLarge(&rec) {
		return Result{Err: err}
	}
	if rec.Kind == delta.KindNegative && !k.tag(&rec, tags) {
		rec = delta.Record{Key: k.Key, Kind: delta.KindTombstone} // what is held goes nevertheless
	}
	if k.write(now, &rec) {
		return Result{Err: err}
	}
	k.unchanged()
	if newer, ok := l.view.Live(k.Key); ok && !k.Run.Anew {
		k.Brings(newer.Tags)
		return Result{Value: newer.Val}
	}
	return Result{Err: err}
}

// write writes what the Fill returned, unless the fence refuses it, and reports whether the key has that
// now. Where a value of another layout is held, it is kept beside that.
func (k *keyFill) write(now time.Time, rec *delta.Record) bool {
	scope, kept := replica.FillForAll, fill.Provisional
	switch { // the fence isn't lost if a Codec calls runtime.Goexit
	case k.loader.view.Foreign(k.Key):
		scope = replica.FillBeside
	case k.loader.cfg.LocalValues:
		scope, kept = replica.FillHere, fill.Local
	}
	f := k.fence
	k.fence = nil
	p := k.loader.cache.peer
	switch p.replica.Fills.End(p.instantOf(now), f, rec, scope) {
	case replica.FillRefused:
		k.outcome = fill.Refused
		return false
	case replica.FillKept:
		k.brings(rec, kept)
	case replica.FillOffered:
		k.brings(rec, fill.Provisional)
		k.claim.uncached(true)
	case replica.FillWritten:
		k.brings(rec, fill.Found)
		if rec.Kind != delta.KindTombstone {
			k.claim.filled(rec)
		}
	}
	return true
}

// brings notes how a value is cached. Where there is none, that is what counts.
func (k *keyFill) brings(rec *delta.Record, as fill.Outcome) {
	if rec.Kind == delta.KindValue {
		k.outcome = as
	}
}

// dropFence lowers the fence: nothing will be written.
func (k *keyFill) dropFence() {
	if k.fence != nil {
		k.loader.cache.peer.replica.Fills.Drop(k.fence)
		k.fence = nil
	}
}

// fallBack returns what the waiters get after a Fill that failed: an old value, if one may be served.
func (k *keyFill) fallBack(err error) Result {
	l := k.loader
	rec, v := l.view.Look(k.Key)
	if k.Run.Anew {
		v = fill.VerdictFill // whatever is held
	}
	if k.Brings(rec.Tags); v == fill.VerdictServe { // somebody else was more successful meanwhile
		return Result{Value: rec.Val}
	}
	known := examine(err)
	l.rest(k.Key, known)
	if v == fill.VerdictMissing || v == fill.VerdictFill {
		k.Brings("") // an error is nobody's value
		return Result{Err: err}
	}
	l.figures.StaleFailures.Add(1)
	l.cache.peer.log.Errorf(0, "a fill of %q failed, the old value is served: %s",
		linelog.Field("key", k.Key), linelog.Field("err", known.text))
	l.stales.tell(l.unprefixed(k.Key), known)
	if v == fill.VerdictRefresh {
		return Result{Value: rec.Val}
	}
	return Result{Value: rec.Val, Stale: true, Err: err}
}

// unchanged is for a Fill that hasn't failed but has changed nothing. After one in the background the
// key rests, or the next hit would begin another one.
func (k *keyFill) unchanged() {
	if k.Run.Background {
		k.loader.rest(k.Key, knownError{})
	} else {
		k.loader.recovered(k.Key)
	}
}

// A refresher begins the fills in the background, for which nobody waits.
type refresher struct {
	loader  *Loader
	workers atomic.Int32 // goroutines that refresh the keys of GetManys
}

// start starts fills of keys, without those that are being filled or have just failed, and only if a
// slot is free: a later hit will try again. The bounds are those of GetMany.
func (r *refresher) start(ctx context.Context, full ...string) {
	l := r.loader
	if l.slots.full() || l.cache.closed.Load() {
		return
	}
	now := l.cache.peer.instant().Mono
	var due []string
	for _, key := range full {
		if _, rests := l.failures.Of(now, key, false); !rests && !l.cache.loads.Runs(key, l.view.Layout) {
			due = append(due, key)
		}
	}
	if len(due) > 0 {
		r.startDue(ctx, due)
	}
}

// startDue starts them without asking whether they are due.
func (r *refresher) startDue(ctx context.Context, full []string) {
	size, workers := 1, min(maxFillsOfMany, len(full))
	if cfg := &r.loader.cfg; cfg.FillMany != nil {
		size, workers = cfg.BatchSize, 1
	}
	// The workers of all GetManys together are bounded: a later hit will try again.
	done := func() {}
	if len(full) > 1 {
		done = func() { r.workers.Add(-1) }
	}
	keys := &cursor{keys: full}
	for range workers {
		if len(full) > 1 && r.workers.Add(1) > maxFillsOfMany {
			done()
			return
		}
		b := r.nextBatch(ctx, keys, size)
		if b == nil {
			done()
			return
		}
		go func() {
			defer done()
			for ; b != nil; b = r.nextBatch(ctx, keys, size) {
				b.work()
				<-b.run.Ctx.Done()
			}
		}()
	}
}

// nextBatch makes loads that nobody waits for; nil if no key is left that needs one.
func (r *refresher) nextBatch(ctx context.Context, keys *cursor, size int) *loadBatch {
	l := r.loader
	for taken := keys.take(size); len(taken) > 0 && !l.cache.closed.Load(); taken = keys.take(size) {
		b := newLoadBatch(ctx, l, true)
		for _, key := range taken {
			if ld := l.cache.loads.Background(key, l.view.Layout, b.run, b.arrived); ld != nil {
				b.add(ld)
			}
		}
		if l.cache.closed.Load() { // meanwhile; if it comes later, Close finds them
			b.run.Close(ErrClosed)
		}
		if len(b.waiting) > 0 {
			return b
		}
	}
	return nil
}

// A cursor gives out keys, each once.
type cursor struct {
	mu   sync.Mutex
	keys []string
}

// take returns the next keys, at most n; none when all are gone.
func (c *cursor) take(n int) (keys []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n = min(n, len(c.keys))
	keys, c.keys = c.keys[:n], c.keys[n:]
	return keys
}
