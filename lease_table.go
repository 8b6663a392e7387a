package bcache

import (
	"container/list"
	"slices"
	"strings"
	"time"
)

const (
	maxLeases     = 1 << 15 // of this node: as many as a bulk of GetManys may ask for at once
	maxLeaseWaits = 1 << 16 // waiters of all leases

	// maxLeaseTurns is how many turns a node has at a time for one key: a write has a node begin
	// another fill, while those before it go on.
	maxLeaseTurns = 4

	// maxLeaseHolders is how many fill a key at a time, where holders seem to hang, or a write came.
	maxLeaseHolders = 3

	// leaseLinger is for how long it is remembered that a key was filled: that may be heard
	// before its value.
	leaseLinger = time.Second
)

// A leaseTable has the leases that this node grants. Its caller has the lock.
type leaseTable struct {
	byKey   map[string]*lease
	idle    *list.List // the leases without a holder, the one that has been so for longest first
	waiting int        // waiters of all leases
	granted uint64     // leases so far
	closed  bool       // it grants none any more

	// tell sends an answer. It may be for this node, which then may ask something else before tell
	// returns: what is known of the lease must be complete.
	tell func(now instant, peer uint64, m turnMsg)
}

func newLeaseTable() *leaseTable {
	return &leaseTable{byKey: map[string]*lease{}, idle: list.New()}
}

// hear deals with what a node says about a lease.
func (t *leaseTable) hear(now instant, from uint64, m leaseMsg) {
	if m.op == opWant || m.op == opWantOld {
		t.want(now, from, m)
		return
	}
	l, who := t.byKey[m.key], leaseAsker{from, m.id}
	switch {
	case l == nil:
	case l.holder(who) != nil:
		t.endTry(now, l, who, m)
		t.settle(now, l)
	default: // it waits, or its lease has run out
		for _, w := range t.leaveQueue(l, who) {
			if h := l.holder(w.after); m.late && now.mono-h.since >= leaseReach {
				h.suspect = true
			}
		}
	}
}

// want gives a fill the lease, or a place in the queue, or says why not.
func (t *leaseTable) want(now instant, from uint64, m leaseMsg) {
	who := leaseAsker{from, m.id}
	l := t.open(m.key)
	if l == nil {
		t.answer(now, who, turnMsg{op: turnAlone, full: !t.closed})
		return
	}
	defer t.settle(now, l)
	waits := l.waits(who)
	if t.failTries(now, l, overdueAt(now)); waits && !l.waits(who) {
		return // it was told just now
	}
	w := leaseWaiter{leaseAsker: who, old: m.op == opWantOld, term: ms(m.term)}
	own, h := l.holder(who), l.current()
	// Of a node's own fills the later one began after a write, or after a caller gave the earlier one
	// up.
	over := h != nil && (h.suspect || h.peer == from && !waits) && len(l.holders) < maxLeaseHolders
	switch {
	case own != nil: // it asks again: what it was told was lost
		t.answer(now, who, turnMsg{op: turnGranted, key: l.key, term: toMs(own.until - now.mono)})
	case l.hasFilled(now, m):
		t.leaveQueue(l, who)
		t.answer(now, who, turnMsg{op: turnFilled})
	case h != nil && !over:
		t.wait(now, l, w)
	case h == nil && w.old && now.mono < l.failedUntil:
		t.answer(now, who, turnMsg{op: turnFailed, term: toMs(l.failedUntil - now.mono)})
	case !waits && l.turnsOf(from) >= maxLeaseTurns:
		t.answer(now, who, turnMsg{op: turnAlone})
	default:
		t.leaveQueue(l, who)
		t.grant(now, l, w)
	}
}

// wait has a fill wait for who has the lease.
func (t *leaseTable) wait(now instant, l *lease, w leaseWaiter) {
	i := slices.IndexFunc(l.queue, func(o leaseWaiter) bool { return o.leaseAsker == w.leaseAsker })
	switch {
	case i >= 0:
		w = l.queue[i]
	case l.turnsOf(w.peer) >= maxLeaseTurns:
		t.answer(now, w.leaseAsker, turnMsg{op: turnAlone})
		return
	case t.waiting >= maxLeaseWaits:
		t.answer(now, w.leaseAsker, turnMsg{op: turnAlone, full: true})
		return
	default:
		w.after = l.current().leaseAsker
		t.enqueue(l, w)
	}
	again := min(l.holder(w.after).until-now.mono, leaseAgain)
	t.answer(now, w.leaseAsker, turnMsg{op: turnWait, term: toMs(again)})
}

// open returns the lease of a key. At the bound one without a holder makes room for it; if there is
// none, it is nil.
func (t *leaseTable) open(key string) *lease {
	l := t.byKey[key]
	if l != nil || t.closed {
		return l
	}
	if len(t.byKey) >= maxLeases {
		longest := t.idle.Front()
		if longest == nil {
			return nil
		}
		t.drop(longest.Value.(*lease))
	}
	l = &lease{key: strings.Clone(key)}
	t.byKey[l.key] = l
	return l
}

// settle notes that a lease has no holder any more, or has one again, and forgets a lease that says
// nothing.
func (t *leaseTable) settle(now instant, l *lease) {
	switch {
	case t.byKey[l.key] != l: // it is forgotten
	case len(l.holders) > 0:
		if l.idle != nil {
			t.idle.Remove(l.idle)
			l.idle = nil
		}
	case now.mono >= l.filledUntil && now.mono >= l.failedUntil:
		t.drop(l)
	case l.idle == nil:
		l.idle = t.idle.PushBack(l)
	}
}

func (t *leaseTable) drop(l *lease) {
	delete(t.byKey, l.key)
	if l.idle != nil {
		t.idle.Remove(l.idle)
	}
}

// left ends, in steps, what a node was doing that is gone.
func (t *leaseTable) left(now instant, peer uint64) func(yield func() bool) {
	return t.each(func(l *lease) bool { return l.turnsOf(peer) > 0 }, func(l *lease) {
		t.dequeue(l, func(w *leaseWaiter) bool { return w.peer == peer })
		t.failTries(now, l, func(h leaseHolder) bool { return h.peer == peer })
		t.settle(now, l)
	})
}

// tick ends, in steps, what has run out, and forgets what says nothing any more.
func (t *leaseTable) tick(now instant) func(yield func() bool) {
	overdue := overdueAt(now)
	over := func(l *lease) bool { return l.idle != nil || slices.ContainsFunc(l.holders, overdue) }
	return t.each(over, func(l *lease) {
		t.failTries(now, l, overdue)
		t.settle(now, l)
	})
}

// each does something for the leases that are wanted now, by key, and are still there when their turn
// comes.
func (t *leaseTable) each(wanted func(*lease) bool, do func(*lease)) func(yield func() bool) {
	var keys []string
	for key, l := range t.byKey {
		if wanted(l) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return inSteps(keys, func(key string) {
		if l := t.byKey[key]; l != nil {
			do(l)
		}
	})
}
