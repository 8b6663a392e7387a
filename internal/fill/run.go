package fill

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// ErrOverdue is what those get who wait for a Fill that ignores its context.
var ErrOverdue = fmt.Errorf("bcache: a Fill goes on after its FillTimeout: %w", context.DeadlineExceeded)

// GiveUpAfter is for how long a caller has waited whose deadline gives a fill up. A shorter deadline
// says nothing about the query, but for one that has run ten times as long.
const GiveUpAfter = 100 * time.Millisecond

// FillSlack is what a fill takes beside its FillTimeout.
const FillSlack = 100 * time.Millisecond

// A Run is one piece of work of a Loader: that for a key, or for some of a GetMany. It lasts as long
// as somebody waits.
//
// Its context is cancelled when nobody waits, and from then on nobody joins it. So nobody ever waits for
// a run whose context was cancelled because others had left.
type Run struct {
	Ctx    context.Context // has the values of the first caller, and ends when nobody waits
	cancel context.CancelCauseFunc
	parent *Run // whose Fill has asked for it; nil: none

	Background bool // it was begun for nobody: it goes on as long as nobody has waited
	Anew       bool // for callers to whom nothing may be served that was there before they came

	mu      sync.Mutex
	size    int // how many loads it has had
	loads   int // that haven't ended
	waiters int
	began   time.Time     // its first Fill; zero = not yet
	limit   time.Duration // of a Fill; 0 = none
	givenUp bool          // by a caller of one of its loads
	ended   bool
}

// runKey is the key of a run in its context.
type runKey struct{}

func NewRun(ctx context.Context, background bool) *Run {
	r := &Run{Background: background}
	if !background {
		r.parent, _ = ctx.Value(runKey{}).(*Run)
	}
	r.Ctx, r.cancel = context.WithCancelCause(context.WithValue(context.WithoutCancel(ctx), runKey{}, r))
	return r
}

// within reports whether a Fill of another run waits for this one, maybe by others in between.
func (r *Run) within(other *Run) bool {
	for r != nil && r != other {
		r = r.parent
	}
	return r != nil
}

// join counts a caller in. It can't join a run that has ended, or ignores that it should.
func (r *Run) join() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended || r.overdueLocked() {
		return false
	}
	r.waiters++
	return true
}

// leave counts a caller out: its context has ended, or it has what it waited for. The run ends with its
// last caller, unless it is to be spared, or fills other keys in the background and wasn't given up.
func (r *Run) leave(why error, spare bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiters--
	if r.waiters == 0 && !(spare && r.givenUp) && (!r.Background || r.givenUp || r.size == 1) {
		r.endLocked(why)
	}
}

// giveUp notes that a caller's deadline has come. It reports whether that says something about the Fill,
// and whether this is the first such caller.
func (r *Run) giveUp(waited time.Duration) (gaveUp, isFirst bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.lastedLocked(GiveUpAfter) || waited < GiveUpAfter && !r.lastedLocked(10*GiveUpAfter) {
		return false, false
	}
	isFirst = !r.givenUp
	r.givenUp = true
	return true, isFirst
}

// lastedLocked reports whether the Fill has run for so long. Waiting for its turn doesn't count: a new
// load would wait for the same.
func (r *Run) lastedLocked(d time.Duration) bool {
	return !r.began.IsZero() && time.Since(r.began) >= d
}

// overdueLocked reports whether its Fill ignores that its FillTimeout has come.
func (r *Run) overdueLocked() bool { return r.limit > 0 && r.lastedLocked(r.limit+FillSlack) }

// begin notes that a Fill is called.
func (r *Run) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.began.IsZero() {
		r.began = time.Now()
	}
}

// overdue ends a run that is overdue, for those who wait.
func (r *Run) overdue() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiters > 0 && r.overdueLocked() {
		r.endLocked(ErrOverdue)
	}
}

// Close ends the run if nobody waits, be it in the background.
func (r *Run) Close(why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiters == 0 {
		r.endLocked(why)
	}
}

// waited reports whether somebody waits for it.
func (r *Run) waited() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.waiters > 0
}

// closeGivenUp ends a run that was given up, if nobody waits for it.
func (r *Run) closeGivenUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.givenUp && r.waiters == 0 {
		r.endLocked(context.DeadlineExceeded)
	}
}

// add and done count its loads. When the last one has ended, so has what was derived from its
// context.
func (r *Run) add() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.size++
	r.loads++
}

func (r *Run) done() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.loads--; r.loads == 0 {
		r.endLocked(context.Canceled)
	}
}

func (r *Run) endLocked(why error) {
	r.ended = true
	r.cancel(why)
}

// joinable reports whether join would succeed.
func (r *Run) joinable() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.ended && !r.overdueLocked()
}

// Err says why the run has ended; nil if it hasn't.
func (r *Run) Err() error {
	if context.Cause(r.Ctx) == ErrOverdue {
		return ErrOverdue
	}
	return r.Ctx.Err()
}

// FillContext returns the context of a fill that begins now. A timeout that isn't positive is none.
func (r *Run) FillContext(timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout > 0 {
		r.mu.Lock()
		r.limit, r.began = timeout, time.Now() // the latest FillMany's
		r.mu.Unlock()
		ctx, cancel := context.WithTimeout(r.Ctx, timeout)
		late := time.AfterFunc(timeout+FillSlack, r.overdue)
		return ctx, func() { late.Stop(); cancel() }
	}
	return r.Ctx, func() {}
}
