package bcache

import (
	"slices"
	"time"
)

// Leases let one node at a time fill a key. The node that rendezvous hashing chooses for it grants
// the lease to one of those that ask, and says to the others that they wait: for the value, which comes to
// them as every write does, or for their turn. This is that node's side; lease_ask.go has the other one.
//
// They are about efficiency, never about correctness: what a fill writes is fenced like any
// other. Nodes that disagree about who is there may both grant a lease, which costs a fill.

const (
	maxLeases = 4096 // of this node

	// leaseAgain is after how long, at most, who waits asks again: what was said to it may be lost.
	leaseAgain = time.Second

	// leaseLinger is for how long it is remembered that a key was filled: that may be heard
	// before its value.
	leaseLinger = time.Second
)

// A lease is what is known of who fills a key. It is kept as long as it says something.
type lease struct {
	key    string
	holder leaseTurn     // who has it; its id is 0 if nobody has
	until  time.Duration // it runs out, then
	queue  []leaseTurn   // who waits, a turn for each node

	filled   uint64 // the stamp of what was written,
	deadline int64  // and its deadline, 0 = none
	linger   time.Duration

	failed time.Duration // until then there is nothing to be had, for those who have an old value
}

// A leaseTurn is a node's place in the queue.
type leaseTurn struct {
	peer, id uint64
	old      bool // it has an old value
	term     time.Duration
}

func (l *lease) held(now instant) bool { return l.holder.id != 0 && now.mono < l.until }

// receiveLease deals with what a node says about a lease.
func (r *replica) receiveLease(now instant, from uint64, m leaseMsg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.peers[from]; p != nil {
		p.heard = now.mono
		r.hearLease(now, from, m)
	}
}

func (r *replica) hearLease(now instant, from uint64, m leaseMsg) {
	if m.op == opWant || m.op == opWantOld {
		r.wantLease(now, from, m)
		return
	}
	l := r.leases[m.key]
	if l == nil {
		return
	}
	if l.holder.peer != from || l.holder.id != m.id { // it has run out, or was never granted
		l.queue = slices.DeleteFunc(l.queue, func(t leaseTurn) bool { return t.peer == from && t.id == m.id })
		return
	}
	l.holder = leaseTurn{}
	switch m.op {
	case opFilled:
		l.filled, l.deadline, l.linger = m.stamp, m.wall, now.mono+leaseLinger
		r.tellQueue(now, l, turnFilled, 0)
	case opUncached:
		r.tellQueue(now, l, turnAlone, 0)
	case opFailed:
		l.failed = now.mono + ms(m.term)
		if i := slices.IndexFunc(l.queue, func(t leaseTurn) bool { return !t.old }); i >= 0 {
			r.grant(now, l, l.queue[i]) // it has nothing to serve
		}
		waiting := l.queue
		l.queue = slices.DeleteFunc(slices.Clone(waiting), func(t leaseTurn) bool { return t.old })
		for _, t := range waiting {
			if t.old {
				r.tell(now, l, t, turnFailed, m.term)
			}
		}
	case opDeclined:
		r.passLease(now, l)
	}
}

// wantLease gives a node the lease, or a place in the queue, or says why not.
func (r *replica) wantLease(now instant, from uint64, m leaseMsg) {
	t := leaseTurn{peer: from, id: m.id, old: m.op == opWantOld, term: ms(m.term)}
	l := r.leases[m.key]
	if l == nil {
		l = &lease{key: m.key}
		if r.closed || len(r.leases) >= maxLeases {
			r.tell(now, l, t, turnAlone, 0)
			return
		}
		r.leases[m.key] = l
	}
	switch {
	case now.mono < l.linger && m.stamp < l.filled && (l.deadline == 0 || m.wall < l.deadline):
		r.tell(now, l, t, turnFilled, 0)
	case l.held(now) && l.holder.peer != from:
		i := slices.IndexFunc(l.queue, func(o leaseTurn) bool { return o.peer == from })
		if i >= 0 {
			l.queue[i] = t
		} else {
			l.queue = append(l.queue, t)
		}
		r.tell(now, l, t, turnWait, toMs(min(l.until-now.mono, leaseAgain)))
	case now.mono < l.failed && t.old && l.holder.id != t.id:
		r.tell(now, l, t, turnFailed, toMs(l.failed-now.mono))
	case l.held(now) && l.holder.id == t.id: // it asks again: what it was told was lost
		r.tell(now, l, t, turnGranted, toMs(l.until-now.mono))
	default: // of a node's own fills, the later one began after a write
		r.grant(now, l, t)
	}
}

// grant gives the lease to a node, which leaves the queue.
func (r *replica) grant(now instant, l *lease, t leaseTurn) {
	l.queue = slices.DeleteFunc(l.queue, func(o leaseTurn) bool { return o.peer == t.peer })
	l.holder, l.until = t, now.mono+t.term
	r.n.leasesGranted++
	r.tell(now, l, t, turnGranted, toMs(t.term))
}

// passLease gives the lease, which is free, to the first in the queue.
func (r *replica) passLease(now instant, l *lease) {
	l.holder = leaseTurn{}
	if len(l.queue) > 0 {
		r.grant(now, l, l.queue[0])
	}
}

func (r *replica) tellQueue(now instant, l *lease, op turnOpcode, term uint64) {
	queue := l.queue
	l.queue = nil
	for _, t := range queue {
		r.tell(now, l, t, op, term)
	}
}

func (r *replica) tell(now instant, l *lease, t leaseTurn, op turnOpcode, term uint64) {
	m := turnMsg{id: t.id, op: op, term: min(term, maxLeaseTerm)}
	if op == turnGranted {
		m.key = l.key
	}
	if t.peer == r.id {
		r.hearTurn(now, r.id, m)
		return
	}
	r.send(message{t.peer, appendTurn(nil, m)})
}

// leftLeases passes on what a node has that is gone.
func (r *replica) leftLeases(now instant, peer uint64) {
	for _, key := range r.leaseKeys(func(l *lease) bool { return true }) {
		l := r.leases[key]
		l.queue = slices.DeleteFunc(l.queue, func(t leaseTurn) bool { return t.peer == peer })
		if l.holder.id != 0 && l.holder.peer == peer {
			r.passLease(now, l)
		}
	}
}

// leaseTick passes on what has run out, and forgets what says nothing any more.
func (r *replica) leaseTick(now instant) {
	for _, key := range r.leaseKeys(func(l *lease) bool { return !l.held(now) }) {
		l := r.leases[key]
		r.passLease(now, l)
		if l.holder.id == 0 && now.mono >= l.linger && now.mono >= l.failed {
			delete(r.leases, key)
		}
	}
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
