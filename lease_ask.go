package bcache

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Leases, on the side of who wants one.

// leaseReach is how long a node has to answer, and how long a value that is said to be on its way;
// then who asks fills for itself.
const leaseReach = 100 * time.Millisecond

// A leaseAsk is a fill that waits for its lease, or has it.
type leaseAsk struct {
	want  leaseMsg
	peer  uint64        // whom it has asked
	turn  turnOpcode    // what that one said last; 0 = nothing yet
	at    time.Duration // when to go on without an answer, ask again, or with turnFailed, may ask again
	since time.Duration // it has waited, or with turnGranted, had the lease
	limit time.Duration // it waits for others no longer
	wake  func()        // turn has changed

	told    bool // somebody else was to be waited for
	offered bool // with turnFilled: the value comes as an offer
	refused bool // an offer had to be refused since it asked
	again   bool // what it waited for couldn't be had: it doesn't wait a second time
}

func (r *replica) addAsk(a *leaseAsk) {
	r.asks[a.want.id] = a
	r.asksOf[a.want.key] = append(r.asksOf[a.want.key], a)
}

func (r *replica) removeAsk(a *leaseAsk) {
	delete(r.asks, a.want.id)
	others := slices.DeleteFunc(r.asksOf[a.want.key], func(o *leaseAsk) bool { return o == a })
	if r.asksOf[a.want.key] = others; len(others) == 0 {
		delete(r.asksOf, a.want.key)
	}
}

// askLease asks for the lease of a key: for how long it is wanted, and whether an old value is held that
// can be served in case somebody else's fill fails. wake is called, under the lock, when turnOf has
// something to say.
func (r *replica) askLease(
	now instant, key string, old bool, term time.Duration, wake func(),
) *leaseAsk {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := &leaseAsk{wake: wake}
	a.want = leaseMsg{op: opWant, key: key, term: min(max(toMs(term), 1), maxLeaseTerm)}
	if old {
		a.want.op = opWantOld
	}
	a.limit = now.mono + ms(a.want.term)
	r.startAsk(now, a)
	return a
}

// askLeaseAgain asks for a lease that was declined, or has ended, as if for the first time, but that all
// waiting for others counts together.
func (r *replica) askLeaseAgain(now instant, a *leaseAsk) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a.again = a.again || a.told
	r.startAsk(now, a)
}

func (r *replica) startAsk(now instant, a *leaseAsk) {
	a.want.id, a.since, a.told = max(r.nonce(), 1), now.mono, false
	if r.local || r.closed || len(a.want.key) > maxLeaseKey {
		a.turn = turnAlone
		return
	}
	r.addAsk(a)
	r.route(now, a)
}

// route asks the node that grants the key's lease.
func (r *replica) route(now instant, a *leaseAsk) {
	peer, ok := r.granter(a.want.key)
	a.peer, a.turn, a.at = peer, 0, now.mono+leaseReach
	a.want.wall, a.want.stamp = now.wall, r.takesAbove(a.want.key)
	a.offered, a.refused = false, false
	if !ok || !r.tellGranter(now, a, a.want) {
		r.miss(a)
	}
}

// takesAbove is the greatest stamp of a key that this node doesn't take any more: no value up to that is
// worth waiting for. It is that of what is held, or was forgotten.
func (r *replica) takesAbove(key string) uint64 {
	held, ok := r.store.peek(key)
	if !ok {
		held.stamp = r.store.floorOf(r.store.bucketOf(key))
	}
	return max(held.stamp, r.store.clearStamp.Load())
}

// granter chooses one of the nodes that are live and synced, the same everywhere if all agree on
// who they are: rendezvous hashing (Thaler and Ravishankar, 1998). If one leaves, only its keys
// move. The hash is the wire's, as all must agree: keys that somebody has chosen may all have one
// granter, which then has no room for more leases at some time.
func (r *replica) granter(key string) (peer uint64, ok bool) {
	var most uint64
	b := binary.LittleEndian.AppendUint64(nil, xxhash.Sum64String(key))
	consider := func(id uint64) {
		if weight := xxhash.Sum64(binary.LittleEndian.AppendUint64(b, id)); !ok || weight > most {
			peer, most, ok = id, weight, true
		}
	}
	if r.ready.synced {
		consider(r.id)
	}
	for _, id := range r.neighbours.where(isSynced) {
		consider(id)
	}
	return peer, ok
}

// tellGranter reports whether the node gets the message, as far as that is known here.
func (r *replica) tellGranter(now instant, a *leaseAsk, m leaseMsg) bool {
	if a.peer == r.id {
		r.hearLease(now, r.id, m)
		return true
	}
	m.echo, m.origin = r.touches.echo(), r.origin
	return r.neighbours.byID[a.peer] != nil && r.sendLease(message{to: a.peer, frame: appendLease(nil, m)})
}

// suspectLease tells that a caller has waited for another node's fill until a deadline, so that it may
// hang: who asks next is granted the lease, and that is this one, for those who still wait.
func (r *replica) suspectLease(now instant, a *leaseAsk) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !a.waits() || !a.lasted(now) {
		return
	}
	r.removeAsk(a)
	r.tellGranter(now, a, leaseMsg{id: a.want.id, op: opDeclined, key: a.want.key, late: true})
	r.startAsk(now, a)
}

// lasted reports whether a fill was waited for, or has run, for so long that a deadline says something
// about it: who is in a hurry says nothing.
func (a *leaseAsk) lasted(now instant) bool {
	return (a.told || a.turn == turnGranted) && now.mono-a.since >= leaseReach
}

