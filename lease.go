package bcache

import (
	"container/list"
	"slices"
	"strings"
	"time"
)

// Leases let one node at a time fill a key. The node that rendezvous hashing chooses for it grants
// the lease to one of those that ask, and says to the others that they wait: for the value, which comes
// to them as every write does, or for their turn. This is that node's side; lease_ask.go has the other.
//
// Whoever waits, waits for one holder, and is answered when that one's try is over, whatever became of
// it: so nobody waits for two tries that fail.
//
// They are about efficiency, never about correctness: what a fill writes is fenced like any
// other. Nodes that disagree about who is there may both grant a lease, which costs a fill.

const (
	maxLeases     = 1 << 15 // of this node: as many as a bulk of GetManys may ask for at once
	maxLeaseWaits = 1 << 16 // turns that wait for them

	// maxLeaseTurns is how many turns a node has at a time for one key: a write has a node begin
	// another fill, while those before it go on.
	maxLeaseTurns = 4

	// maxLeaseHolders is how many fill a key at a time, where holders seem to hang, or a write came.
	maxLeaseHolders = 3

	// leaseAgain is after how long, at most, who waits asks again: what was said to it may be lost.
	leaseAgain = time.Second

	// leaseLinger is for how long it is remembered that a key was filled: that may be heard
	// before its value.
	leaseLinger = time.Second
)

// A lease is what is known of who fills a key. It is kept as long as it says something.
type lease struct {
	key     string
	holders []leaseHolder // who fill it: the last one has the lease, the others had it before
	queue   []leaseTurn   // who waits for one of them
	idle    *list.Element // in replica.idleLeases, while there is no holder

	filled   uint64 // the stamp of what was written,
	deadline int64  // and its deadline, 0 = none
	linger   time.Duration

	failed time.Duration // until then there is nothing to be had, for those who have an old value
}

// A leaseAsker is a fill of a node: id is the one of its ask.
type leaseAsker struct{ peer, id uint64 }

// A leaseTurn is its place in the queue.
type leaseTurn struct {
	leaseAsker
	after leaseAsker // the holder that it waits for
	old   bool       // it has an old value
	term  time.Duration
}

type leaseHolder struct {
	leaseAsker
	since, until time.Duration
	suspect      bool // somebody waited for it until a deadline: it may hang
}

// holder returns the holder who is that asker, or nil. It is good until holders change.
func (l *lease) holder(who leaseAsker) *leaseHolder {
	for i := range l.holders {
		if l.holders[i].leaseAsker == who {
			return &l.holders[i]
		}
	}
	return nil
}

// current returns who has the lease, or nil.
func (l *lease) current() *leaseHolder {
	if len(l.holders) == 0 {
		return nil
	}
	return &l.holders[len(l.holders)-1]
}

func (l *lease) waits(who leaseAsker) bool {
	return slices.ContainsFunc(l.queue, func(t leaseTurn) bool { return t.leaseAsker == who })
}

// turnsOf counts a node's turns.
func (l *lease) turnsOf(peer uint64) (n int) {
	for i := range l.holders {
		if l.holders[i].peer == peer {
			n++
		}
	}
	for i := range l.queue {
		if l.queue[i].peer == peer {
			n++
		}
	}
	return n
}

// receiveLease deals with what a node says about a lease.
func (r *replica) receiveLease(now instant, from uint64, m leaseMsg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.neighbours.hear(now, from, m.origin, m.echo) != nil {
		r.hearLease(now, from, m)
	}
}

func (r *replica) hearLease(now instant, from uint64, m leaseMsg) {
	if m.op == opWant || m.op == opWantOld {
		r.wantLease(now, from, m)
		return
	}
	l, who := r.leases[m.key], leaseAsker{from, m.id}
	switch {
	case l == nil:
	case l.holder(who) != nil:
		r.endTry(now, l, who, m)
		r.settleLease(now, l)
	default: // it waits, or its lease has run out
		for _, t := range r.leaveQueue(l, who) {
			if h := l.holder(t.after); m.late && now.mono-h.since >= leaseReach {
				h.suspect = true
			}
		}
	}
}

// endTry deals with what a holder says of its fill, which is over, and so is the wait of who waited for
// that.
func (r *replica) endTry(now instant, l *lease, who leaseAsker, m leaseMsg) {
	switch {
	case m.op == opFilled:
		l.failed = 0
		l.filled, l.deadline, l.linger = m.stamp, m.wall, now.mono+leaseLinger
		r.tellAll(now, r.endHolder(l, who), turnMsg{op: turnFilled})
	case m.op == opUncached && m.offered:
		l.failed = 0
		r.tellAll(now, r.endHolder(l, who), turnMsg{op: turnFilled, offered: true})
	case m.op == opUncached:
		l.failed = 0
		r.tellAll(now, r.endHolder(l, who), turnMsg{op: turnAlone})
	case m.op == opFailed:
		l.failed = now.mono + ms(m.term)
		r.failTry(now, l, who, m.term)
	case now.mono-l.holder(who).since >= leaseReach: // who waits for it has waited for a try
		r.failTry(now, l, who, 0)
	default:
		r.passLease(now, l, who)
	}
}

