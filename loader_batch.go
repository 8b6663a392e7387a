package bcache

import (
	"context"
	"slices"
	"time"
)

// A loadBatch are the loads of one run, at most BatchSize. One goroutine waits for all of them, and
// they are filled together as soon as it is their turn. Those whose turn comes while a FillMany runs
// are filled by the next one.
type loadBatch struct {
	loader  *Loader
	run     *run
	arrived chan struct{} // that of all its loads
	waiting []*batchKey   // that aren't being filled
}

// A batchKey is a key's fill, and what the batch has last seen of it.
type batchKey struct {
	*keyFill
	ready bool          // it is its turn
	heard bool          // of its lease
	again time.Duration // when to look at it again
}

func newLoadBatch(ctx context.Context, l *Loader, background bool) *loadBatch {
	return &loadBatch{loader: l, run: newRun(ctx, background), arrived: make(chan struct{}, 1)}
}

// join has the caller wait for the load of a key, which is the batch's if it is new.
func (b *loadBatch) join(full string) *load {
	ld, isNew := b.loader.cache.loads.join(full, b.loader.view.layout, b.run, b.arrived)
	if isNew {
		b.add(ld)
	}
	return ld
}

// add makes a load of the batch's run one of the batch.
func (b *loadBatch) add(ld *load) {
	b.waiting = append(b.waiting, &batchKey{keyFill: newKeyFill(b.loader, ld)})
}

// start has the batch's loads done.
func (b *loadBatch) start() {
	if len(b.waiting) > 0 {
		go b.work()
	}
}

// work does the batch's loads.
func (b *loadBatch) work() {
	if len(b.waiting) == 1 {
		b.waiting[0].work()
		return
	}
	slots := b.loader.slots
	has := false // a slot
	defer func() {
		endAll(b.waiting, Result{Err: ErrFillAborted}) // a Codec has called runtime.Goexit
		if has {
			slots.exit()
		}
	}()
	var filling chan struct{}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		s := b.sift(has)
		if s.wants() && !has && filling == nil && slots.tryEnter() {
			if has = true; s.unasked > 0 {
				continue
			}
		}
		switch {
		case !has:
			b.decline()
		case s.heard && len(s.ready) > 0:
			b.waiting = slices.DeleteFunc(b.waiting, func(k *batchKey) bool { return k.ready })
			filling = make(chan struct{})
			has = false // it is the filling one's
			go func(filled chan struct{}) {
				defer close(filled)
				defer slots.exit()
				b.fill(s.ready)
			}(filling)
		case s.heard: // all wait for others
			slots.exit()
			has = false
		}
		if len(b.waiting) == 0 {
			return
		}
		var free chan struct{}
		if s.wants() && !has && filling == nil {
			if free = slots; b.run.background {
				b.run.close(ErrClosed)
			}
		}
		timer.Reset(s.wait)
		select {
		case free <- struct{}{}:
			has = true
		case <-b.arrived:
		case <-timer.C:
		case <-filling:
			filling = nil
		case <-b.run.ctx.Done():
			endAll(b.waiting, Result{Err: b.run.err()})
			b.waiting = nil
			return
		}
	}
}

// endAll ends those that haven't ended.
func endAll(keys []*batchKey, res Result) {
	for _, k := range keys {
		if !k.ended {
			k.end(res)
		}
	}
}

// What a look at a batch shows.
type sifted struct {
	ready   []*batchKey   // it is their turn
	unasked int           // those that may ask for their leases once there is a slot
	heard   bool          // something was heard about all that have asked
	wait    time.Duration // when to look again at the latest
}

// wants reports whether something can be done with a slot.
func (s *sifted) wants() bool { return len(s.ready)+s.unasked > 0 }

// sift looks at the keys about which there may be something new, and ends those that are answered.
// Leases are asked for by who has a slot, and may fill.
func (b *loadBatch) sift(has bool) sifted {
	now := b.loader.cache.peer.instant().mono
	s := sifted{heard: true, wait: leaseAgain}
	b.waiting = slices.DeleteFunc(b.waiting, func(k *batchKey) bool {
		if k.isStirred() || !k.ready && (now >= k.again || has && !k.claim.asked) {
			if res, answered := k.glance(now, has); answered {
				k.end(res)
				return true
			}
		}
		switch {
		case k.ready:
			s.ready = append(s.ready, k)
		case !k.claim.asked && k.hasPlace():
			s.unasked++
		default:
			s.heard = s.heard && k.heard
			s.wait = min(s.wait, max(k.again-now, 0))
		}
		return false
	})
	return s
}

// decline leaves the leases of those whose turn it is to others: there is no slot.
func (b *loadBatch) decline() {
	for _, k := range b.waiting {
		if k.ready && k.claim.lease != nil {
			k.claim.decline()
			k.ready = k.claim.asked
		}
	}
}

// glance is await for one of a batch: it says whether it is the key's turn, or it is answered, without
// waiting for that.
func (k *batchKey) glance(now time.Duration, has bool) (res Result, answered bool) {
	k.again = now + leaseAgain
	if k.heard = true; !k.hasPlace() {
		return Result{}, false
	}
	if k.claim.asked || k.ready {
		if res, ok := k.found(); ok {
			return res, true
		}
	}
	switch {
	case k.ready, !k.claim.asked && !has:
		return Result{}, false
	case !k.loader.cfg.ClusterWide:
		k.claim.asked, k.ready = true, true
		return Result{}, false
	}
	k.ask()
	switch turn, wait := k.turn(); turn {
	case leaseGranted, leaseAlone:
		k.ready = true
	case leaseFailed:
		if res, ok := k.failedElsewhere(wait); ok {
			return res, true
		}
		k.ready = true
	default:
		k.heard = turn != leaseUnheard
		k.again = now + wait
	}
	return Result{}, false
}

// fill does those whose turn it is by one call of FillMany.
func (b *loadBatch) fill(ready []*batchKey) {
	defer endAll(ready, Result{Err: ErrFillAborted}) // if a Codec calls runtime.Goexit
	l := b.loader
	var missing []*keyFill
	var keys []string
	for _, k := range ready {
		if res, ok := k.found(); ok {
			k.end(res)
			continue
		}
		missing = append(missing, k.keyFill)
		keys = append(keys, l.unprefixed(k.key))
	}
	if len(missing) == 0 {
		return
	}
	beginAll(missing...)
	ctx, cancel := b.run.fillContext(l.cfg.FillTimeout)
	defer cancel()
	got, err := contain(func() ([]brought, error) {
		values, err := l.cfg.FillMany(ctx, slices.Clone(keys))
		got := make([]brought, len(keys))
		for i, key := range keys {
			got[i] = newBrought(pick(values, err, key))
		}
		return got, nil
	})
	for i, k := range missing {
		if err != nil {
			k.end(k.settle(brought{err: err}))
		} else {
			k.end(k.settle(got[i]))
		}
	}
}
