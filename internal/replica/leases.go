package replica

import (
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/lease"
	"github.com/iwanbk/bcache/internal/wire"
)

// A node's leases, under the replica's lock: r.leases are those that it grants, r.asks those that it
// asks for. lease.go says what they are.

// AskLease is Asks.ask; so are the next ones.
func (r *Replica) AskLease(
	now delta.Instant, key string, old bool, term time.Duration, wake func(),
) *lease.Ask {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asks.Ask(now, key, old, term, wake)
}

func (r *Replica) AskLeaseAgain(now delta.Instant, a *lease.Ask) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asks.AskAgain(now, a)
}

func (r *Replica) TurnOf(now delta.Instant, a *lease.Ask) (lease.Turn, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asks.TurnOf(now, a)
}

func (r *Replica) SuspectLease(now delta.Instant, a *lease.Ask) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asks.Suspect(now, a)
}

func (r *Replica) DeclineLease(now delta.Instant, a *lease.Ask) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asks.Decline(now, a)
}

func (r *Replica) EndLease(now delta.Instant, a *lease.Ask, o lease.Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asks.End(now, a, o)
}

// receiveLease deals with what a node says about a lease that this one grants.
func (r *Replica) receiveLease(now delta.Instant, from uint64, m wire.LeaseMsg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.neighbours.hear(now, from, m.Origin, m.Echo) != nil {
		r.leases.Hear(now, from, m)
	}
}

// receiveTurn deals with a node's answer to an ask.
func (r *Replica) receiveTurn(now delta.Instant, from uint64, m wire.TurnMsg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.neighbours.hear(now, from, m.Origin, m.Echo) != nil {
		r.asks.Hear(now, from, m)
	}
}

// A leaseLink is the replica as leases see it. Its lock is held.
type leaseLink struct{ r *Replica }

func (n leaseLink) Granters() []uint64 {
	ids := n.r.neighbours.where(isSynced)
	if n.r.ready.synced {
		ids = append(ids, n.r.ID)
	}
	return ids
}

// TakesAbove is the stamp of what is held, or was forgotten.
func (n leaseLink) TakesAbove(key string) uint64 {
	st := n.r.Store
	held, ok := st.Peek(key)
	if !ok {
		held.Stamp = st.FloorOf(delta.BucketOf(key))
	}
	return max(held.Stamp, st.ClearVersion().Stamp)
}

func (n leaseLink) Nonce() uint64 { return n.r.nonce() }

func (n leaseLink) SendLease(peer uint64, m wire.LeaseMsg) bool {
	if n.r.neighbours.byID[peer] == nil {
		return false
	}
	m.Echo, m.Origin = n.r.touches.Echo(), n.r.Origin
	return n.send(lease.Frame{To: peer, Frame: wire.AppendLease(nil, m)})
}

func (n leaseLink) SendTurn(peer uint64, m wire.TurnMsg) {
	m.Echo, m.Origin = n.r.touches.Echo(), n.r.Origin
	n.send(lease.Frame{To: peer, Frame: wire.AppendTurn(nil, m)})
}

// send queues a frame, or says that there is no room.
func (n leaseLink) send(f lease.Frame) bool {
	if !n.r.leaseSends.Put(f) {
		n.r.out.counts.DroppedSends++
		return false
	}
	if len(n.r.leaseSends.Frames) == 1 {
		n.r.out.wake()
	}
	return true
}

// Granter returns the node that this one would ask for the lease of a key; 0 is none.
func (r *Replica) Granter(key string) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	id, _ := lease.Granter(key, leaseLink{r}.Granters())
	return id
}

// LeaseLoad is how much this node has to do with leases: it grants or remembers so many, so many
// turns wait for them, and so many of its own fills have asked for one.
func (r *Replica) LeaseLoad() (leases, waiting, asks int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	leases, waiting = r.leases.Len()
	return leases, waiting, r.asks.Len()
}
