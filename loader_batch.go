package bcache

import (
	"context"
	"slices"
	"sync"
	"time"
)

// What is done for many keys at once: loads that FillMany does together, and fills in the background.

// A loadBatch are the loads of one run, at most BatchSize. One goroutine waits for all of them, and
// they are filled together as soon as it is their turn. Those whose turn comes while a FillMany runs
// are filled by the next one.
type loadBatch struct {
	run     *run
	arrived chan struct{} // that of all its loads
	waiting []*load       // that aren't being filled
}

func newLoadBatch(ctx context.Context, background bool) *loadBatch {
	return &loadBatch{run: newRun(ctx, background), arrived: make(chan struct{}, 1)}
}

// join has the caller wait for the load of a key, which is the batch's if it is new.
func (b *loadBatch) join(l *Loader, full string) *load {
	ld, isNew := l.cache.loads.join(full, l.layout, b.run, b.arrived)
	if isNew {
		b.waiting = append(b.waiting, ld)
	}
	return ld
}

// start has the batch's loads done.
func (b *loadBatch) start(l *Loader) {
	if len(b.waiting) > 0 {
		go b.work(l)
	}
}

// work does the batch's loads.
func (b *loadBatch) work(l *Loader) {
	if len(b.waiting) == 1 {
		l.work(b.waiting[0])
		return
	}
	has := false // a slot
	defer func() {
		for _, ld := range b.waiting { // a Codec has called runtime.Goexit
			if !ld.ended {
				l.end(ld, Result{Err: ErrFillAborted})
			}
		}
		if has {
			l.exit()
		}
	}()
	var filling chan struct{}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		s := b.sift(l, has)
		if s.wants() && !has && filling == nil && l.tryEnter() {
			if has = true; s.unasked > 0 {
				continue
			}
		}
		switch {
		case !has:
			b.decline(l)
		case s.heard && len(s.ready) > 0:
			b.waiting = slices.DeleteFunc(b.waiting, func(ld *load) bool { return ld.ready })
			filling = make(chan struct{})
			has = false // it is the filling one's
			go func(filled chan struct{}) {
				defer close(filled)
				defer l.exit()
				l.fillMany(s.ready)
			}(filling)
		case s.heard: // all wait for others
			l.exit()
			has = false
		}
		if len(b.waiting) == 0 {
			return
		}
		var slots chan struct{}
		if s.wants() && !has && filling == nil {
			if slots = l.slots; b.run.background {
				b.run.close()
			}
		}
		timer.Reset(s.wait)
		select {
		case slots <- struct{}{}:
			has = true
		case <-b.arrived:
		case <-timer.C:
		case <-filling:
			filling = nil
		case <-b.run.ctx.Done():
			for _, ld := range b.waiting {
				l.end(ld, Result{Err: b.run.err()})
			}
			b.waiting = nil
			return
		}
	}
}

// What a look at a batch shows.
type sifted struct {
	ready   []*load       // it is their turn
	unasked int           // those that may ask for their leases once there is a slot
	heard   bool          // something was heard about all that have asked
	wait    time.Duration // when to look again at the latest
}

// wants reports whether something can be done with a slot.
func (s *sifted) wants() bool { return len(s.ready)+s.unasked > 0 }

// sift looks at the loads about which there may be something new, and ends those that are answered.
// Leases are asked for by who has a slot, and may fill.
func (b *loadBatch) sift(l *Loader, has bool) sifted {
	now := l.cache.peer.instant().mono
	s := sifted{heard: true, wait: leaseAgain}
	b.waiting = slices.DeleteFunc(b.waiting, func(ld *load) bool {
		if ld.stirred.Swap(false) || !ld.ready && (now >= ld.again || has && !ld.asked) {
			if res, answered := l.glance(ld, now, has); answered {
				l.end(ld, res)
				return true
			}
		}
		switch {
		case ld.ready:
			s.ready = append(s.ready, ld)
		case !ld.asked && ld.placed.Load():
			s.unasked++
		default:
			s.heard = s.heard && ld.heard
			s.wait = min(s.wait, max(ld.again-now, 0))
		}
		return false
	})
	return s
}

// decline leaves the leases of those whose turn it is to others: there is no slot.
func (b *loadBatch) decline(l *Loader) {
	for _, ld := range b.waiting {
		if ld.ready && ld.lease != nil {
			l.decline(ld)
			ld.ready = ld.asked
		}
	}
}

