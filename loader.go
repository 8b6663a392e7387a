package bcache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache/internal/callqueue"
	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/fill"
	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/view"
)

// A Loader is a cache that fills itself, and protects the database behind it. It says in one place how
// the values of some keys are looked up, how long they live, and what happens after that. [NewLoader]
// makes one. All methods are safe for concurrent use.
//
// One fill per key runs on this node at a time. Callers that come meanwhile wait for its result, each as
// long as its own context allows. A fill never beats a Set, Delete or Clear that was issued after the
// fill began, on any node, as with [Bcache.GetWithFiller]; the same goes for a fill in the background. A
// caller that comes after such a write never gets what a fill brought that this node began before it. A
// fill during which the key is written is returned but not cached.
//
// A query that hangs doesn't make its key fail. A fill that a caller gives up, because its deadline
// comes, isn't joined by later callers, see LoaderConfig.Fill. No more than three Fills of a key run on
// a node at a time. A further one waits, as long as somebody waits for it.
type Loader struct {
	cache     *Bcache
	cfg       LoaderConfig
	view      view.View
	figures   *fill.Figures
	witness   witness
	lag       time.Duration // Settle
	slots     slots
	failures  fill.Failures
	stales    *staleTeller // nil: there is no OnStale
	refreshes refresher
}

// ErrFillCycle is returned to a Fill that calls Get and would wait for itself. That is so if it calls
// Get with its own context, or one that is derived from it, for a key that it is filling itself, or for
// a key whose Fill waits for it.
var ErrFillCycle = errors.New("bcache: a fill would wait for itself")

// NewLoader returns a [Loader] for a cache. The error wraps [ErrConfig], and names everything that is
// wrong. There is nothing to close: fills in the background end with Close of the cache. A Loader is
// meant to be kept: it takes some 20 KiB.
func NewLoader(cache *Bcache, cfg LoaderConfig) (*Loader, error) {
	return newLoaderOf(cache, cfg, nil, nil)
}

func newLoaderOf(
	cache *Bcache, cfg LoaderConfig, layout any, decodes func(full, val string) bool,
) (*Loader, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cache == nil {
		return nil, fmt.Errorf("%w: loader: the cache is nil", ErrConfig)
	}
	cfg = cfg.withDefaults()
	l := &Loader{
		cache: cache, cfg: cfg,
		view: view.View{
			Store: cache.store, Wall: cache.wall, Prefix: cfg.Prefix, Policy: newLoadPolicy(&cfg),
			Layout: layout, Decodes: decodes,
		},
		witness: witness{cfg.Observer, cache.peer.log},
		lag:     max(cmp.Or(cfg.Settle, cache.settle), 0),
		slots:   newSlots(cfg.MaxConcurrent),
	}
	l.refreshes.loader = l
	var left func()
	l.figures, left = cache.ledger.Enter(cfg.Prefix)
	runtime.AddCleanup(l, func(leave func()) { leave() }, left)
	l.stales = newStaleTeller(l)
	if l.lag > 0 {
		cache.peer.replica.Fills.Lag()
	}
	return l, nil
}

// Get returns the cached value of key. If there is none that may be served, it returns what the Fill
// brings, which is then cached on all nodes, or with LocalValues on this one.
//
// The error is one of these:
//
//   - that of ctx, if ctx ends first; then Get returns at once;
//   - [ErrNotFound], as the Fill returned it, or remembered;
//   - [ErrFillPanicked] or [ErrFillAborted];
//   - an error that wraps context.DeadlineExceeded, if the Fill goes on after FillTimeout;
//   - [ErrFillCycle], if the Fill would wait for the caller;
//   - otherwise the Fill's own error, unchanged, and maybe remembered, see LoaderConfig.RetryAfter.
//
// For a value that is cached ctx isn't looked at. After Close of the cache the Fill is still called, and
// its value is returned.
//
// A hit allocates nothing. With a Prefix that is so as long as the two have no more than 128 bytes
// together.
func (l *Loader) Get(ctx context.Context, key string) (string, error) {
	anew := l.anew(ctx)
	if !anew {
		if e := l.view.Fresh(key); e != nil {
			l.figures.Count(true)
			return e.Val, nil
		}
	}
	r := l.get(ctx, key, anew)
	if r.Stale {
		return r.Value, nil
	}
	return r.Value, r.Err
}

// A Result is what [Loader.GetResult] returns.
type Result struct {
	Value string

	// Stale means that the deadline of Value has passed. The value is returned because StaleFor or
	// StaleOnErrorFor allows that.
	Stale bool

	// Err is why there is no value. If Value is stale, it is why there is no newer value: how the last fill
	// failed. It is nil if that fill didn't fail, or if it failed long ago.
	Err error
}

