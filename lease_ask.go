package bcache

import (
	"cmp"
	"encoding/binary"
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
	want leaseMsg
	peer uint64        // whom it has asked
	turn turnOpcode    // what that one said last; 0 = nothing yet
	at   time.Duration // when to go on without an answer, ask again, or with turnFailed, may ask again
	wake func()        // turn has changed
}

// askLease asks for the lease of a key: for how long it is wanted, and what is held of the key, if
// that can be served in case somebody else's fill fails. wake is called, under the lock, when turnOf
// has something to say.
func (r *replica) askLease(now instant, key string, held version, old bool, term time.Duration, wake func()) *leaseAsk {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := &leaseAsk{wake: wake}
	a.want = leaseMsg{id: max(r.nonce(), 1), op: opWant, key: key, stamp: held.stamp, term: min(max(toMs(term), 1), maxLeaseTerm)}
	if old {
		a.want.op = opWantOld
	}
	if r.local || r.closed || len(key) > maxLeaseKey {
		a.turn = turnAlone
		return a
	}
	r.asks[a.want.id] = a
	r.route(now, a)
	return a
}

// route asks the node that grants the key's lease.
func (r *replica) route(now instant, a *leaseAsk) {
	peer, ok := r.granter(a.want.key)
	if !ok {
		r.alone(a)
		return
	}
	a.peer, a.turn, a.at = peer, 0, now.mono+leaseReach
	a.want.wall = now.wall
	r.tellGranter(now, a, a.want)
}

// granter chooses one of the nodes that are live and synced, the same everywhere if all agree on
// who they are: rendezvous hashing (Thaler and Ravishankar, 1998). If one leaves, only its keys
// move.
func (r *replica) granter(key string) (peer uint64, ok bool) {
	var most uint64
	b := binary.LittleEndian.AppendUint64(nil, xxhash.Sum64String(key))
	consider := func(id uint64) {
		if weight := xxhash.Sum64(binary.LittleEndian.AppendUint64(b, id)); !ok || weight > most {
			peer, most, ok = id, weight, true
		}
	}
	if r.synced {
		consider(r.id)
	}
	for _, id := range r.neighbours(isSynced) {
		consider(id)
	}
	return peer, ok
}

func (r *replica) tellGranter(now instant, a *leaseAsk, m leaseMsg) {
	if a.peer == r.id {
		r.hearLease(now, r.id, m)
		return
	}
	if r.peers[a.peer] != nil {
		r.send(message{a.peer, appendLease(nil, m)})
	}
}

// turnOf says whether it is its turn: turnGranted, or turnAlone, which is as good; or turnFailed, and
// for how long the key is better left alone; otherwise turnWait, or 0 while nothing was heard, and
// when to look again, unless wake comes before.
func (r *replica) turnOf(now instant, a *leaseAsk) (turnOpcode, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.mono >= a.at {
		switch a.turn {
		case 0, turnFilled:
			r.tellGranter(now, a, leaseMsg{id: a.want.id, op: opDeclined, key: a.want.key})
			r.alone(a)
		case turnWait:
			r.route(now, a)
		}
	}
	if a.turn == turnFilled {
		return turnWait, a.at - now.mono
	}
	return a.turn, a.at - now.mono
}

// alone has it fill without a lease.
func (r *replica) alone(a *leaseAsk) {
	delete(r.asks, a.want.id)
	a.turn = turnAlone
	r.n.leasesAlone++
}

// endLease says what has become of it: m has that and what belongs to it.
func (r *replica) endLease(now instant, a *leaseAsk, m leaseMsg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asks[a.want.id] != a {
		return
	}
	delete(r.asks, a.want.id)
	m.id, m.key, m.term = a.want.id, a.want.key, min(m.term, maxLeaseTerm)
	m.wall = max(m.wall, 0)
	if a.turn != turnGranted {
		m = leaseMsg{id: m.id, key: m.key, op: opDeclined}
	}
	r.tellGranter(now, a, m)
}

// receiveTurn deals with an answer.
func (r *replica) receiveTurn(now instant, from uint64, m turnMsg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.peers[from]; p != nil {
		p.heard = now.mono
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
	switch a.turn = m.op; m.op {
	case turnWait:
		a.at = now.mono + min(max(ms(m.term), time.Millisecond), leaseAgain)
	case turnFilled:
		a.at = now.mono + leaseReach
	case turnAlone:
		r.alone(a)
	case turnFailed:
		delete(r.asks, m.id)
		a.at = now.mono + ms(m.term)
	}
	a.wake()
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
	for _, a := range asks {
		r.route(now, a)
		a.wake()
	}
}
