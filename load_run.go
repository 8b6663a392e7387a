package bcache

import (
	"context"
	"errors"
	"sync"
	"time"
)

// giveUpAfter is for how long a fill has run when a caller whose deadline comes gives it up. A deadline
// that is shorter says nothing about the query.
const giveUpAfter = 100 * time.Millisecond

// A run is one piece of work of a Loader: that for a key, or for some of a GetMany. It lasts as long
// as somebody waits.
//
// Its context is cancelled when nobody waits, and from then on nobody joins it. So nobody ever waits for
// a run whose context was cancelled because others had left.
type run struct {
	ctx    context.Context // has the values of the first caller, and ends when nobody waits
	cancel context.CancelCauseFunc

	background bool // it was begun for nobody: it goes on as long as nobody has waited

	mu      sync.Mutex
	loads   int // that haven't ended
	waiters int
	began   time.Time // its first Fill; zero = not yet
	givenUp bool      // nobody may join any more, but those who wait still may
	ended   bool
}

func newRun(ctx context.Context, background bool) *run {
	r := &run{background: background}
	r.ctx, r.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	return r
}

// join counts a caller in. It can't join a run that has ended or was given up.
func (r *run) join() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended || r.givenUp {
		return false
	}
	r.waiters++
	return true
}

// leave counts a caller out: its context has ended, or it has what it waited for. It reports whether
// that has given up the run.
func (r *run) leave(why error) (gaveUp bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if errors.Is(why, context.DeadlineExceeded) && r.lastedLocked() && !r.givenUp {
		r.givenUp, gaveUp = true, true
	}
	if r.waiters--; r.waiters == 0 {
		r.endLocked(why)
	}
	return gaveUp
}

// lastedLocked reports whether it has been given the time that a query takes. Waiting for its turn
// doesn't count: who begins anew would wait for the same.
func (r *run) lastedLocked() bool { return !r.began.IsZero() && time.Since(r.began) >= giveUpAfter }

// begin notes that a Fill is called.
func (r *run) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.began.IsZero() {
		r.began = time.Now()
	}
}

// close ends the run if nobody waits, be it in the background.
func (r *run) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiters == 0 {
		r.endLocked(ErrClosed)
	}
}

// add and done count its loads. When the last one has ended, so has what was derived from its
// context.
func (r *run) add() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.loads++
}

func (r *run) done() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.loads--; r.loads == 0 {
		r.endLocked(context.Canceled)
	}
}

func (r *run) endLocked(why error) {
	r.ended = true
	r.cancel(why)
}

// joinable reports whether join would succeed.
func (r *run) joinable() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.ended && !r.givenUp
}

// err is not nil when it has ended.
func (r *run) err() error { return r.ctx.Err() }

// fillContext returns the context of a fill that begins now. A timeout that isn't positive is none.
func (r *run) fillContext(timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout > 0 {
		return context.WithTimeout(r.ctx, timeout)
	}
	return r.ctx, func() {}
}