// GetResult is [Loader.Get] for a caller that wants to know whether the value is stale, and why.
func (l *Loader) GetResult(ctx context.Context, key string) Result {
	anew := l.anew(ctx)
	if !anew {
		if e := l.view.Fresh(key); e != nil {
			l.figures.Count(true)
			return Result{Value: e.Val}
		}
	}
	return l.get(ctx, key, anew).Result
}

// Set writes a value on all nodes, with the times that it would have if a Fill had brought it: Jitter
// shortens its TTL, and RefreshAhead, StaleFor and StaleOnErrorFor apply to it. But it is a write, as
// [Bcache.Set] is: it beats all fills that began before, and ends an [ErrNotFound] that is remembered.
// NegativeTTL and Settle don't concern it. With LocalValues it is such a write too, but RefreshAhead
// doesn't apply to it. A ttl of 0 is LoaderConfig.TTL, and [NoExpiry] means no deadline. With a negative
// ttl it deletes, as [Loader.Delete] does.
//
// The error is [ErrClosed], or [ErrTooLarge] if key and value, with the Prefix, are too large. After
// ErrTooLarge the value isn't stored, and the key is deleted on all nodes.
//
// Where a database has the truth, Delete after the commit is better: docs/fills.md says why.
func (l *Loader) Set(key, val string, ttl time.Duration) error { return l.Put(key, val, ttl) }

// Put is [Loader.Set] of a value with tags: a ttl of 0 is LoaderConfig.TTL, and a negative one deletes,
// whatever the tags are. About tags see [Bcache.Put]; a further error is the one that wraps [ErrTags].
func (l *Loader) Put(key, val string, ttl time.Duration, tags ...string) error {
	b, full := l.cache, l.cfg.Prefix+key
	if ttl < 0 {
		return b.Delete(full)
	}
	packed, wrong := delta.MakeTags(tags)
	if wrong != "" {
		return b.writes.refuseTags(full, wrong)
	}
	now := b.peer.now()
	rec, _ := l.view.Policy.Value(now, full, val, ttl, rand.Float64())
	if l.cfg.LocalValues {
		rec.RefreshFrom = 0 // no fill takes the place of a record
	}
	if rec.Tags = packed; b.writes.tooLarge(&rec) {
		return b.writes.refuse(full)
	}
	return b.peer.replica.SetRecord(b.peer.instantOf(now), &rec)
}

// Delete is [Bcache.Delete]. Call it after each commit that changes what a Fill reads.
func (l *Loader) Delete(key string) error { return l.cache.Delete(l.cfg.Prefix + key) }

// DeleteMany is [Bcache.DeleteMany].
func (l *Loader) DeleteMany(keys []string) error {
	return l.cache.writes.deleteMany(l.cfg.Prefix, keys)
}

// Clear is [Bcache.ClearPrefix] of the Loader's Prefix; if that is "", of all keys of the cache.
// The error is [ErrClosed], or [ErrTooLarge] if the Prefix is longer than MaxPrefixLen.
func (l *Loader) Clear() error { return l.cache.ClearPrefix(l.cfg.Prefix) }

// Stats returns the figures of this Loader alone.
func (l *Loader) Stats() LoaderStats {
	sums := l.figures.Sums()
	return newLoaderStats(l.cfg.Prefix, &sums)
}

// A reply is a Result, and the load that it is the result of; nil if it is that of none.
type reply struct {
	Result
	load *fill.Load
}

func failed(err error) reply { return reply{Result: Result{Err: err}} }

// anew reports whether a caller mustn't be served what is held: it may be older than what the caller has
// written. If need be it waits until that is processed here.
func (l *Loader) anew(ctx context.Context) bool {
	return l.cfg.AwaitToken > 0 && l.cache.peer.behind(ctx, l.cfg.AwaitToken)
}

// get deals with all other cases.
func (l *Loader) get(ctx context.Context, key string, anew bool) reply {
	full, who := l.cfg.Prefix+key, l.cache.loads.Caller(anew)
	res, v, answered := l.held(full, anew)
	if answered {
		if v.Refreshes() {
			l.refreshes.start(ctx, full)
		}
		return reply{Result: l.counted(ctx, res)}
	}
	r := l.wait(ctx, full, who)
	l.counted(ctx, r.Result)
	return r
}

// wait waits for the fill of a key, and begins one if need be.
func (l *Loader) wait(ctx context.Context, full string, who fill.Caller) reply {
	for {
		if err := ctx.Err(); err != nil {
			return failed(err)
		}
		ld, _ := l.join(ctx, full, who)
		if r, ok := l.outcome(ctx, ld, who); ok {
			return r
		}
	}
}

