package bcache

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// leaseAsks are the asks of this node's fills: each is for the lease of a key, and goes to the node that
// grants it. Their caller has the lock.
type leaseAsks struct {
	byID   map[uint64]*leaseAsk
	byKey  map[string][]*leaseAsk
	missed uint64 // fills so far for which there was no lease to be had
	none   bool   // there are none, and won't be: the node is local, or closed
	net    leaseNet

	// tell sends what is said to the node that grants a lease. It returns false if that is known not
	// to arrive. The node may be this one: then its answer may come before tell returns.
	tell func(now instant, peer uint64, m leaseMsg) bool
}

func newLeaseAsks(net leaseNet) *leaseAsks {
	return &leaseAsks{byID: map[uint64]*leaseAsk{}, byKey: map[string][]*leaseAsk{}, net: net}
}

// ask asks for the lease of a key: for how long it is wanted, and whether an old value is held that
// can be served in case somebody else's fill fails. wake is called, under the lock, when turnOf has
// something to say.
func (s *leaseAsks) ask(now instant, key string, old bool, term time.Duration, wake func()) *leaseAsk {
	a := &leaseAsk{wake: wake}
	a.want = leaseMsg{op: opWant, key: key, term: min(max(toMs(term), 1), maxLeaseTerm)}
	if old {
		a.want.op = opWantOld
	}
	a.limit = now.mono + ms(a.want.term)
	s.begin(now, a)
	return a
}

// askAgain asks for a lease that was declined, or has ended, as if for the first time, but that all
// waiting for others counts together.
func (s *leaseAsks) askAgain(now instant, a *leaseAsk) {
	a.waitedEnough = a.waitedEnough || a.waited
	s.begin(now, a)
}

func (s *leaseAsks) begin(now instant, a *leaseAsk) {
	a.want.id, a.since, a.waited = max(s.net.nonce(), 1), now.mono, false
	if s.none || len(a.want.key) > maxLeaseKey {
		a.heard = turnAlone
		return
	}
	s.byID[a.want.id] = a
	s.byKey[a.want.key] = append(s.byKey[a.want.key], a)
	s.route(now, a)
}

// route asks the node that grants the key's lease.
func (s *leaseAsks) route(now instant, a *leaseAsk) {
	peer, ok := chooseGranter(a.want.key, s.net.granters())
	a.peer, a.heard, a.again = peer, 0, now.mono+leaseReach
	a.want.wall, a.want.stamp = now.wall, s.net.takesAbove(a.want.key)
	a.offered, a.refused = false, false
	if !ok || !s.tell(now, a.peer, a.want) {
		s.miss(a)
	}
}

// another asks again because what it waited for can't be had here.
func (s *leaseAsks) another(now instant, a *leaseAsk) {
	a.waitedEnough = true
	s.route(now, a)
}

// turnOf says whether it is a fill's turn. With leaseFailed it says for how long the key is better left
// alone, with leaseWait and leaseUnheard when to look again, unless wake comes before.
func (s *leaseAsks) turnOf(now instant, a *leaseAsk) (leaseTurn, time.Duration) {
	if a.waits() && now.mono >= a.next() {
		s.lookAgain(now, a)
	}
	return a.turn(), a.next() - now.mono
}

// lookAgain deals with the end of a wait.
func (s *leaseAsks) lookAgain(now instant, a *leaseAsk) {
	switch {
	case a.heard == 0 && now.mono >= a.again:
		s.withdraw(now, a)
		s.miss(a)
	case now.mono >= a.limit, a.heard == turnFilled && !a.offered:
		s.withdraw(now, a)
		s.goAlone(a)
	case a.heard == turnFilled:
		s.another(now, a)
	default:
		s.route(now, a)
	}
}

// hear deals with an answer.
func (s *leaseAsks) hear(now instant, from uint64, m turnMsg) {
	a := s.byID[m.id]
	switch {
	case a == nil || a.peer != from:
		if m.op == turnGranted { // it is waited for elsewhere
			s.tell(now, from, leaseMsg{id: m.id, op: opDeclined, key: m.key})
		}
	case a.heard != turnGranted: // what comes after that was said before
		s.heed(now, a, m)
		a.wake()
	}
}

