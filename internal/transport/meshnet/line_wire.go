package meshnet

import (
	"github.com/iwanbk/bcache/internal/wire"
	"google.golang.org/protobuf/encoding/protowire"
)

// The messages of a line: a byte of version, a byte of type, and what docs/wire.proto says.
const (
	lineWhole   = 1 // an item: its kind, a byte, and then the item
	linePieceOf = 2 // Piece
	lineTaken   = 3 // Ack

	pieceID     = 1 // numbers of fields
	pieceKind   = 2
	pieceOffset = 3
	pieceTotal  = 4
	pieceData   = 5
	ackBytes    = 1
)

// The kinds of items.
const (
	itemFrame  = 1 // of the replica
	itemMember = 2 // of the transports: see memberMessage
	itemRelay  = 3 // for other nodes: see relayMessage
)

// maxItem is how large an item may be that is taken from a peer: a frame, and what a relay adds.
const maxItem = wire.MaxFrame + wire.FrameSlack + 1<<10 + 10*maxMembers

// A linePiece is a part of an item.
type linePiece struct {
	id            uint64 // of the transfer; its last bit is the lane
	kind          byte
	offset, total int
	data          []byte
}

// A lineMessage is what comes in by a line.
type lineMessage struct {
	kind  byte
	whole lineItem  // lineWhole
	piece linePiece // linePieceOf
	taken uint64    // lineTaken
}

func encodeLineWhole(kind byte, item []byte) []byte {
	return append(append(make([]byte, 0, 3+len(item)), wire.Version, lineWhole, kind), item...)
}

func encodeLinePiece(p linePiece) []byte {
	b := append(make([]byte, 0, 64+len(p.data)), wire.Version, linePieceOf)
	b = wire.AppendVarint(b, pieceID<<3|wire.TypeVarint, p.id)
	b = wire.AppendVarint(b, pieceKind<<3|wire.TypeVarint, uint64(p.kind))
	b = wire.AppendVarint(b, pieceOffset<<3|wire.TypeVarint, uint64(p.offset))
	b = wire.AppendVarint(b, pieceTotal<<3|wire.TypeVarint, uint64(p.total))
	return protowire.AppendBytes(append(b, pieceData<<3|wire.TypeBytes), p.data)
}

func encodeLineAck(bytes uint64) []byte {
	return wire.AppendVarint([]byte{wire.Version, lineTaken}, ackBytes<<3|wire.TypeVarint, bytes)
}

// decodeLine reads a message. What it returns is part of msg. A type that isn't known is no error.
func decodeLine(msg []byte) (m lineMessage, err error) {
	if m.kind, err = openMessage(msg); err != nil {
		return m, err
	}
	switch m.kind {
	case lineWhole:
		if len(msg) < 4 {
			return m, errMeshMessage
		}
		m.whole = lineItem{kind: msg[2], bytes: msg[3:]}
	case linePieceOf:
		var offset, total uint64
		p := &m.piece
		err = eachField(msg[2:], func(num protowire.Number, val []byte, n uint64) error {
			switch num {
			case pieceID:
				p.id = n
			case pieceKind:
				p.kind = byte(min(n, 255))
			case pieceOffset:
				offset = n
			case pieceTotal:
				total = n
			case pieceData:
				p.data = val
			}
			return nil
		})
		if offset > maxItem || total > maxItem {
			return m, errMeshMessage
		}
		p.offset, p.total = int(offset), int(total)
	case lineTaken:
		err = eachField(msg[2:], func(num protowire.Number, _ []byte, n uint64) error {
			if num == ackBytes {
				m.taken = n
			}
			return nil
		})
	}
	return m, err
}
