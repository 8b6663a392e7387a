package bcache

import (
	"context"
	"runtime/debug"
	"time"

	"github.com/iwanbk/bcache/internal/fill"
	"github.com/iwanbk/bcache/internal/linelog"
)

// An Observer is told what a [Loader] does beside serving hits, of which it isn't told: they cost what
// they cost without one. See LoaderConfig.Observer. Embed [NoObserver] in yours, so that it still
// compiles when a later version of bcache adds a method.
//
// The methods are called at once, by the goroutine that does what they are about, so several of them
// may run at a time. That goroutine waits for them, and who waits for the fill does too: they must
// return soon. No lock is held. A panic in a method is logged, and changes nothing else. Fills that
// still run after Close tell of their end. docs/callbacks.md says what the methods may call.
type Observer interface {
	// FillBegun is called right before a Fill or a FillMany is. The context that it returns is what the
	// Fill gets; it must be ctx, or be derived from it. ctx has the values of the caller that came first,
	// and of a fill in the background those of the caller whose hit began it.
	FillBegun(ctx context.Context, f FillInfo) context.Context

	// FillEnded is called when what the Fill returned is cached, or it is known that it won't be. ctx is
	// what FillBegun returned; it may have ended.
	FillEnded(ctx context.Context, r FillResult)

	// StaleServed is called when a value is returned after its deadline, once for each caller and key. ctx
	// is the caller's.
	StaleServed(ctx context.Context, s StaleInfo)

	// LeaseWaited is called when a fill of a ClusterWide Loader needn't wait for the lease of its key any
	// more, even if it hardly had to. ctx is as that of FillBegun.
	LeaseWaited(ctx context.Context, w LeaseWait)
}

// NoObserver is an [Observer] that does nothing.
type NoObserver struct{}

// FillBegun returns ctx.
func (NoObserver) FillBegun(ctx context.Context, _ FillInfo) context.Context { return ctx }

// FillEnded does nothing.
func (NoObserver) FillEnded(context.Context, FillResult) {}

// StaleServed does nothing.
func (NoObserver) StaleServed(context.Context, StaleInfo) {}

// LeaseWaited does nothing.
func (NoObserver) LeaseWaited(context.Context, LeaseWait) {}

// FillInfo describes a call of a Fill, or of a FillMany.
type FillInfo struct {
	Prefix string // that of the Loader
	Keys   int    // how many keys are filled: 1, or more by a FillMany
	Cause  FillCause
}

// FillResult says how such a call has ended.
type FillResult struct {
	FillInfo
	Took     time.Duration       // from the call until what it returned was dealt with
	Outcomes map[FillOutcome]int // of how many keys; together they are Keys
	Err      error               // what the Fill or the FillMany returned, or that it panicked
}

// StaleInfo describes a value that is returned after its deadline.
type StaleInfo struct {
	Prefix string
	Err    error // how the last fill failed; nil if it didn't
}

// LeaseWait describes a wait for the lease of a key.
type LeaseWait struct {
	Prefix     string // that of the Loader
	Background bool   // the fill runs in the background: nobody waited when it began
	Took       time.Duration
	End        LeaseEnd
}

// FillCause says why a fill was begun.
type FillCause uint8

const (
	FillForeground = FillCause(fill.Foreground) // a caller waits
	FillRefresh    = FillCause(fill.Refresh)    // it runs in the background: nobody waited when it began
	// a caller waits, and this node has the lease: it fills for all nodes. A FillMany has it for one of its
	// keys at least; LoaderStats counts each key by itself.
	FillLease = FillCause(fill.Lease)
)

// String returns foreground, refresh or lease.
func (c FillCause) String() string { return nameOf(int(c), "foreground", "refresh", "lease") }

// FillOutcome says how the fill of a key has ended.
type FillOutcome uint8

const (
	FillFailed      = FillOutcome(fill.Failed)      // the Fill returned an error, or panicked
	FillFound       = FillOutcome(fill.Found)       // its value is cached on all nodes
	FillProvisional = FillOutcome(fill.Provisional) // it is cached without a version: see docs/fills.md
	FillNotFound    = FillOutcome(fill.NotFound)    // there is no value
	FillRefused     = FillOutcome(fill.Refused)     // it isn't cached: something newer may be known
	FillUncached    = FillOutcome(fill.Uncached)    // its value isn't to be cached: its TTL is negative
	FillTooLarge    = FillOutcome(fill.TooLarge)    // its value can't be cached
	FillAbandoned   = FillOutcome(fill.Abandoned)   // it was cancelled, as nobody waited any more
	FillLocal       = FillOutcome(fill.Local)       // its value is cached on this node, see LocalValues
)

