package lease

import (
	"slices"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/wire"
)

// A try is a fill that holds a lease. How it begins and ends, and who is told so.

// grant gives the lease to a fill that isn't in the queue any more.
func (t *Table) grant(now delta.Instant, l *lease, w waiter) {
	h := Holder{Asker: w.Asker, Since: now.Mono, Until: now.Mono + w.term}
	l.holders = append(l.holders, h)
	t.Granted++
	t.answer(now, w.Asker, wire.TurnMsg{Op: wire.TurnGranted, Key: l.key, Term: delta.ToMs(w.term)})
}

// endTry deals with what a holder says of the end of its try: so ends the wait of those who waited for
// that.
func (t *Table) endTry(now delta.Instant, l *lease, who Asker, m wire.LeaseMsg) {
	switch {
	case m.Op == wire.OpFilled:
		l.failedUntil = 0
		l.filled, l.deadline, l.filledUntil = m.Stamp, m.Wall, now.Mono+linger
		t.answerAll(now, t.endHolder(l, who), wire.TurnMsg{Op: wire.TurnFilled})
	case m.Op == wire.OpUncached && m.Offered:
		l.failedUntil = 0
		t.answerAll(now, t.endHolder(l, who), wire.TurnMsg{Op: wire.TurnFilled, Offered: true})
	case m.Op == wire.OpUncached:
		l.failedUntil = 0
		t.answerAll(now, t.endHolder(l, who), wire.TurnMsg{Op: wire.TurnAlone})
	case m.Op == wire.OpFailed:
		l.failedUntil = now.Mono + delta.Ms(m.Term)
		t.failTry(now, l, who, m.Term)
	case now.Mono-l.holder(who).Since >= Reach: // who waits for it has waited for a try
		t.failTry(now, l, who, 0)
	default:
		t.passOn(now, l, who)
	}
}

// failTry ends a try that has failed, or of which nothing will be heard. A waiter that has an old value
// is content with that. Of the others the first one gets the lease, for those who come later to wait
// for; the rest have waited enough, and fill for themselves.
func (t *Table) failTry(now delta.Instant, l *lease, who Asker, term uint64) {
	waited := t.endHolder(l, who)
	next := slices.IndexFunc(waited, func(w waiter) bool { return !w.old })
	if next >= 0 && l.current() == nil {
		w := waited[next]
		waited = slices.Delete(waited, next, next+1)
		t.grant(now, l, w)
	}
	for _, w := range waited {
		if w.old {
			t.answer(now, w.Asker, wire.TurnMsg{Op: wire.TurnFailed, Term: term})
		} else {
			t.answer(now, w.Asker, wire.TurnMsg{Op: wire.TurnAlone})
		}
	}
}

// failTries ends tries of which nothing will be heard.
func (t *Table) failTries(now delta.Instant, l *lease, which func(Holder) bool) {
	for _, h := range slices.Clone(l.holders) {
		if which(h) {
			t.failTry(now, l, h.Asker, 0)
		}
	}
}

// passOn ends a try that its node has given up, which says nothing about the next one: the first in
// the queue gets the lease, unless somebody has it, and the others wait for that one.
func (t *Table) passOn(now delta.Instant, l *lease, who Asker) {
	waited := t.endHolder(l, who)
	if len(waited) == 0 {
		return
	}
	next, rest := waited[0], waited[1:]
	after := next.Asker
	if h := l.current(); h != nil {
		after, rest = h.Asker, waited
	}
	for _, w := range rest {
		w.after = after
		t.enqueue(l, w)
	}
	if after == next.Asker {
		t.grant(now, l, next)
	}
}

// endHolder removes a holder, and from the queue those who waited for it.
func (t *Table) endHolder(l *lease, who Asker) []waiter {
	l.holders = slices.DeleteFunc(l.holders, func(h Holder) bool { return h.Asker == who })
	return t.dequeue(l, func(w *waiter) bool { return w.after == who })
}

func (t *Table) enqueue(l *lease, w waiter) {
	l.queue = append(l.queue, w)
	t.waiting++
}

// dequeue removes the waiters that are meant, and returns them.
func (t *Table) dequeue(l *lease, meant func(*waiter) bool) (left []waiter) {
	l.queue = slices.DeleteFunc(l.queue, func(w waiter) bool {
		if !meant(&w) {
			return false
		}
		left = append(left, w)
		return true
	})
	t.waiting -= len(left)
	return left
}

func (t *Table) leaveQueue(l *lease, who Asker) []waiter {
	return t.dequeue(l, func(w *waiter) bool { return w.Asker == who })
}

func (t *Table) answerAll(now delta.Instant, to []waiter, m wire.TurnMsg) {
	for _, w := range to {
		t.answer(now, w.Asker, m)
	}
}

func (t *Table) answer(now delta.Instant, to Asker, m wire.TurnMsg) {
	m.ID, m.Term = to.ID, min(m.Term, wire.MaxLeaseTerm)
	t.tell(now, to.Peer, m)
}