// glance is await for one of a batch: it says whether it is the load's turn, or it is answered, without
// waiting for that.
func (l *Loader) glance(ld *load, now time.Duration, has bool) (res Result, answered bool) {
	ld.again = now + leaseAgain
	if ld.heard = true; !ld.placed.Load() {
		return Result{}, false
	}
	if ld.asked || ld.ready {
		if res, ok := l.found(ld); ok {
			return res, true
		}
	}
	switch {
	case ld.ready, !ld.asked && !has:
		return Result{}, false
	case !l.cfg.ClusterWide:
		ld.asked, ld.ready = true, true
		return Result{}, false
	}
	l.ask(ld)
	switch turn, wait := l.turn(ld); turn {
	case leaseGranted, leaseAlone:
		ld.ready = true
	case leaseFailed:
		if res, ok := l.failedElsewhere(ld, wait); ok {
			return res, true
		}
		ld.ready = true
	default:
		ld.heard = turn != leaseUnheard
		ld.again = now + wait
	}
	return Result{}, false
}

// fillMany does loads of a run, whose turn it is, by one call of FillMany.
func (l *Loader) fillMany(lds []*load) {
	res := Result{Err: ErrFillAborted} // if a Codec calls runtime.Goexit
	defer func() {
		for _, ld := range lds {
			if !ld.ended {
				l.end(ld, res)
			}
		}
	}()
	r := lds[0].run
	var missing []*load
	var keys []string
	for _, ld := range lds {
		if res, ok := l.found(ld); ok {
			l.end(ld, res)
			continue
		}
		missing = append(missing, ld)
		keys = append(keys, ld.key[len(l.cfg.Prefix):])
	}
	if len(missing) == 0 {
		return
	}
	l.begin(r, missing...)
	ctx, cancel := r.fillContext(l.cfg.FillTimeout)
	defer cancel()
	got, err := contain(func() ([]brought, error) {
		values, err := l.cfg.FillMany(ctx, slices.Clone(keys))
		got := make([]brought, len(keys))
		for i, key := range keys {
			got[i] = newBrought(pick(values, err, key))
		}
		return got, nil
	})
	for i, ld := range missing {
		if err != nil {
			l.end(ld, l.settle(ld, brought{err: err}))
		} else {
			l.end(ld, l.settle(ld, got[i]))
		}
	}
}

// refresh starts fills of keys in the background, without those that are being filled or have
// just failed, and only if a slot is free: a later hit will try again. The bounds are those of GetMany.
func (l *Loader) refresh(ctx context.Context, full ...string) {
	if l.slots != nil && len(l.slots) == cap(l.slots) || l.cache.closed.Load() {
		return
	}
	now := l.cache.peer.instant().mono
	var due []string
	for _, key := range full {
		if _, rests := l.failures.of(now, key, false); !rests && !l.cache.loads.runs(key, l.layout) {
			due = append(due, key)
		}
	}
	if len(due) > 0 {
		l.refreshDue(ctx, due)
	}
}

func (l *Loader) refreshDue(ctx context.Context, full []string) {
	size, workers := 1, min(maxFillsOfMany, len(full))
	if l.cfg.FillMany != nil {
		size, workers = l.cfg.BatchSize, 1
	}
	// Those of all GetManys together are bounded: a later hit will try again.
	done := func() {}
	if len(full) > 1 {
		done = func() { l.refreshers.Add(-1) }
	}
	keys := &cursor{keys: full}
	for range workers {
		if len(full) > 1 && l.refreshers.Add(1) > maxFillsOfMany {
			done()
			return
		}
		b := l.nextBatch(ctx, keys, size)
		if b == nil {
			done()
			return
		}
		go func() {
			defer done()
			for ; b != nil; b = l.nextBatch(ctx, keys, size) {
				b.work(l)
				<-b.run.ctx.Done()
			}
		}()
	}
}

// nextBatch makes loads for nobody; nil if none is to be made any more.
func (l *Loader) nextBatch(ctx context.Context, keys *cursor, size int) *loadBatch {
	for taken := keys.take(size); len(taken) > 0 && !l.cache.closed.Load(); taken = keys.take(size) {
		b := newLoadBatch(ctx, true)
		for _, key := range taken {
			if ld := l.cache.loads.background(key, l.layout, b.run, b.arrived); ld != nil {
				b.waiting = append(b.waiting, ld)
			}
		}
		if l.cache.closed.Load() { // meanwhile; if it comes later, Close finds them
			b.run.close()
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