// join has the caller wait for the load of a key, and begins one if need be; nil is one that waits for
// the caller.
func (l *Loader) join(ctx context.Context, full string, who fill.Caller) (ld *fill.Load, isNew bool) {
	run := fill.NewRun(ctx, false)
	run.Anew = who.Anew
	ld, isNew = l.cache.loads.Join(full, l.view.Layout, run, make(chan struct{}, 1))
	if isNew {
		go newKeyFill(l, ld).work()
	}
	return ld, isNew
}

// outcome waits for what becomes of a load; nil is one that waits for the caller. It isn't ok if the
// caller has to ask again, see fill.Clears.
func (l *Loader) outcome(ctx context.Context, ld *fill.Load, who fill.Caller) (r reply, ok bool) {
	if ld == nil {
		return failed(ErrFillCycle), true
	}
	res, ok := l.cache.loads.Wait(ctx, ld, who)
	switch {
	case !ok:
		l.figures.Anew.Add(1)
		return reply{}, false
	case res.Err == fill.ErrOverdue:
		return reply{Result: l.overdue(ld)}, true
	}
	return reply{Result(res), ld}, true
}

// overdue is failed for who doesn't wait any longer for a Fill that ignores its context.
func (l *Loader) overdue(ld *fill.Load) Result {
	full := ld.Key
	l.cache.peer.log.Errorf(0, "a Fill of %q goes on after its FillTimeout: it must obey its context",
		linelog.Field("key", full))
	l.rest(full, knownError{kept: fill.ErrOverdue})
	if ld.Run.Anew {
		return Result{Err: fill.ErrOverdue}
	}
	switch rec, v := l.view.Look(full); v {
	case fill.VerdictServe, fill.VerdictRefresh:
		return Result{Value: rec.Val}
	case fill.VerdictStale, fill.VerdictFallback:
		return Result{Value: rec.Val, Stale: true, Err: fill.ErrOverdue}
	case fill.VerdictMissing:
		return Result{Err: ErrNotFound}
	}
	return Result{Err: fill.ErrOverdue}
}

// held is what a Get of a key that isn't fresh begins with: it returns what can be said without waiting
// for a fill, and counts whether something can. Who asks anew is only told that the last fill has just
// failed.
func (l *Loader) held(full string, anew bool) (res Result, v fill.Verdict, answered bool) {
	now := l.cache.peer.instant()
	var rec delta.Record
	if !anew {
		var garbled bool
		if rec, v, garbled = l.view.Inspect(full, now.Wall); garbled {
			l.figures.Undecodable.Add(1)
		}
	}
	res, answered = l.answer(full, &rec, v, now.Mono)
	if res.Stale {
		l.figures.StaleHits.Add(1)
	}
	if anew && !answered {
		l.figures.Anew.Add(1)
	}
	l.figures.Count(answered && v != fill.VerdictFill)
	return res, v, answered
}

// answer returns what can be said without waiting for a fill.
func (l *Loader) answer(
	full string, rec *delta.Record, v fill.Verdict, now time.Duration,
) (res Result, ok bool) {
	switch v {
	case fill.VerdictServe, fill.VerdictRefresh:
		return Result{Value: rec.Val}, true
	case fill.VerdictMissing:
		l.figures.Missing.Add(1)
		return Result{Err: ErrNotFound}, true
	}
	err, rests := l.failures.Of(now, full, v == fill.VerdictFallback)
	switch {
	case v == fill.VerdictStale, v == fill.VerdictFallback && err != nil:
		return Result{Value: rec.Val, Stale: true, Err: err}, true
	case rests && err != nil && err != ErrFillElsewhere: // who has no old value tries for itself
		return Result{Err: err}, true
	}
	return Result{}, false
}

// counted counts a stale value, and tells of it.
func (l *Loader) counted(ctx context.Context, r Result) Result {
	if r.Stale {
		l.figures.Stale.Add(1)
		l.witness.tell("StaleServed", func(o Observer) {
			o.StaleServed(ctx, StaleInfo{Prefix: l.cfg.Prefix, Err: r.Err})
		})
	}
	return r
}

// rest leaves a key alone for RetryAfter.
func (l *Loader) rest(full string, err knownError) {
	now := l.cache.peer.instant().Mono
	l.failures.Add(now, full, err.kept, err.size, l.cfg.RetryAfter)
}

// recovered forgets how a key's last fill failed.
func (l *Loader) recovered(full string) { l.failures.End(l.cache.peer.instant().Mono, full) }

