package bcache

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A run is one piece of work of a Loader: that for a key, or for those of a GetMany. It lasts as long
// as somebody waits.
type run struct {
	ctx    context.Context // has the values of the first caller, and ends when nobody waits
	cancel context.CancelCauseFunc

	background bool // nobody has to wait

	mu      sync.Mutex
	loads   int // that haven't ended
	waiters int
	closed  bool
	latest  time.Time // of the deadlines of those who have waited
	endless bool      // somebody had none
	ended   bool
}

func newRun(ctx context.Context, background bool) *run {
	r := &run{background: background}
	r.ctx, r.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	return r
}

// join counts a caller with this context in. It can't join a run that was given up.
func (r *run) join(ctx context.Context) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return false
	}
	r.waiters++
	if d, ok := ctx.Deadline(); !ok {
		r.endless = true
	} else if d.After(r.latest) {
		r.latest = d
	}
	return true
}

// leave counts a caller out: its context has ended, or it has what it waited for.
func (r *run) leave(why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiters--; r.waiters == 0 && (!r.background || r.closed) {
		r.endLocked(why)
	}
}

// close ends the run when nobody waits, be it in the background.
func (r *run) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed = true; r.waiters == 0 {
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

func (r *run) alive() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.ended
}

// err is why it has ended.
func (r *run) err() error { return waitersContext{r.ctx, r}.Err() }

// deadline is the latest one of those who have waited, if all have one.
func (r *run) deadline() (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.endless || r.background {
		return time.Time{}, false
	}
	return r.latest, true
}

// fillContext returns the context of a fill that begins now.
func (r *run) fillContext(timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout > 0 {
		return context.WithTimeout(r.ctx, timeout)
	}
	return waitersContext{r.ctx, r}, func() {}
}

// A waitersContext ends with the last of those who wait, for the reason for which that one's did.
// It is no other goroutine's business: whatever is derived from it finds the context in it.
type waitersContext struct {
	context.Context
	run *run
}

func (c waitersContext) Deadline() (time.Time, bool) { return c.run.deadline() }

func (c waitersContext) Err() error {
	err := c.Context.Err()
	if err != nil && errors.Is(context.Cause(c.Context), context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return err
}