// heed does what an answer has an ask do.
func (s *leaseAsks) heed(now instant, a *leaseAsk, m turnMsg) {
	switch m.op {
	case turnGranted:
		a.heard, a.since = turnGranted, now.mono
	case turnWait:
		if a.waitedEnough { // it has waited for a try already
			s.withdraw(now, a)
			s.goAlone(a)
			break
		}
		a.heard, a.waited = turnWait, true
		a.again = now.mono + min(max(ms(m.term), time.Millisecond), leaseAgain)
	case turnFilled:
		a.heard, a.waited, a.offered = turnFilled, true, m.offered
		if a.again = now.mono + leaseReach; m.offered && a.refused {
			s.another(now, a)
		}
	case turnAlone:
		if s.goAlone(a); m.full {
			s.missed++
		}
	case turnFailed:
		s.remove(a)
		a.heard, a.again = turnFailed, now.mono+ms(m.term)
	}
}

// offerRefused tells that a value of a key was offered to this node and can't be accepted.
func (s *leaseAsks) offerRefused(now instant, key string) {
	for _, a := range slices.Clone(s.byKey[key]) {
		switch {
		case a.heard == turnFilled && a.offered:
			s.another(now, a)
			a.wake()
		case a.waits():
			a.refused = true // it will hear of the offer
		}
	}
}

// suspect tells that a caller has waited for another node's fill until a deadline, so that it may
// hang: who asks next is granted the lease, and that is this one, for those who still wait.
func (s *leaseAsks) suspect(now instant, a *leaseAsk) {
	if !a.waits() || !a.lasted(now) {
		return
	}
	s.remove(a)
	m := a.declined()
	m.late = true
	s.tell(now, a.peer, m)
	s.begin(now, a)
}

// decline gives back a lease that was granted, to be asked for again, and reports whether it was.
func (s *leaseAsks) decline(now instant, a *leaseAsk) bool {
	if s.byID[a.want.id] != a || a.heard != turnGranted {
		return false
	}
	s.remove(a)
	s.withdraw(now, a)
	return true
}

// end says what has become of a fill.
func (s *leaseAsks) end(now instant, a *leaseAsk, o leaseOutcome) {
	if s.byID[a.want.id] != a {
		return
	}
	s.remove(a)
	o.late = o.late && a.lasted(now)
	if a.heard != turnGranted {
		o.end = tryDeclined
	}
	m := o.message()
	m.id, m.key = a.want.id, a.want.key
	s.tell(now, a.peer, m)
}

// withdraw tells the granting node that it doesn't wait any more.
func (s *leaseAsks) withdraw(now instant, a *leaseAsk) { s.tell(now, a.peer, a.declined()) }

// miss is goAlone because there is no lease to be had.
func (s *leaseAsks) miss(a *leaseAsk) {
	s.goAlone(a)
	s.missed++
}

// goAlone has it fill without a lease.
func (s *leaseAsks) goAlone(a *leaseAsk) {
	s.remove(a)
	a.heard = turnAlone
}

func (s *leaseAsks) remove(a *leaseAsk) {
	delete(s.byID, a.want.id)
	others := slices.DeleteFunc(s.byKey[a.want.key], func(o *leaseAsk) bool { return o == a })
	if s.byKey[a.want.key] = others; len(others) == 0 {
		delete(s.byKey, a.want.key)
	}
}

// close has all who wait for others, and all who ask later, fill for themselves.
func (s *leaseAsks) close() {
	s.none = true
	for _, key := range slices.Sorted(maps.Keys(s.byKey)) {
		for _, a := range slices.Clone(s.byKey[key]) {
			if a.waits() {
				s.goAlone(a)
				a.wake()
			}
		}
	}
}

// left asks somebody else, in steps, what a node was asked that is gone.
func (s *leaseAsks) left(now instant, peer uint64) func(yield func() bool) {
	var asks []*leaseAsk
	for _, a := range s.byID {
		if a.peer == peer && a.heard != turnGranted {
			asks = append(asks, a)
		}
	}
	slices.SortFunc(asks, func(a, b *leaseAsk) int { return cmp.Compare(a.want.id, b.want.id) })
	return inSteps(asks, func(a *leaseAsk) {
		if s.byID[a.want.id] == a && a.peer == peer {
			s.route(now, a)
			a.wake()
		}
	})
}
