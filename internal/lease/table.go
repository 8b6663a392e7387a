package lease

import (
	"container/list"
	"slices"
	"strings"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/wire"
)

const (
	maxLeases = 1 << 15 // of this node: as many as a bulk of GetManys may ask for at once
	maxWaits  = 1 << 16 // waiters of all leases

	// maxTurns is how many turns a node has at a time for one key: a write has a node begin
	// another fill, while those before it go on.
	maxTurns = 4

	// maxHolders is how many fill a key at a time, where holders seem to hang, or a write came.
	maxHolders = 3

	// linger is for how long it is remembered that a key was filled: that may be heard
	// before its value.
	linger = time.Second
)

// A Table has the leases that this node grants. Its caller has the lock.
type Table struct {
	byKey   map[string]*lease
	idle    *list.List // the leases without a holder, the one that has been so for longest first
	waiting int        // waiters of all leases
	Granted uint64     // leases so far
	Closed  bool       // it grants none any more

	// tell sends an answer. It may be for this node, which then may ask something else before tell
	// returns: what is known of the lease must be complete.
	tell func(now delta.Instant, peer uint64, m wire.TurnMsg)
}

func newLeaseTable() *Table {
	return &Table{byKey: map[string]*lease{}, idle: list.New()}
}

// Hear deals with what a node says about a lease.
func (t *Table) Hear(now delta.Instant, from uint64, m wire.LeaseMsg) {
	if m.Op == wire.OpWant || m.Op == wire.OpWantOld {
		t.want(now, from, m)
		return
	}
	l, who := t.byKey[m.Key], Asker{from, m.ID}
	switch {
	case l == nil:
	case l.holder(who) != nil:
		t.endTry(now, l, who, m)
		t.settle(now, l)
	default: // it waits, or its lease has run out
		for _, w := range t.leaveQueue(l, who) {
			if h := l.holder(w.after); m.Late && now.Mono-h.Since >= Reach {
				h.suspect = true
			}
		}
	}
}

// want gives a fill the lease, or a place in the queue, or says why not.
func (t *Table) want(now delta.Instant, from uint64, m wire.LeaseMsg) {
	who := Asker{from, m.ID}
	l := t.open(m.Key)
	if l == nil {
		t.answer(now, who, wire.TurnMsg{Op: wire.TurnAlone, Full: !t.Closed})
		return
	}
	defer t.settle(now, l)
	waits := l.waits(who)
	if t.failTries(now, l, overdueAt(now)); waits && !l.waits(who) {
		return // it was told just now
	}
	w := waiter{Asker: who, old: m.Op == wire.OpWantOld, term: delta.Ms(m.Term)}
	own, h := l.holder(who), l.current()
	// Of a node's own fills the later one began after a write, or after a caller gave the earlier one
	// up.
	over := h != nil && (h.suspect || h.Peer == from && !waits) && len(l.holders) < maxHolders
	switch {
	case own != nil: // it asks again: what it was told was lost
		term := delta.ToMs(own.Until - now.Mono)
		t.answer(now, who, wire.TurnMsg{Op: wire.TurnGranted, Key: l.key, Term: term})
	case l.hasFilled(now, m):
		t.leaveQueue(l, who)
		t.answer(now, who, wire.TurnMsg{Op: wire.TurnFilled})
	case h != nil && !over:
		t.wait(now, l, w)
	case h == nil && w.old && now.Mono < l.failedUntil:
		t.answer(now, who, wire.TurnMsg{Op: wire.TurnFailed, Term: delta.ToMs(l.failedUntil - now.Mono)})
	case !waits && l.turnsOf(from) >= maxTurns:
		t.answer(now, who, wire.TurnMsg{Op: wire.TurnAlone})
	default:
		t.leaveQueue(l, who)
		t.grant(now, l, w)
	}
}

// wait has a fill wait for who has the lease.
func (t *Table) wait(now delta.Instant, l *lease, w waiter) {
	i := slices.IndexFunc(l.queue, func(o waiter) bool { return o.Asker == w.Asker })
	switch {
	case i >= 0:
		w = l.queue[i]
	case l.turnsOf(w.Peer) >= maxTurns:
		t.answer(now, w.Asker, wire.TurnMsg{Op: wire.TurnAlone})
		return
	case t.waiting >= maxWaits:
		t.answer(now, w.Asker, wire.TurnMsg{Op: wire.TurnAlone, Full: true})
		return
	default:
		w.after = l.current().Asker
		t.enqueue(l, w)
	}
	again := min(l.holder(w.after).Until-now.Mono, Again)
	t.answer(now, w.Asker, wire.TurnMsg{Op: wire.TurnWait, Term: delta.ToMs(again)})
}

// open returns the lease of a key. At the bound one without a holder makes room for it; if there is
// none, it is nil.
func (t *Table) open(key string) *lease {
	l := t.byKey[key]
	if l != nil || t.Closed {
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
func (t *Table) settle(now delta.Instant, l *lease) {
	switch {
	case t.byKey[l.key] != l: // it is forgotten
	case len(l.holders) > 0:
		if l.idle != nil {
			t.idle.Remove(l.idle)
			l.idle = nil
		}
	case now.Mono >= l.filledUntil && now.Mono >= l.failedUntil:
		t.drop(l)
	case l.idle == nil:
		l.idle = t.idle.PushBack(l)
	}
}

func (t *Table) drop(l *lease) {
	delete(t.byKey, l.key)
	if l.idle != nil {
		t.idle.Remove(l.idle)
	}
}

// Left ends, in steps, what a node was doing that is gone.
func (t *Table) Left(now delta.Instant, peer uint64) func(yield func() bool) {
	return t.each(func(l *lease) bool { return l.turnsOf(peer) > 0 }, func(l *lease) {
		t.dequeue(l, func(w *waiter) bool { return w.Peer == peer })
		t.failTries(now, l, func(h Holder) bool { return h.Peer == peer })
		t.settle(now, l)
	})
}

// Tick ends, in steps, what has run out, and forgets what says nothing any more.
func (t *Table) Tick(now delta.Instant) func(yield func() bool) {
	overdue := overdueAt(now)
	over := func(l *lease) bool { return l.idle != nil || slices.ContainsFunc(l.holders, overdue) }
	return t.each(over, func(l *lease) {
		t.failTries(now, l, overdue)
		t.settle(now, l)
	})
}

// each does something for the leases that are wanted now, by key, and are still there when their turn
// comes.
func (t *Table) each(wanted func(*lease) bool, do func(*lease)) func(yield func() bool) {
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

// Holder returns who has the lease of a key.
func (t *Table) Holder(key string) (h Holder, ok bool) {
	l := t.byKey[key]
	if l == nil || l.current() == nil {
		return Holder{}, false
	}
	return *l.current(), true
}

// Len is how many leases are granted or remembered; waiting, how many turns wait for them.
func (t *Table) Len() (leases, waiting int) {
	return len(t.byKey), t.waiting
}