// String returns failed, found, provisional, not_found, refused, uncached, too_large, abandoned or local.
func (o FillOutcome) String() string {
	return nameOf(int(o), "failed", "found", "provisional", "not_found", "refused", "uncached", "too_large",
		"abandoned", "local")
}

// LeaseEnd says with what a wait for a lease has ended.
type LeaseEnd uint8

const (
	LeaseAbandoned = LeaseEnd(fill.WaitAbandoned) // nobody waited any more
	LeaseGranted   = LeaseEnd(fill.WaitGranted)   // this node has it
	LeaseMissed    = LeaseEnd(fill.WaitAlone)     // none was to be had: this node fills without
	LeaseFilled    = LeaseEnd(fill.WaitFilled)    // the value came meanwhile
	LeaseFailed    = LeaseEnd(fill.WaitFailed)    // the fill of the node that had it failed
)

// String returns abandoned, granted, missed, filled or failed.
func (e LeaseEnd) String() string {
	return nameOf(int(e), "abandoned", "granted", "missed", "filled", "failed")
}

func nameOf(i int, names ...string) string {
	if i < len(names) {
		return names[i]
	}
	return "unknown"
}

// A witness calls an Observer, if there is one.
type witness struct {
	observer Observer // nil: there is none
	log      *linelog.Log
}

// tell calls a method of the Observer.
func (w *witness) tell(method string, call func(Observer)) {
	if w.observer == nil {
		return
	}
	defer func() {
		if value := recover(); value != nil {
			w.log.Errorf(0, method+" of an Observer panicked: %v\n\n%s", value, debug.Stack())
		}
	}()
	call(w.observer)
}

// A fillCall is one call of a Fill or a FillMany: what is measured of it, and told of it.
type fillCall struct {
	loader *Loader
	fills  []*keyFill
	info   FillInfo
	began  time.Duration
	ctx    context.Context // what FillBegun returned
	err    error           // what the Fill returned
	ended  bool
}

// newFillCall counts a call that is about to be made, which fills some keys of one run.
func newFillCall(fills []*keyFill) *fillCall {
	l := fills[0].loader
	var begun [fill.NumCauses]int
	for _, k := range fills {
		switch {
		case k.Run.Background:
			begun[fill.Refresh]++
		case k.claim.granted:
			begun[fill.Lease]++
		default:
			begun[fill.Foreground]++
		}
	}
	l.figures.Begin(&begun)
	why := fill.Foreground
	for _, other := range []fill.Cause{fill.Lease, fill.Refresh} {
		if begun[other] > 0 {
			why = other
		}
	}
	return &fillCall{
		loader: l, fills: fills, began: l.cache.peer.instant().Mono,
		info: FillInfo{Prefix: l.cfg.Prefix, Keys: len(fills), Cause: FillCause(why)},
	}
}

// begin tells of it, and that its keys don't wait for leases any more, and returns the context for the
// Fill. It runs where the Fill will: what an Observer does there concerns this fill alone.
func (c *fillCall) begin(ctx context.Context) context.Context {
	for _, k := range c.fills {
		k.tellWait()
	}
	c.ctx = ctx
	c.loader.witness.tell("FillBegun", func(o Observer) {
		if derived := o.FillBegun(ctx, c.info); derived != nil {
			c.ctx = derived
		}
	})
	return c.ctx
}

// end counts how it has ended, and tells of it, once.
func (c *fillCall) end() {
	if c.ended {
		return
	}
	c.ended = true
	l := c.loader
	took := l.cache.peer.instant().Mono - c.began
	var outcomes [fill.NumOutcomes]int
	for _, k := range c.fills {
		if outcomes[k.outcome]++; k.outcome == fill.Refused {
			l.cache.fillKeys.Refused(k.Key)
		}
	}
	l.figures.End(took, &outcomes)
	l.cache.fillKeys.Took(c.began+took, c.fills[0].Key, took)
	if c.ctx == nil {
		return // it ended before it was told of
	}
	l.witness.tell("FillEnded", func(o Observer) {
		r := FillResult{FillInfo: c.info, Took: took, Outcomes: map[FillOutcome]int{}, Err: c.err}
		for outcome, n := range outcomes {
			if n > 0 {
				r.Outcomes[FillOutcome(outcome)] = n
			}
		}
		o.FillEnded(c.ctx, r)
	})
}