// unprefixed is the user's name of a key of the cache.
func (l *Loader) unprefixed(full string) string { return full[len(l.cfg.Prefix):] }

// What a Loader makes of an error of a Fill: what it remembers of it, and what OnStale is told.

const (
	errorOverhead = 50      // bytes of an error beside its text
	maxError      = 2 << 10 // what is larger isn't remembered: maxErrorText bytes of its text are
	maxErrorText  = 1 << 10
	maxWrapped    = 20 // errors in one that are looked at; what wraps more is too large
)

// A knownError is what is known of an error of the user's. Its methods are the user's too.
type knownError struct {
	kept error  // what is remembered
	text string // its beginning
	size int    // bytes that are remembered
}

// examine calls the methods of an error, which may panic. Its size is that of its text, and of the texts
// of all that it wraps, as they are kept beside each other; what else an error has can't be seen. One
// that is too large is remembered as the beginning of its text, which is still one of those errors that
// this package or context define, if it was.
func examine(err error) knownError {
	look, failed := contain(func() (knownError, error) {
		text := err.Error()
		look := knownError{kept: err, text: linelog.CutText(text, maxErrorText), size: sizeOf(err)}
		if look.size > maxError {
			short := &shortError{text: look.text}
			for _, is := range wellKnown {
				if errors.Is(err, is) {
					short.is = is
					break
				}
			}
			look.kept, look.size = short, errorOverhead+len(short.text)
		}
		return look, nil
	})
	if failed != nil {
		text := "an error whose methods panic"
		look = knownError{kept: &shortError{text: text}, text: text, size: errorOverhead}
	}
	return look
}

// sizeOf estimates what an error takes, and stops when that is too much.
func sizeOf(err error) int {
	size, todo := 0, []error{err}
	for n := 0; len(todo) > 0; n++ {
		if n == maxWrapped || size > maxError {
			return maxError + 1
		}
		err, todo = todo[0], todo[1:]
		size += errorOverhead + len(err.Error())
		var wrapped []error
		switch x := err.(type) {
		case interface{ Unwrap() error }:
			wrapped = []error{x.Unwrap()}
		case KeyErrors: // not in their order, which takes time
			if len(x) > maxWrapped {
				return maxError + 1
			}
			wrapped = x.Unwrap()
		case interface{ Unwrap() []error }:
			wrapped = x.Unwrap()
		}
		for _, err := range wrapped {
			if err != nil {
				todo = append(todo, err)
			}
		}
	}
	return size
}

// wellKnown are the errors that a shortError may still be.
var wellKnown = []error{
	context.DeadlineExceeded, context.Canceled, ErrFillPanicked, ErrFillAborted, ErrDecode, ErrEncode,
}

// A shortError stands for an error that is too large to be remembered.
type shortError struct {
	text string
	is   error // nil: none that is well known
}

func (e *shortError) Error() string { return e.text }
func (e *shortError) Unwrap() error { return e.is }

// A staleTeller tells OnStale of failures that an old value covers, by a queue: who gets the value
// doesn't wait for it.
type staleTeller struct {
	calls  callqueue.Queue[staleCall]
	missed *atomic.Uint64 // counts those that OnStale was too slow for
}

type staleCall struct {
	key string
	err error
}

const (
	staleQueue      = 1024 // calls that wait for a slow OnStale,
	staleQueueBytes = 4 << 20
	staleOverhead   = 100 // each, beside its key and its error
)

// newStaleTeller returns nil if there is no OnStale.
func newStaleTeller(l *Loader) *staleTeller {
	b, cfg := l.cache, &l.cfg
	onStale := cfg.OnStale
	if onStale == nil {
		return nil
	}
	name := "OnStale"
	if cfg.Prefix != "" {
		name += " of " + linelog.CutText(cfg.Prefix, 100)
	}
	log := b.peer.log
	return &staleTeller{missed: &l.figures.StaleMissed, calls: callqueue.Queue[staleCall]{
		Name: name, Call: func(c staleCall) { onStale(c.key, c.err) },
		Most: staleQueue, MostBytes: staleQueueBytes, Group: &b.calls,
		Panicked: func(value any, stack []byte) {
			log.Errorf(0, "OnStale panicked: %v\n\n%s", linelog.Field("err", value), stack)
		},
	}}
}

// tell has OnStale called, if there is one, with what is remembered of the error.
func (t *staleTeller) tell(key string, err knownError) {
	if t == nil {
		return
	}
	size := staleOverhead + len(key) + err.size
	if !t.calls.Put(staleCall{strings.Clone(key), err.kept}, size, nil) {
		t.missed.Add(1)
	}
}