// endHolder removes a holder, and from the queue who waited for it.
func (r *replica) endHolder(l *lease, who leaseAsker) []leaseTurn {
	l.holders = slices.DeleteFunc(l.holders, func(h leaseHolder) bool { return h.leaseAsker == who })
	return r.dequeue(l, func(t *leaseTurn) bool { return t.after == who })
}

// failTry ends a try that has failed, or of which nothing will be heard. Who waited for it and has an
// old value is content with that. Of the others the first one gets the lease, for those who come later
// to wait for; the rest have waited enough, and fill for themselves.
func (r *replica) failTry(now instant, l *lease, who leaseAsker, term uint64) {
	waited := r.endHolder(l, who)
	next := slices.IndexFunc(waited, func(t leaseTurn) bool { return !t.old })
	if next >= 0 && l.current() == nil {
		t := waited[next]
		waited = slices.Delete(waited, next, next+1)
		r.grant(now, l, t)
	}
	for _, t := range waited {
		if t.old {
			r.tell(now, t.leaseAsker, turnMsg{op: turnFailed, term: term})
		} else {
			r.tell(now, t.leaseAsker, turnMsg{op: turnAlone})
		}
	}
}

// passLease ends a try that its node has given up, which says nothing about the next one: the first in
// the queue gets the lease, unless somebody has it, and the others wait for that one.
func (r *replica) passLease(now instant, l *lease, who leaseAsker) {
	waited := r.endHolder(l, who)
	if len(waited) == 0 {
		return
	}
	next, rest := waited[0], waited[1:]
	after := next.leaseAsker
	if h := l.current(); h != nil {
		after, rest = h.leaseAsker, waited
	}
	for _, t := range rest {
		t.after = after
		r.enqueue(l, t)
	}
	if after == next.leaseAsker {
		r.grant(now, l, next)
	}
}

// wantLease gives a node the lease, or a place in the queue, or says why not.
func (r *replica) wantLease(now instant, from uint64, m leaseMsg) {
	t := leaseTurn{leaseAsker: leaseAsker{from, m.id}, old: m.op == opWantOld, term: ms(m.term)}
	l := r.leaseOf(m.key)
	if l == nil {
		r.tell(now, t.leaseAsker, turnMsg{op: turnAlone, full: !r.closed})
		return
	}
	defer r.settleLease(now, l)
	waits := l.waits(t.leaseAsker)
	if r.endTries(now, l, overdueAt(now)); waits && !l.waits(t.leaseAsker) {
		return // it was told just now
	}
	own, h := l.holder(t.leaseAsker), l.current()
	// Of a node's own fills the later one began after a write, or after a caller gave the earlier one
	// up.
	over := h != nil && (h.suspect || h.peer == from && !waits) && len(l.holders) < maxLeaseHolders
	switch {
	case own != nil: // it asks again: what it was told was lost
		r.tell(now, t.leaseAsker, turnMsg{op: turnGranted, key: l.key, term: toMs(own.until - now.mono)})
	case now.mono < l.linger && m.stamp < l.filled && (l.deadline == 0 || m.wall < l.deadline):
		r.leaveQueue(l, t.leaseAsker)
		r.tell(now, t.leaseAsker, turnMsg{op: turnFilled})
	case h != nil && !over:
		r.wait(now, l, t)
	case h == nil && t.old && now.mono < l.failed:
		r.tell(now, t.leaseAsker, turnMsg{op: turnFailed, term: toMs(l.failed - now.mono)})
	case !waits && l.turnsOf(from) >= maxLeaseTurns:
		r.tell(now, t.leaseAsker, turnMsg{op: turnAlone})
	default:
		r.leaveQueue(l, t.leaseAsker)
		r.grant(now, l, t)
	}
}

// leaseOf returns the lease of a key. At the bound one that nobody has makes room for it; if there is
// none, it is nil.
func (r *replica) leaseOf(key string) *lease {
	l := r.leases[key]
	if l != nil || r.closed {
		return l
	}
	if len(r.leases) >= maxLeases {
		longest := r.idleLeases.Front()
		if longest == nil {
			return nil
		}
		r.dropLease(longest.Value.(*lease))
	}
	l = &lease{key: strings.Clone(key)}
	r.leases[l.key] = l
	return l
}

// settleLease notes that nobody has a lease any more, or that somebody has it again, and forgets one
// that says nothing.
func (r *replica) settleLease(now instant, l *lease) {
	switch {
	case r.leases[l.key] != l: // it is forgotten
	case len(l.holders) > 0:
		if l.idle != nil {
			r.idleLeases.Remove(l.idle)
			l.idle = nil
		}
	case now.mono >= l.linger && now.mono >= l.failed:
		r.dropLease(l)
	case l.idle == nil:
		l.idle = r.idleLeases.PushBack(l)
	}
}

