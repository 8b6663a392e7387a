package bcache

import (
	"context"
	"sync"
	"sync/atomic"
)

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
		if _, rests := l.failures.Of(now, key, false); !rests && !l.cache.loads.Runs(key, l.view.layout) {
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
			if ld := l.cache.loads.Background(key, l.view.layout, b.run, b.arrived); ld != nil {
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
