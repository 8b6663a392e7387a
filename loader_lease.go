package bcache

import (
	"context"
	"errors"
	"time"
)

// ErrFillElsewhere is why a value is stale, see Result.Err, if it was another node's fill that failed.
var ErrFillElsewhere = errors.New("bcache: the fill failed on another node")

// defaultLease is for how long a lease is wanted if FillTimeout is none: a fill that takes
// longer may be done twice.
const defaultLease = 10 * time.Second

// leaseSlack is what a fill takes beside its FillTimeout.
const leaseSlack = 100 * time.Millisecond

// admit waits until a load may be filled: for a slot, and then for its lease, so that no node sits on a
// lease while it queues. While others have the lease it leaves the slot to other keys. Then either it
// has a slot, or it is answered: its value has come, or another node's fill has failed, or nobody waits
// any more.
func (l *Loader) admit(ld *load) (res Result, answered bool) {
	has := false // a slot
	if ld.lease == nil {
		if res, answered = l.slot(ld); answered {
			return res, true
		}
		has = true
		l.askFor(ld)
	}
	for {
		turn, res, answered := l.await(ld, has)
		switch {
		case answered || turn == turnWait:
			if has {
				l.exit()
			}
			if has = false; answered {
				return res, true
			}
			continue
		case has || l.tryEnter():
			return Result{}, false
		}
		granted := turn == turnGranted
		if granted {
			l.decline(ld)
		}
		if res, answered = l.slot(ld); answered {
			return res, true
		}
		if has = true; granted {
			l.askFor(ld)
		}
	}
}

// slot waits for a slot, unless the load is answered meanwhile. If nobody waits for it, it takes one
// that is free, or gives up: a later hit will try again.
func (l *Loader) slot(ld *load) (res Result, answered bool) {
	if l.tryEnter() {
		return Result{}, false
	}
	if ld.run.background {
		ld.run.close()
	}
	for {
		select {
		case l.slots <- struct{}{}:
			return Result{}, false
		case <-ld.arrived:
			if res, ok := l.found(ld); ok {
				return res, true
			}
		case <-ld.run.ctx.Done():
			return Result{Err: ld.run.err()}, true
		}
	}
}

func (l *Loader) tryEnter() bool {
	if l.slots == nil {
		return true
	}
	select {
	case l.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

// decline leaves the lease to somebody who has a slot.
func (l *Loader) decline(ld *load) {
	p := l.cache.peer
	p.replica.endLease(p.instant(), ld.lease, leaseMsg{op: opDeclined})
}

// askFor asks for the lease of a load's key, for the first time or again.
func (l *Loader) askFor(ld *load) {
	p := l.cache.peer
	if ld.lease != nil {
		p.replica.askLeaseAgain(p.instant(), ld.lease)
		return
	}
	rec, _ := l.cache.store.peek(ld.key)
	_, v := l.look(ld.key)
	term := defaultLease
	if l.cfg.FillTimeout > 0 {
		term = l.cfg.FillTimeout + leaseSlack
	}
	ld.lease = p.replica.askLease(p.instant(), ld.key, rec.version, v != verdictFill, term, ld.stir)
}

// turn is turnOf of a load's lease. If a caller has waited until a deadline, what is waited for may hang.
func (l *Loader) turn(ld *load) (turnOpcode, time.Duration) {
	p := l.cache.peer
	now := p.instant()
	if ld.late.Swap(false) {
		p.replica.suspectLease(now, ld.lease)
	}
	return p.replica.turnOf(now, ld.lease)
}

// await waits until it is the load's turn to be filled: that is turnGranted or turnAlone. Otherwise it is
// answered: its value has come, or another node's fill has failed, or nobody waits any more.
// With glance it returns turnWait if others are to be waited for.
func (l *Loader) await(ld *load, glance bool) (turn turnOpcode, res Result, answered bool) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		turn, wait := l.turn(ld)
		switch {
		case turn == turnGranted || turn == turnAlone:
			return turn, Result{}, false
		case turn == turnFailed:
			if res, ok := l.failedElsewhere(ld, wait); ok {
				return turn, res, true
			}
			return turnAlone, Result{}, false
		case turn == turnWait && glance:
			return turn, Result{}, false
		}
		timer.Reset(wait)
		select {
		case <-ld.arrived:
		case <-timer.C:
		case <-ld.run.ctx.Done():
			l.endLease(ld)
			return turn, Result{Err: ld.run.err()}, true
		}
		if res, ok := l.found(ld); ok {
			l.endLease(ld)
			return turn, res, true
		}
	}
}

// failedElsewhere falls back on the old value, and leaves the key alone for as long as others
// do.
func (l *Loader) failedElsewhere(ld *load, wait time.Duration) (Result, bool) {
	now := l.cache.peer.instant().mono
	return l.cache.loads.lookUp(ld, func() (Result, bool) {
		switch rec, v := l.look(ld.key); v {
		case verdictStale, verdictFallback:
			l.failures.add(now, ld.key, ErrFillElsewhere, wait)
			return Result{Value: rec.val, Stale: true, Err: ErrFillElsewhere}, true
		case verdictRefresh, verdictServe:
			l.failures.add(now, ld.key, ErrFillElsewhere, wait)
			return Result{Value: rec.val}, true
		}
		return Result{}, false
	})
}

// kept notes for the other nodes that they are offered what the key has now, unless it stands beside a value
// that they can read.
func (ld *load) kept() {
	ld.outcome = leaseMsg{op: opUncached, offered: !ld.beside}
}

// endLease tells what has become of a load that has asked for its turn.
func (l *Loader) endLease(ld *load) {
	if ld.lease == nil {
		return
	}
	m := ld.outcome
	late := errors.Is(context.Cause(ld.run.ctx), context.DeadlineExceeded)
	m.late = m.op == opDeclined && late
	p := l.cache.peer
	p.replica.endLease(p.instant(), ld.lease, m)
}
