package meshnet

import (
	"github.com/iwanbk/bcache/internal/wire"
	"google.golang.org/protobuf/encoding/protowire"
)

// What is for nodes that aren't directly connected goes by nodes that are, as mesh's routes have it. One
// message for all of them leaves by each connection, so a node in the middle passes it on once for each
// that it stands for.

const (
	relayHops = 8 // at most; there may be a circle while routes change

	relaySource = 1 // numbers of fields
	relayLeft   = 2
	relayTarget = 3
	relayKind   = 4
	relayItem   = 5
)

// A relayMessage is an item on its way to nodes that aren't connected to its source.
type relayMessage struct {
	source  uint64   // PeerID
	left    uint64   // hops
	targets []uint64 // PeerIDs
	kind    byte
	item    []byte
}

func encodeRelay(m *relayMessage) []byte {
	b := make([]byte, 0, 32+7*len(m.targets)+len(m.item))
	b = wire.AppendVarint(b, relaySource<<3|wire.TypeVarint, m.source)
	b = wire.AppendVarint(b, relayLeft<<3|wire.TypeVarint, m.left)
	for _, id := range m.targets {
		b = protowire.AppendVarint(append(b, relayTarget<<3|wire.TypeVarint), id)
	}
	b = wire.AppendVarint(b, relayKind<<3|wire.TypeVarint, uint64(m.kind))
	return protowire.AppendBytes(append(b, relayItem<<3|wire.TypeBytes), m.item)
}

// decodeRelay reads a message. Its item is part of b.
func decodeRelay(b []byte) (m relayMessage, err error) {
	err = eachField(b, func(num protowire.Number, val []byte, n uint64) error {
		switch num {
		case relaySource:
			m.source = n
		case relayLeft:
			m.left = min(n, relayHops)
		case relayTarget:
			if len(m.targets) < maxMembers {
				m.targets = append(m.targets, n)
			}
		case relayKind:
			m.kind = byte(min(n, 255))
		case relayItem:
			m.item = val
		}
		return nil
	})
	if err == nil && (m.source == 0 || len(m.item) == 0 || m.kind == itemRelay) {
		err = errMeshMessage
	}
	return m, err
}
