package bcache

import (
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

// ask asks for the lease of a load's key.
func (l *Loader) ask(ld *load) *leaseAsk {
	rec, _ := l.cache.store.peek(ld.key)
	_, v := l.look(ld.key)
	p := l.cache.peer
	term := defaultLease
	if l.cfg.FillTimeout > 0 {
		term = l.cfg.FillTimeout + leaseSlack
	}
	return p.replica.askLease(p.instant(), ld.key, rec.version, v != verdictFill, term, ld.stir)
}

// await waits until it is the load's turn to be filled: that is turnGranted or turnAlone. Otherwise it is
// answered: its value has come, or another node's fill has failed, or nobody waits any more.
func (l *Loader) await(ld *load, a *leaseAsk) (turn turnOpcode, res Result, answered bool) {
	p := l.cache.peer
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		turn, wait := p.replica.turnOf(p.instant(), a)
		switch {
		case turn == turnGranted || turn == turnAlone:
			return turn, Result{}, false
		case turn == turnFailed:
			if res, ok := l.failedElsewhere(ld, wait); ok {
				return turn, res, true
			}
			return turnAlone, Result{}, false
		}
		timer.Reset(wait)
		select {
		case <-ld.arrived:
		case <-timer.C:
		case <-ld.run.ctx.Done():
			p.replica.endLease(p.instant(), a, leaseMsg{op: opDeclined})
			return turn, Result{Err: ld.run.err()}, true
		}
		if res, ok := l.found(ld); ok {
			p.replica.endLease(p.instant(), a, leaseMsg{op: opDeclined})
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

// endLease tells what has become of a load that had its turn.
func (l *Loader) endLease(ld *load) {
	if ld.lease != nil {
		p := l.cache.peer
		p.replica.endLease(p.instant(), ld.lease, ld.outcome)
	}
}
