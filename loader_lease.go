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
	if res, answered = l.slot(ld); answered || !l.cfg.ClusterWide {
		return res, answered
	}
	has, admitted := true, false // a slot; and it is the caller's
	defer func() {
		if has && !admitted { // also if a Codec has called runtime.Goexit
			l.exit()
		}
	}()
	l.ask(ld)
	for {
		turn, res, answered := l.await(ld, has)
		switch {
		case answered:
			return res, true
		case turn == leaseWait:
			if has {
				l.exit()
			}
			has = false
			continue
		case has || l.tryEnter():
			has, admitted = true, true
			return Result{}, false
		}
		l.decline(ld)
		if res, answered := l.slot(ld); answered {
			return res, true
		}
		has = true
		l.ask(ld)
	}
}

// ask asks for the lease of a load's key, unless it is asked for.
func (l *Loader) ask(ld *load) {
	p := l.cache.peer
	switch {
	case ld.asked:
	case ld.lease == nil:
		_, v := l.look(ld.key)
		term := defaultLease
		if l.cfg.FillTimeout > 0 {
			term = l.cfg.FillTimeout + leaseSlack
		}
		ld.lease = p.replica.askLease(p.instant(), ld.key, v != verdictFill, term, ld.stir)
	default:
		p.replica.askLeaseAgain(p.instant(), ld.lease)
	}
	ld.asked = true
}

// decline leaves the lease that a load was granted to who doesn't queue for a slot.
func (l *Loader) decline(ld *load) {
	p := l.cache.peer
	ld.asked = !p.replica.declineLease(p.instant(), ld.lease)
}

// turn is turnOf of a load's lease. If a caller has waited until a deadline, what is waited for may
// hang.
func (l *Loader) turn(ld *load) (leaseTurn, time.Duration) {
	p := l.cache.peer
	now := p.instant()
	if ld.late.Swap(false) {
		p.replica.suspectLease(now, ld.lease)
	}
	return p.replica.turnOf(now, ld.lease)
}

// await waits until it is the load's turn to be filled: that is leaseGranted or leaseAlone. Otherwise it
// is answered: its value has come, or another node's fill has failed, or nobody waits any more. With
// glance it returns leaseWait if others are to be waited for.
func (l *Loader) await(ld *load, glance bool) (turn leaseTurn, res Result, answered bool) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		turn, wait := l.turn(ld)
		switch {
		case turn == leaseGranted || turn == leaseAlone:
			return turn, Result{}, false
		case turn == leaseFailed:
			if res, ok := l.failedElsewhere(ld, wait); ok {
				return turn, res, true
			}
			return leaseAlone, Result{}, false
		case turn == leaseWait && glance:
			return turn, Result{}, false
		}
		timer.Reset(wait)
		select {
		case <-ld.arrived:
		case <-timer.C:
		case <-ld.run.ctx.Done():
			return turn, Result{Err: ld.run.err()}, true
		}
		if res, ok := l.found(ld); ok {
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
			l.failures.add(now, ld.key, lookedAt{kept: ErrFillElsewhere}, wait)
			return Result{Value: rec.val, Stale: true, Err: ErrFillElsewhere}, true
		case verdictRefresh, verdictServe:
			l.failures.add(now, ld.key, lookedAt{kept: ErrFillElsewhere}, wait)
			return Result{Value: rec.val}, true
		}
		return Result{}, false
	})
}

// endLease tells what has become of a load that has asked for its turn.
func (l *Loader) endLease(ld *load) {
	if ld.lease == nil {
		return
	}
	o := ld.outcome
	o.late = o.end == tryDeclined && errors.Is(context.Cause(ld.run.ctx), context.DeadlineExceeded)
	p := l.cache.peer
	p.replica.endLease(p.instant(), ld.lease, o)
}
