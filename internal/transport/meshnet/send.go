package meshnet

import (
	"errors"

	"github.com/iwanbk/bcache/internal/transport/engine"
	"github.com/iwanbk/bcache/transport"
	"github.com/weaveworks/mesh"
)

// lineTag marks the messages of lines among mesh's control messages.
const lineTag = mesh.ProtocolReserved1

// A sender sends: to directly connected nodes by their lines, to others by a relay.
type sender struct {
	self  uint64 // PeerID
	peers *peerTable
	count *engine.Counters
}

// broadcast queues a frame for all other nodes.
func (s *sender) broadcast(frame []byte) {
	if len(frame) == 0 || len(frame) > maxItem {
		s.count.Dropped.Add(1)
		return
	}
	lines, relays := s.peers.lines()
	for id, l := range lines {
		it := lineItem{kind: itemFrame, bytes: frame, own: true, fresh: true}
		if beyond := relays[id]; len(beyond) > 0 {
			m := relayMessage{source: s.self, left: relayHops, kind: itemFrame, item: frame}
			m.targets = append(beyond, id)
			it.kind, it.bytes = itemRelay, encodeRelay(&m)
		}
		_ = l.push(it, laneFirst)
	}
}

// send queues an item for a node. The caller is within the scope.
func (s *sender) send(peer uint64, it lineItem, lane int) error {
	switch l := s.peers.lineTo(peer); {
	case peer == s.self || len(it.bytes) == 0:
		return transport.ErrUnknownPeer
	case len(it.bytes) > maxItem:
		s.count.Dropped.Add(1)
		return transport.ErrQueueFull
	case l != nil:
		if err := l.push(it, lane); !errors.Is(err, errLineEnded) {
			return err
		}
		return transport.ErrUnknownPeer
	}
	m := relayMessage{
		source: s.self, left: relayHops, targets: []uint64{peer},
		kind: it.kind, item: it.bytes,
	}
	return s.relay(m, 0, it, lane)
}

// relay sends an item on its way. from is the node that brought it, 0 if this node is its source: the
// item doesn't go back there. like says how it is to be treated.
func (s *sender) relay(m relayMessage, from uint64, like lineItem, lane int) error {
	by := make(map[uint64][]uint64)
	for _, id := range m.targets {
		if hop := s.peers.hopTo(id); hop != 0 && hop != from {
			by[hop] = append(by[hop], id)
		}
	}
	err := transport.ErrUnknownPeer
	for hop, targets := range by {
		if l := s.peers.lineTo(hop); l != nil {
			m := m
			m.targets = targets
			like.kind, like.bytes = itemRelay, encodeRelay(&m)
			err = l.push(like, lane)
		}
	}
	return err
}
