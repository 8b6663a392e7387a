package lease

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/wire"
)

// A Net is what leases see of the node that they are part of.
type Net interface {
	// Granters lists the nodes that may grant leases: those that are connected and synced, and this
	// one if it is synced.
	Granters() []uint64

	// Alone reports whether this node fills without leases, as it wouldn't get what others fill.
	Alone() bool

	// TakesAbove is the greatest stamp of a key that this node doesn't take any more: no value up to
	// that is worth waiting for.
	TakesAbove(key string) uint64

	// Nonce returns a number that no other call, of any node, is likely to return.
	Nonce() uint64

	// SendLease sends the node that grants a lease what is to be said of it. It returns false if that
	// is known not to arrive.
	SendLease(peer uint64, m wire.LeaseMsg) bool

	// SendTurn sends an answer.
	SendTurn(peer uint64, m wire.TurnMsg)
}

// New makes both sides of a node's leases: those that it grants, and those that it asks for, which
// a local node doesn't. What the one side says to this node itself, the other one hears at once.
func New(self uint64, net Net, local bool) (*Table, *Asks) {
	granted, asks := newLeaseTable(), newLeaseAsks(net)
	asks.none = local
	granted.tell = func(now delta.Instant, peer uint64, m wire.TurnMsg) {
		if peer == self {
			asks.Hear(now, self, m)
			return
		}
		net.SendTurn(peer, m)
	}
	asks.tell = func(now delta.Instant, peer uint64, m wire.LeaseMsg) bool {
		if peer == self {
			granted.Hear(now, self, m)
			return true
		}
		return net.SendLease(peer, m)
	}
	return granted, asks
}

// Granter chooses one of the nodes that may grant the lease of a key, the same everywhere if all
// agree on who they are: rendezvous hashing (Thaler and Ravishankar, 1998). If one leaves, only its
// keys move. The hash is the wire's, as all must agree: keys that somebody has chosen may all have one
// granter, which then has no room for more leases at some time.
func Granter(key string, ids []uint64) (granter uint64, ok bool) {
	var most uint64
	b := binary.LittleEndian.AppendUint64(nil, xxhash.Sum64String(key))
	for _, id := range ids {
		if weight := xxhash.Sum64(binary.LittleEndian.AppendUint64(b, id)); !ok || weight > most {
			granter, most, ok = id, weight, true
		}
	}
	return granter, ok
}
