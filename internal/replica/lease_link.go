package replica

import (
	"github.com/iwanbk/bcache/internal/lease"
	"github.com/iwanbk/bcache/internal/wire"
)

// A leaseLink is the replica as leases see it. The lock is held.
type leaseLink struct{ leases *Leases }

func (n leaseLink) Granters() []uint64 {
	ids := n.leases.neighbours.where(isSynced)
	if n.leases.ready.synced {
		ids = append(ids, n.leases.id)
	}
	return ids
}

// Alone reports whether this node is isolated: it gets nothing from others then.
func (n leaseLink) Alone() bool { return n.leases.pinger.hearings.isolation.Is() }

// TakesAbove is the stamp of what is held, or was forgotten, or of a Clear that is about all of the
// key's values. What a Clear of a tag is about isn't known before it comes.
func (n leaseLink) TakesAbove(key string) uint64 { return n.leases.state.Store.TakesAbove(key) }

func (n leaseLink) Nonce() uint64 { return n.leases.pinger.nonce() }

func (n leaseLink) SendLease(peer uint64, m wire.LeaseMsg) bool {
	p := n.leases.neighbours.byID[peer]
	if p == nil {
		return false
	}
	if m.Op == wire.OpWant || m.Op == wire.OpWantOld { // it has an answer
		p.expect()
	}
	m.Echo, m.Origin = n.leases.state.touches.Echo(), n.leases.state.Origin
	return n.send(lease.Frame{To: peer, Frame: wire.AppendLease(nil, m)})
}

func (n leaseLink) SendTurn(peer uint64, m wire.TurnMsg) {
	m.Echo, m.Origin = n.leases.state.touches.Echo(), n.leases.state.Origin
	n.send(lease.Frame{To: peer, Frame: wire.AppendTurn(nil, m)})
}

// send queues a frame, or says that there is no room.
func (n leaseLink) send(f lease.Frame) bool {
	if !n.leases.sends.Put(f) {
		n.leases.out.counts.DroppedSends++
		return false
	}
	if len(n.leases.sends.Frames) == 1 {
		n.leases.out.wake()
	}
	return true
}