// turnOf says whether it is its turn: turnGranted, or turnAlone, which is as good; or turnFailed, and
// for how long the key is better left alone; otherwise turnWait, or 0 while nothing was heard, and
// when to look again, unless wake comes before.
func (r *replica) turnOf(now instant, a *leaseAsk) (turnOpcode, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.waits() && now.mono >= min(a.at, a.limit) {
		r.lookAgain(now, a)
	}
	at := a.at
	if a.waits() {
		at = min(at, a.limit)
	}
	if a.turn == turnFilled {
		return turnWait, at - now.mono
	}
	return a.turn, at - now.mono
}

// waits reports whether something may still be heard.
func (a *leaseAsk) waits() bool { return a.turn == 0 || a.turn == turnWait || a.turn == turnFilled }

// lookAgain deals with the end of a wait.
func (r *replica) lookAgain(now instant, a *leaseAsk) {
	switch {
	case a.turn == 0 && now.mono >= a.at:
		r.withdraw(now, a)
		r.miss(a)
	case now.mono >= a.limit, a.turn == turnFilled && !a.offered:
		r.withdraw(now, a)
		r.alone(a)
	case a.turn == turnFilled:
		r.another(now, a)
	default:
		r.route(now, a)
	}
}

// another asks again because what it waited for can't be had here.
func (r *replica) another(now instant, a *leaseAsk) {
	a.again = true
	r.route(now, a)
}

// offerRefused tells that a value of a key was offered to this node and can't be accepted. r.mu is held.
func (r *replica) offerRefused(now instant, key string) {
	for _, a := range slices.Clone(r.asksOf[key]) {
		switch {
		case a.turn == turnFilled && a.offered:
			r.another(now, a)
			a.wake()
		case a.waits():
			a.refused = true // it will hear of the offer
		}
	}
}

// withdraw tells the granting node that it doesn't wait any more.
func (r *replica) withdraw(now instant, a *leaseAsk) {
	r.tellGranter(now, a, leaseMsg{id: a.want.id, op: opDeclined, key: a.want.key})
}

// alone has it fill without a lease.
func (r *replica) alone(a *leaseAsk) {
	r.removeAsk(a)
	a.turn = turnAlone
}

// miss is alone because there is no lease to be had.
func (r *replica) miss(a *leaseAsk) {
	r.alone(a)
	r.counts.leasesMissed++
}

// endLease says what has become of it: m has that and what belongs to it.
func (r *replica) endLease(now instant, a *leaseAsk, m leaseMsg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asks[a.want.id] != a {
		return
	}
	r.removeAsk(a)
	m.late = m.late && a.lasted(now)
	if a.turn != turnGranted {
		m = leaseMsg{op: opDeclined, late: m.late}
	}
	m.id, m.key, m.term = a.want.id, a.want.key, min(m.term, maxLeaseTerm)
	m.wall = max(m.wall, 0)
	r.tellGranter(now, a, m)
}

// declineLease gives back a lease that was granted, to be asked for again, and reports whether it was.
func (r *replica) declineLease(now instant, a *leaseAsk) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asks[a.want.id] != a || a.turn != turnGranted {
		return false
	}
	r.removeAsk(a)
	r.withdraw(now, a)
	return true
}

// receiveTurn deals with an answer.
func (r *replica) receiveTurn(now instant, from uint64, m turnMsg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.neighbours.hear(now, from, m.origin, m.echo) != nil {
		r.hearTurn(now, from, m)
	}
}

func (r *replica) hearTurn(now instant, from uint64, m turnMsg) {
	a := r.asks[m.id]
	if a == nil || a.peer != from {
		if m.op == turnGranted { // it is waited for elsewhere
			stale := &leaseAsk{peer: from}
			r.tellGranter(now, stale, leaseMsg{id: m.id, op: opDeclined, key: m.key})
		}
		return
	}
	if a.turn == turnGranted { // what comes now was said before
		return
	}
	switch m.op {
	case turnGranted:
		a.turn, a.since = turnGranted, now.mono
	case turnWait:
		if a.again { // it has waited for a try already
			r.withdraw(now, a)
			r.alone(a)
			break
		}
		a.turn, a.told = turnWait, true
		a.at = now.mono + min(max(ms(m.term), time.Millisecond), leaseAgain)
	case turnFilled:
		a.turn, a.told, a.offered = turnFilled, true, m.offered
		if a.at = now.mono + leaseReach; m.offered && a.refused {
			r.another(now, a)
		}
	case turnAlone:
		if r.alone(a); m.full {
			r.counts.leasesMissed++
		}
	case turnFailed:
		r.removeAsk(a)
		a.turn, a.at = turnFailed, now.mono+ms(m.term)
	}
	a.wake()
}

// endAsks has all who wait for others fill for themselves.
func (r *replica) endAsks() {
	for _, key := range slices.Sorted(maps.Keys(r.asksOf)) {
		for _, a := range slices.Clone(r.asksOf[key]) {
			if a.waits() {
				r.alone(a)
				a.wake()
			}
		}
	}
}

// leftAsks asks somebody else what a node was asked that is gone.
func (r *replica) leftAsks(now instant, peer uint64) {
	var asks []*leaseAsk
	for _, a := range r.asks {
		if a.peer == peer && a.turn != turnGranted {
			asks = append(asks, a)
		}
	}
	slices.SortFunc(asks, func(a, b *leaseAsk) int { return cmp.Compare(a.want.id, b.want.id) })
	for i, a := range asks {
		if i%applyBatch == applyBatch-1 {
			r.letOthers()
		}
		if r.asks[a.want.id] == a && a.peer == peer {
			r.route(now, a)
			a.wake()
		}
	}
}
