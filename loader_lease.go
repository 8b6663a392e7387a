package bcache

import (
	"errors"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/fill"
	"github.com/iwanbk/bcache/internal/lease"
)

// What a fill waits for before its Fill is called: a slot of MaxConcurrent, and with ClusterWide, the
// lease of its key.

// ErrFillElsewhere is why a value is stale, in Result.Err, if it was another node's fill that failed.
var ErrFillElsewhere = errors.New("bcache: the fill failed on another node")

// defaultLease is for how long a lease is wanted if FillTimeout is none: a fill that takes
// longer may be done twice.
const defaultLease = 10 * time.Second

// slots bound how many fills of a Loader run: each has a token in the channel. nil is no bound.
type slots chan struct{}

func newSlots(n int) slots {
	if n == 0 {
		return nil
	}
	return make(slots, n)
}

// tryEnter takes a slot that is free.
func (s slots) tryEnter() bool {
	if s == nil {
		return true
	}
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s slots) exit() {
	if s != nil {
		<-s
	}
}

func (s slots) full() bool { return s != nil && len(s) == cap(s) }

// slot waits for a slot, unless the value comes meanwhile. A fill in the background that finds no free
// slot, and that nobody has joined, gives up: a later hit will try again.
func (k *keyFill) slot() (res Result, answered bool) {
	slots := k.loader.slots
	if slots.tryEnter() {
		return Result{}, false
	}
	if k.Run.Background {
		k.Run.Close(ErrClosed)
	}
	for {
		select {
		case slots <- struct{}{}:
			return Result{}, false
		case <-k.Arrived:
			if res, ok := k.found(); ok {
				return res, true
			}
		case <-k.Run.Ctx.Done():
			return Result{Err: k.Run.Err()}, true
		}
	}
}

// admit waits until the Fill may be called: for a slot, and then for the lease, so that no node sits on
// a lease while it queues. While another node has the lease, the slot is left to other keys. In the end
// either the fill has a slot, or it is answered: the value has come, or another node's fill has failed,
// or nobody waits any more. What is asked anew can't be answered by another node's fill, which may have
// begun before: it needs no lease.
func (k *keyFill) admit() (res Result, answered bool) {
	slots := k.loader.slots
	if res, answered = k.slot(); answered || !k.loader.cfg.ClusterWide || k.Run.Anew {
		return res, answered
	}
	hasSlot, admitted := true, false // and whether the slot is the caller's
	defer func() {
		if hasSlot && !admitted { // also if a Codec has called runtime.Goexit
			slots.exit()
		}
	}()
	k.ask()
	for {
		turn, res, answered := k.await(hasSlot)
		switch {
		case answered:
			return res, true
		case turn == lease.Wait:
			if hasSlot {
				slots.exit()
			}
			hasSlot = false
			continue
		case hasSlot || slots.tryEnter():
			hasSlot, admitted = true, true
			return Result{}, false
		}
		k.claim.decline()
		if res, answered := k.slot(); answered {
			return res, true
		}
		hasSlot = true
		k.ask()
	}
}

// await waits until it is the fill's turn, with a lease or without: Granted or Alone.
// Otherwise the fill is answered: the value has come, or another node's fill has failed, or nobody waits
// any more. With glance it returns Wait as soon as another node has the lease.
func (k *keyFill) await(glance bool) (turn lease.Turn, res Result, answered bool) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		turn, wait := k.turn()
		switch {
		case turn == lease.Granted || turn == lease.Alone:
			return turn, Result{}, false
		case turn == lease.Failed:
			if res, ok := k.failedElsewhere(wait); ok {
				return turn, res, true
			}
			return lease.Alone, Result{}, false
		case turn == lease.Wait && glance:
			return turn, Result{}, false
		}
		timer.Reset(wait)
		select {
		case <-k.Arrived:
		case <-timer.C:
		case <-k.Run.Ctx.Done():
			return turn, Result{Err: k.Run.Err()}, true
		}
		if res, ok := k.found(); ok {
			return turn, res, true
		}
	}
}

// ask asks for the lease, unless it is asked for.
func (k *keyFill) ask() {
	switch {
	case k.claim.asked:
	case k.claim.lease != nil:
		k.claim.wantAgain()
	default:
		_, v := k.loader.view.Look(k.Key)
		term := defaultLease
		if timeout := k.loader.cfg.FillTimeout; timeout > 0 {
			term = timeout + fill.FillSlack
		}
		k.claim.want(k.Key, v != fill.VerdictFill, term, k.Stir)
	}
}

// turn is claim.turn. The holder of the lease may hang if a caller has waited for it until a deadline.
func (k *keyFill) turn() (lease.Turn, time.Duration) { return k.claim.turn(k.IsLate()) }