func (r *replica) dropLease(l *lease) {
	delete(r.leases, l.key)
	if l.idle != nil {
		r.idleLeases.Remove(l.idle)
	}
}

// wait has a node wait for who has the lease.
func (r *replica) wait(now instant, l *lease, t leaseTurn) {
	i := slices.IndexFunc(l.queue, func(o leaseTurn) bool { return o.leaseAsker == t.leaseAsker })
	switch {
	case i >= 0:
		t = l.queue[i]
	case l.turnsOf(t.peer) >= maxLeaseTurns:
		r.tell(now, t.leaseAsker, turnMsg{op: turnAlone})
		return
	case r.leaseWaits >= maxLeaseWaits:
		r.tell(now, t.leaseAsker, turnMsg{op: turnAlone, full: true})
		return
	default:
		t.after = l.current().leaseAsker
		r.enqueue(l, t)
	}
	again := min(l.holder(t.after).until-now.mono, leaseAgain)
	r.tell(now, t.leaseAsker, turnMsg{op: turnWait, term: toMs(again)})
}

func (r *replica) enqueue(l *lease, t leaseTurn) {
	l.queue = append(l.queue, t)
	r.leaseWaits++
}

// dequeue removes from the queue those that are meant, and returns them.
func (r *replica) dequeue(l *lease, meant func(*leaseTurn) bool) (left []leaseTurn) {
	l.queue = slices.DeleteFunc(l.queue, func(t leaseTurn) bool {
		if !meant(&t) {
			return false
		}
		left = append(left, t)
		return true
	})
	r.leaseWaits -= len(left)
	return left
}

func (r *replica) leaveQueue(l *lease, who leaseAsker) []leaseTurn {
	return r.dequeue(l, func(t *leaseTurn) bool { return t.leaseAsker == who })
}

// grant gives the lease to who isn't in the queue any more.
func (r *replica) grant(now instant, l *lease, t leaseTurn) {
	h := leaseHolder{leaseAsker: t.leaseAsker, since: now.mono, until: now.mono + t.term}
	l.holders = append(l.holders, h)
	r.counts.leasesGranted++
	r.tell(now, t.leaseAsker, turnMsg{op: turnGranted, key: l.key, term: toMs(t.term)})
}

func (r *replica) tellAll(now instant, to []leaseTurn, m turnMsg) {
	for _, t := range to {
		r.tell(now, t.leaseAsker, m)
	}
}

// tell answers who asked. It may be this node, which then may ask something else at once: what is known
// of the lease must be complete.
func (r *replica) tell(now instant, to leaseAsker, m turnMsg) {
	m.id, m.term = to.id, min(m.term, maxLeaseTerm)
	if to.peer == r.id {
		r.hearTurn(now, r.id, m)
		return
	}
	m.echo, m.origin = r.touches.echo(), r.origin
	r.sendLease(message{to: to.peer, frame: appendTurn(nil, m)})
}

func overdueAt(now instant) func(leaseHolder) bool {
	return func(h leaseHolder) bool { return now.mono >= h.until }
}

// endTries ends tries of which nothing will be heard.
func (r *replica) endTries(now instant, l *lease, which func(leaseHolder) bool) {
	for _, h := range slices.Clone(l.holders) {
		if which(h) {
			r.failTry(now, l, h.leaseAsker, 0)
		}
	}
}

// leftLeases ends what a node was doing that is gone.
func (r *replica) leftLeases(now instant, peer uint64) {
	for i, key := range r.leaseKeys(func(l *lease) bool { return l.turnsOf(peer) > 0 }) {
		l := r.nextLease(i, key)
		if l == nil {
			continue
		}
		r.dequeue(l, func(t *leaseTurn) bool { return t.peer == peer })
		r.endTries(now, l, func(h leaseHolder) bool { return h.peer == peer })
		r.settleLease(now, l)
	}
}

// leaseTick ends what has run out, and forgets what says nothing any more.
func (r *replica) leaseTick(now instant) {
	overdue := overdueAt(now)
	over := func(l *lease) bool { return l.idle != nil || slices.ContainsFunc(l.holders, overdue) }
	for i, key := range r.leaseKeys(over) {
		l := r.nextLease(i, key)
		if l == nil {
			continue
		}
		r.endTries(now, l, overdue)
		r.settleLease(now, l)
	}
}

// nextLease returns the next one of many, if it is still there: others get the lock now and then.
func (r *replica) nextLease(n int, key string) *lease {
	if n%applyBatch == applyBatch-1 {
		r.letOthers()
	}
	return r.leases[key]
}

// leaseKeys lists keys of leases, sorted.
func (r *replica) leaseKeys(want func(*lease) bool) (keys []string) {
	for key, l := range r.leases {
		if want(l) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func ms(n uint64) time.Duration { return time.Duration(n) * time.Millisecond }

// toMs rounds up, so that what is to be over by then is.
func toMs(d time.Duration) uint64 {
	return uint64((max(d, 0) + time.Millisecond - 1) / time.Millisecond)
}
