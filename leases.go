package bcache

import "time"

// A node's leases, under the replica's lock: r.leases are those that it grants, r.asks those that it
// asks for. lease.go says what they are.

// askLease is leaseAsks.ask; so are the next ones.
func (r *replica) askLease(
	now instant, key string, old bool, term time.Duration, wake func(),
) *leaseAsk {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asks.ask(now, key, old, term, wake)
}

func (r *replica) askLeaseAgain(now instant, a *leaseAsk) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asks.askAgain(now, a)
}

func (r *replica) turnOf(now instant, a *leaseAsk) (leaseTurn, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asks.turnOf(now, a)
}

func (r *replica) suspectLease(now instant, a *leaseAsk) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asks.suspect(now, a)
}

func (r *replica) declineLease(now instant, a *leaseAsk) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asks.decline(now, a)
}

func (r *replica) endLease(now instant, a *leaseAsk, o leaseOutcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asks.end(now, a, o)
}

// receiveLease deals with what a node says about a lease that this one grants.
func (r *replica) receiveLease(now instant, from uint64, m leaseMsg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.neighbours.hear(now, from, m.origin, m.echo) != nil {
		r.leases.hear(now, from, m)
	}
}

// receiveTurn deals with a node's answer to an ask.
func (r *replica) receiveTurn(now instant, from uint64, m turnMsg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.neighbours.hear(now, from, m.origin, m.echo) != nil {
		r.asks.hear(now, from, m)
	}
}

// A leaseLink is the replica as leases see it. Its lock is held.
type leaseLink struct{ r *replica }

func (n leaseLink) granters() []uint64 {
	ids := n.r.neighbours.where(isSynced)
	if n.r.ready.synced {
		ids = append(ids, n.r.id)
	}
	return ids
}

// takesAbove is the stamp of what is held, or was forgotten.
func (n leaseLink) takesAbove(key string) uint64 {
	st := n.r.store
	held, ok := st.peek(key)
	if !ok {
		held.stamp = st.floorOf(bucketOf(key))
	}
	return max(held.stamp, st.clearVersion().stamp)
}

func (n leaseLink) nonce() uint64 { return n.r.nonce() }

func (n leaseLink) sendLease(peer uint64, m leaseMsg) bool {
	if n.r.neighbours.byID[peer] == nil {
		return false
	}
	m.echo, m.origin = n.r.touches.echo(), n.r.origin
	return n.send(leaseFrame{peer, appendLease(nil, m)})
}

func (n leaseLink) sendTurn(peer uint64, m turnMsg) {
	m.echo, m.origin = n.r.touches.echo(), n.r.origin
	n.send(leaseFrame{peer, appendTurn(nil, m)})
}

// send queues a frame, or says that there is no room.
func (n leaseLink) send(f leaseFrame) bool {
	if !n.r.leaseSends.put(f) {
		n.r.out.counts.droppedSends++
		return false
	}
	if len(n.r.leaseSends.frames) == 1 {
		n.r.out.wake()
	}
	return true
}

// granter returns the node that this one would ask for the lease of a key; 0 is none.
func (r *replica) granter(key string) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	id, _ := chooseGranter(key, leaseLink{r}.granters())
	return id
}

// leaseLoad is how much this node has to do with leases: it grants or remembers so many, so many
// turns wait for them, and so many of its own fills have asked for one.
func (r *replica) leaseLoad() (leases, waiting, asks int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	leases, waiting = r.leases.len()
	return leases, waiting, r.asks.len()
}