// failedElsewhere falls back on the old value, and leaves the key alone for as long as others
// do.
func (k *keyFill) failedElsewhere(wait time.Duration) (res Result, ok bool) {
	l := k.loader
	now := l.cache.peer.instant().Mono
	ok = l.cache.loads.LookUp(k.Load, func() bool {
		rec, v := l.view.Look(k.Key)
		switch v {
		case fill.VerdictStale, fill.VerdictFallback:
			res = Result{Value: rec.Val, Stale: true, Err: ErrFillElsewhere}
		case fill.VerdictRefresh, fill.VerdictServe:
			res = Result{Value: rec.Val}
		default:
			return false
		}
		k.Brings(rec.Tags)
		l.failures.Add(now, k.Key, ErrFillElsewhere, 0, wait)
		k.claim.ends = fill.WaitFailed
		return true
	})
	return res, ok
}

// endWait counts that the fill doesn't wait for a lease any more, if it has asked for one: its Fill is
// about to be called, or it needn't be.
func (k *keyFill) endWait(fills bool) {
	c := &k.claim
	switch {
	case c.lease == nil || c.waited:
		return
	case fills && c.granted:
		c.ends = fill.WaitGranted
	case fills:
		c.ends = fill.WaitAlone
	}
	c.waited, c.took = true, c.peer.instant().Mono-c.since
	k.loader.figures.EndWait(c.took, c.ends)
}

// tellWait tells of that, once.
func (k *keyFill) tellWait() {
	c, l := &k.claim, k.loader
	if !c.waited || c.told {
		return
	}
	c.told = true
	l.witness.tell("LeaseWaited", func(o Observer) {
		o.LeaseWaited(k.Run.Ctx, LeaseWait{
			Prefix: l.cfg.Prefix, Background: k.Run.Background, Took: c.took, End: LeaseEnd(c.ends),
		})
	})
}

// A claim is a fill's claim to the lease of its key.
type claim struct {
	peer    *peer
	lease   *lease.Ask    // nil: it hasn't asked for one
	asked   bool          // it has, or it is alone
	outcome lease.Outcome // what is said of the fill in the end

	since   time.Duration // when it asked first
	granted bool          // when turn was called last
	ends    fill.WaitEnd  // with what the wait ends, as far as is known
	waited  bool          // it has ended,
	took    time.Duration // after so long,
	told    bool          // and the Observer was told
}

func newClaim(p *peer) claim { return claim{peer: p} }

// want asks for the lease; old means that there is an old value to serve if others fail. wake is called
// when turn has something new to say.
func (c *claim) want(key string, old bool, term time.Duration, wake func()) {
	now := c.peer.instant()
	c.lease, c.since = c.peer.replica.Leases.Ask(now, key, old, term, wake), now.Mono
	c.asked = true
}

// wantAgain asks for the same after decline.
func (c *claim) wantAgain() {
	c.peer.replica.Leases.AskAgain(c.peer.instant(), c.lease)
	c.asked = true
}

// decline gives the lease back, as there is no slot: another node may have one.
func (c *claim) decline() { c.asked = !c.peer.replica.Leases.Decline(c.peer.instant(), c.lease) }

// turn says whether it is the fill's turn, and when to look again. With suspect the node that grants the
// lease is told that the holder may hang.
func (c *claim) turn(suspect bool) (lease.Turn, time.Duration) {
	now := c.peer.instant()
	if suspect {
		c.peer.replica.Leases.Suspect(now, c.lease)
	}
	turn, wait := c.peer.replica.Leases.TurnOf(now, c.lease)
	c.granted = turn == lease.Granted
	return turn, wait
}

// filled, uncached and failed note how the fill ends, for end to tell the other nodes. A fill that notes
// nothing is declined.

// filled: the key has this record now.
func (c *claim) filled(rec *delta.Record) {
	if rec.Provisional { // the other nodes were offered it when it was kept
		c.outcome = lease.Outcome{}
		return
	}
	c.outcome = lease.Outcome{End: lease.TryFilled, Stamp: rec.Stamp, Deadline: rec.Deadline}
}

// uncached: other nodes don't get the value, unless they were offered it.
func (c *claim) uncached(offered bool) {
	c.outcome = lease.Outcome{End: lease.TryUncached}
	if offered {
		c.outcome.End = lease.TryOffered
	}
}

// failed: the key is better left alone for a time.
func (c *claim) failed(rest time.Duration) {
	c.outcome = lease.Outcome{End: lease.TryFailed, Retry: rest}
}

// end tells the other nodes how the fill has ended, if it has asked for a lease. late means that its
// last waiter left at a deadline.
func (c *claim) end(late bool) {
	if c.lease == nil {
		return
	}
	o := c.outcome
	o.Late = late && o.End == lease.TryDeclined
	c.peer.replica.Leases.End(c.peer.instant(), c.lease, o)
}
