package bcache

import "slices"

// A try is a fill that holds a lease. How it begins and ends, and who is told so.

// grant gives the lease to a fill that isn't in the queue any more.
func (t *leaseTable) grant(now instant, l *lease, w leaseWaiter) {
	h := leaseHolder{leaseAsker: w.leaseAsker, since: now.mono, until: now.mono + w.term}
	l.holders = append(l.holders, h)
	t.granted++
	t.answer(now, w.leaseAsker, turnMsg{op: turnGranted, key: l.key, term: toMs(w.term)})
}

// endTry deals with what a holder says of the end of its try: so ends the wait of those who waited for
// that.
func (t *leaseTable) endTry(now instant, l *lease, who leaseAsker, m leaseMsg) {
	switch {
	case m.op == opFilled:
		l.failedUntil = 0
		l.filled, l.deadline, l.filledUntil = m.stamp, m.wall, now.mono+leaseLinger
		t.answerAll(now, t.endHolder(l, who), turnMsg{op: turnFilled})
	case m.op == opUncached && m.offered:
		l.failedUntil = 0
		t.answerAll(now, t.endHolder(l, who), turnMsg{op: turnFilled, offered: true})
	case m.op == opUncached:
		l.failedUntil = 0
		t.answerAll(now, t.endHolder(l, who), turnMsg{op: turnAlone})
	case m.op == opFailed:
		l.failedUntil = now.mono + ms(m.term)
		t.failTry(now, l, who, m.term)
	case now.mono-l.holder(who).since >= leaseReach: // who waits for it has waited for a try
		t.failTry(now, l, who, 0)
	default:
		t.passOn(now, l, who)
	}
}

// failTry ends a try that has failed, or of which nothing will be heard. A waiter that has an old value
// is content with that. Of the others the first one gets the lease, for those who come later to wait
// for; the rest have waited enough, and fill for themselves.
func (t *leaseTable) failTry(now instant, l *lease, who leaseAsker, term uint64) {
	waited := t.endHolder(l, who)
	next := slices.IndexFunc(waited, func(w leaseWaiter) bool { return !w.old })
	if next >= 0 && l.current() == nil {
		w := waited[next]
		waited = slices.Delete(waited, next, next+1)
		t.grant(now, l, w)
	}
	for _, w := range waited {
		if w.old {
			t.answer(now, w.leaseAsker, turnMsg{op: turnFailed, term: term})
		} else {
			t.answer(now, w.leaseAsker, turnMsg{op: turnAlone})
		}
	}
}

// failTries ends tries of which nothing will be heard.
func (t *leaseTable) failTries(now instant, l *lease, which func(leaseHolder) bool) {
	for _, h := range slices.Clone(l.holders) {
		if which(h) {
			t.failTry(now, l, h.leaseAsker, 0)
		}
	}
}

// passOn ends a try that its node has given up, which says nothing about the next one: the first in
// the queue gets the lease, unless somebody has it, and the others wait for that one.
func (t *leaseTable) passOn(now instant, l *lease, who leaseAsker) {
	waited := t.endHolder(l, who)
	if len(waited) == 0 {
		return
	}
	next, rest := waited[0], waited[1:]
	after := next.leaseAsker
	if h := l.current(); h != nil {
		after, rest = h.leaseAsker, waited
	}
	for _, w := range rest {
		w.after = after
		t.enqueue(l, w)
	}
	if after == next.leaseAsker {
		t.grant(now, l, next)
	}
}

// endHolder removes a holder, and from the queue those who waited for it.
func (t *leaseTable) endHolder(l *lease, who leaseAsker) []leaseWaiter {
	l.holders = slices.DeleteFunc(l.holders, func(h leaseHolder) bool { return h.leaseAsker == who })
	return t.dequeue(l, func(w *leaseWaiter) bool { return w.after == who })
}

func (t *leaseTable) enqueue(l *lease, w leaseWaiter) {
	l.queue = append(l.queue, w)
	t.waiting++
}

// dequeue removes the waiters that are meant, and returns them.
func (t *leaseTable) dequeue(l *lease, meant func(*leaseWaiter) bool) (left []leaseWaiter) {
	l.queue = slices.DeleteFunc(l.queue, func(w leaseWaiter) bool {
		if !meant(&w) {
			return false
		}
		left = append(left, w)
		return true
	})
	t.waiting -= len(left)
	return left
}

func (t *leaseTable) leaveQueue(l *lease, who leaseAsker) []leaseWaiter {
	return t.dequeue(l, func(w *leaseWaiter) bool { return w.leaseAsker == who })
}

func (t *leaseTable) answerAll(now instant, to []leaseWaiter, m turnMsg) {
	for _, w := range to {
		t.answer(now, w.leaseAsker, m)
	}
}

func (t *leaseTable) answer(now instant, to leaseAsker, m turnMsg) {
	m.id, m.term = to.id, min(m.term, maxLeaseTerm)
	t.tell(now, to.peer, m)
}
