package bcache

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// A leaseNet is what leases see of the node that they are part of.
type leaseNet interface {
	// granters lists the nodes that may grant leases: those that are connected and synced, and this
	// one if it is synced.
	granters() []uint64

	// takesAbove is the greatest stamp of a key that this node doesn't take any more: no value up to
	// that is worth waiting for.
	takesAbove(key string) uint64

	// nonce returns a number that no other call, of any node, is likely to return.
	nonce() uint64

	// sendLease sends the node that grants a lease what is to be said of it. It returns false if that
	// is known not to arrive.
	sendLease(peer uint64, m leaseMsg) bool

	// sendTurn sends an answer.
	sendTurn(peer uint64, m turnMsg)
}

// newLeases makes both sides of a node's leases: those that it grants, and those that it asks for, which
// a local node doesn't. What the one side says to this node itself, the other one hears at once.
func newLeases(self uint64, net leaseNet, local bool) (*leaseTable, *leaseAsks) {
	granted, asks := newLeaseTable(), newLeaseAsks(net)
	asks.none = local
	granted.tell = func(now instant, peer uint64, m turnMsg) {
		if peer == self {
			asks.hear(now, self, m)
			return
		}
		net.sendTurn(peer, m)
	}
	asks.tell = func(now instant, peer uint64, m leaseMsg) bool {
		if peer == self {
			granted.hear(now, self, m)
			return true
		}
		return net.sendLease(peer, m)
	}
	return granted, asks
}

// chooseGranter chooses one of the nodes that may grant the lease of a key, the same everywhere if all
// agree on who they are: rendezvous hashing (Thaler and Ravishankar, 1998). If one leaves, only its
// keys move. The hash is the wire's, as all must agree: keys that somebody has chosen may all have one
// granter, which then has no room for more leases at some time.
func chooseGranter(key string, ids []uint64) (granter uint64, ok bool) {
	var most uint64
	b := binary.LittleEndian.AppendUint64(nil, xxhash.Sum64String(key))
	for _, id := range ids {
		if weight := xxhash.Sum64(binary.LittleEndian.AppendUint64(b, id)); !ok || weight > most {
			granter, most, ok = id, weight, true
		}
	}
	return granter, ok
}
