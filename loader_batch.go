package bcache

import (
	"context"
	"slices"
	"time"

	"github.com/iwanbk/bcache/internal/fill"
	"github.com/iwanbk/bcache/internal/lease"
)

// A loadBatch is the loads of one run, at most BatchSize. One goroutine waits for all their turns, and
// calls FillMany for those whose turn has come; those whose turn comes while it runs are filled by the
// next call.
type loadBatch struct {
	loader  *Loader
	run     *fill.Run
	arrived chan struct{} // that of all its loads
	waiting []*batchKey   // that aren't being filled
}

// A batchKey is a key's fill, and what the batch has last seen of it.
type batchKey struct {
	*keyFill
	ready bool          // its turn has come
	heard bool          // its lease was asked for and there is an answer, or none is needed
	again time.Duration // when to look at it again
}

func newLoadBatch(ctx context.Context, l *Loader, background bool) *loadBatch {
	return &loadBatch{loader: l, run: fill.NewRun(ctx, background), arrived: make(chan struct{}, 1)}
}

// join has the caller wait for the load of a key, which is the batch's if it is new.
func (b *loadBatch) join(full string) *fill.Load {
	ld, isNew := b.loader.cache.loads.Join(full, b.loader.view.Layout, b.run, b.arrived)
	if isNew {
		b.add(ld)
	}
	return ld
}

// add makes a load, which is of the batch's run, one of the batch.
func (b *loadBatch) add(ld *fill.Load) {
	b.waiting = append(b.waiting, &batchKey{keyFill: newKeyFill(b.loader, ld)})
}

// start fills the batch's loads on a goroutine of its own.
func (b *loadBatch) start() {
	if len(b.waiting) > 0 {
		go b.work()
	}
}

// work fills the batch's loads, and returns when all have ended.
func (b *loadBatch) work() {
	if len(b.waiting) == 1 {
		b.waiting[0].work()
		return
	}
	slots := b.loader.slots
	hasSlot := false
	defer func() {
		if hasSlot {
			slots.exit()
		}
	}()
	// A Codec, or an Observer, has called runtime.Goexit.
	defer func() { endAll(b.waiting, Result{Err: ErrFillAborted}) }()
	var filling chan struct{}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		s := b.sift(hasSlot)
		if s.wants() && !hasSlot && filling == nil && slots.tryEnter() {
			if hasSlot = true; s.unasked > 0 {
				continue
			}
		}
		switch {
		case !hasSlot:
			b.decline()
		case s.heard && len(s.ready) > 0:
			b.waiting = slices.DeleteFunc(b.waiting, func(k *batchKey) bool { return k.ready })
			filling = make(chan struct{})
			hasSlot = false // it is the slot of the FillMany now
			go func(filled chan struct{}) {
				defer close(filled)
				defer slots.exit()
				b.fill(s.ready)
			}(filling)
		case s.heard: // all wait for other nodes
			slots.exit()
			hasSlot = false
		}
		if len(b.waiting) == 0 {
			return
		}
		var free chan struct{}
		if s.wants() && !hasSlot && filling == nil {
			if free = slots; b.run.Background {
				b.run.Close(ErrClosed)
			}
		}
		timer.Reset(s.wait)
		select {
		case free <- struct{}{}:
			hasSlot = true
		case <-b.arrived:
		case <-timer.C:
		case <-filling:
			filling = nil
		case <-b.run.Ctx.Done():
			endAll(b.waiting, Result{Err: b.run.Err()})
			b.waiting = nil
			return
		}
	}
}

// endAll ends those that haven't ended.
func endAll(keys []*batchKey, res Result) {
	for _, k := range keys {
		if !k.ended {
			defer k.end(res) // of each, also if an Observer calls runtime.Goexit
		}
	}
}

// sifted is what a look at a batch shows.
type sifted struct {
	ready   []*batchKey   // whose turn has come
	unasked int           // how many may ask for their leases once there is a slot
	heard   bool          // all that have asked for a lease have an answer
	wait    time.Duration // when to look again at the latest
}

// wants reports whether something can be done with a slot.
func (s *sifted) wants() bool { return len(s.ready)+s.unasked > 0 }

// sift looks at the keys about which there may be something new, and ends those whose values have come.
// It asks for leases only if the batch has a slot, and so may fill.
func (b *loadBatch) sift(hasSlot bool) sifted {
	now := b.loader.cache.peer.instant().Mono
	s := sifted{heard: true, wait: lease.Again}
	b.waiting = slices.DeleteFunc(b.waiting, func(k *batchKey) bool {
		if k.IsStirred() || !k.ready && (now >= k.again || hasSlot && !k.claim.asked) {
			if res, answered := k.glance(now, hasSlot); answered {
				k.end(res)
				return true
			}
		}
		switch {
		case k.ready:
			s.ready = append(s.ready, k)
		case !k.claim.asked && k.HasPlace():
			s.unasked++
		default:
			s.heard = s.heard && k.heard
			s.wait = min(s.wait, max(k.again-now, 0))
		}
		return false
	})
	return s
}

// decline gives back the leases of the keys whose turn has come: there is no slot.
func (b *loadBatch) decline() {
	for _, k := range b.waiting {
		if k.ready && k.claim.lease != nil {
			k.claim.decline()
			k.ready = k.claim.asked
		}
	}
}

// glance is await without waiting: it notes whether the key's turn has come, and returns the value if
// that has come instead.
func (k *batchKey) glance(now time.Duration, hasSlot bool) (res Result, answered bool) {
	k.again = now + lease.Again
	if k.heard = true; !k.HasPlace() {
		return Result{}, false
	}
	if k.claim.asked || k.ready {
		if res, ok := k.found(); ok {
			return res, true
		}
	}
	switch {
	case k.ready, !k.claim.asked && !hasSlot:
		return Result{}, false
	case !k.loader.cfg.ClusterWide, k.Run.Anew:
		k.claim.asked, k.ready = true, true
		return Result{}, false
	}
	k.ask()
	switch turn, wait := k.turn(); turn {
	case lease.Granted, lease.Alone:
		k.ready = true
	case lease.Failed:
		if res, ok := k.failedElsewhere(wait); ok {
			return res, true
		}
		k.ready = true
	default:
		k.heard = turn != lease.Unheard
		k.again = now + wait
	}
	return Result{}, false
}

// fill fills the keys whose turn has come by one call of FillMany.
func (b *loadBatch) fill(ready []*batchKey) {
	defer endAll(ready, Result{Err: ErrFillAborted}) // if a Codec or an Observer calls runtime.Goexit
	l := b.loader
	var missing []*keyFill
	var keys []string
	for _, k := range ready {
		if res, ok := k.found(); ok {
			k.end(res)
			continue
		}
		missing = append(missing, k.keyFill)
		keys = append(keys, l.unprefixed(k.Key))
	}
	if len(missing) == 0 {
		return
	}
	call := beginAll(missing...)
	ctx, cancel := b.run.FillContext(l.cfg.FillTimeout)
	defer cancel()
	defer call.end()
	got, err := contain(func() ([]brought, error) {
		values, err := l.cfg.FillMany(call.begin(ctx), slices.Clone(keys))
		call.err = err
		got := make([]brought, len(keys))
		for i, key := range keys {
			got[i] = newBrought(pick(values, err, key))
		}
		return got, nil
	})
	if err != nil {
		call.err = err
	}
	results := make([]Result, len(missing))
	for i, k := range missing {
		if err != nil {
			results[i] = k.settle(brought{err: err})
		} else {
			results[i] = k.settle(got[i])
		}
	}
	call.end()
	for i, k := range missing {
		k.end(results[i])
	}
}
