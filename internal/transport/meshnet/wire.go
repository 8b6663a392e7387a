package meshnet

import (
	"errors"
	"strings"
	"unicode"

	"github.com/iwanbk/bcache/internal/wire"
	"google.golang.org/protobuf/encoding/protowire"
)

// What transports say to each other: a byte of version, a byte of type, and fields
// in protobuf wire format; unknown fields are skipped. docs/wire.proto has the schema.
// Control messages belong to one connection, the others travel by unicast.
const (
	controlReady   = 1 // confirmed on this side; 1: a transfer that came in part, 2: its bytes
	controlRefused = 2 // 1: the reason, for people
	controlClosing = 3 // the node closes

	membersAddrs = 1 // 1: repeated Entry{1: PeerID, varint; 2: origin, fixed64; 3: address}
	membersPing  = 2 // 1: nonce, fixed64
	membersPong  = 3 // 1: nonce, fixed64; 2: origin, fixed64
	membersNoWay = 4 // the receiver's address can't be dialled. 1: the address; 2: why, for people
	membersGone  = 5 // the node closes, for those that aren't connected with it

	memberNonce  = 1<<3 | wire.TypeFixed64 // tags, as those of package wire
	memberOrigin = 2<<3 | wire.TypeFixed64

	readyTransfer = 1 // numbers of fields
	readyHas      = 2

	maxMembers = 1024 // addresses in a message, and addresses that are kept
	maxReason  = 400
)

var errMeshMessage = errors.New("malformed message")

type memberEntry struct {
	id, origin uint64
	addr       string
}

type memberMessage struct {
	kind          byte
	nonce, origin uint64
	entries       []memberEntry
	addr, why     string // fit for a log line
}

// encodeReady says too how much has come of a transfer that the last connection has left; 0 is none.
func encodeReady(transfer uint64, has int) []byte {
	b := []byte{wire.Version, controlReady}
	b = wire.AppendVarint(b, readyTransfer<<3|wire.TypeVarint, transfer)
	return wire.AppendVarint(b, readyHas<<3|wire.TypeVarint, uint64(has))
}

func encodeClosing() []byte { return []byte{wire.Version, controlClosing} }

func encodeGone() []byte { return []byte{wire.Version, membersGone} }

func encodeNoWay(addr, why string) []byte {
	b := protowire.AppendTag([]byte{wire.Version, membersNoWay}, 1, protowire.BytesType)
	b = protowire.AppendString(b, addr[:min(len(addr), maxReason)])
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	return protowire.AppendString(b, why[:min(len(why), maxReason)])
}

func encodeRefused(reason string) []byte {
	b := protowire.AppendTag([]byte{wire.Version, controlRefused}, 1, protowire.BytesType)
	return protowire.AppendString(b, reason[:min(len(reason), maxReason)])
}

// A controlMessage is one of a connection.
type controlMessage struct {
	kind     byte
	reason   string // of a refusal, fit for a log line, whoever sent it
	transfer uint64 // of a connection that is ready
	has      int
}

func decodeControl(msg []byte) (m controlMessage, err error) {
	if m.kind, err = openMessage(msg); err != nil {
		return m, err
	}
	err = eachField(msg[2:], func(num protowire.Number, val []byte, n uint64) error {
		switch {
		case num == 1 && m.kind == controlRefused:
			m.reason = printable(val)
		case num == readyTransfer && m.kind == controlReady:
			m.transfer = n
		case num == readyHas && m.kind == controlReady:
			m.has = int(min(n, maxItem))
		}
		return nil
	})
	return m, err
}

func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, string(b[:min(len(b), maxReason)]))
}

func encodeMeshPing(nonce uint64) []byte {
	return wire.AppendFixed64([]byte{wire.Version, membersPing}, memberNonce, nonce)
}

func encodeMeshPong(nonce, origin uint64) []byte {
	b := wire.AppendFixed64([]byte{wire.Version, membersPong}, memberNonce, nonce)
	return wire.AppendFixed64(b, memberOrigin, origin)
}

func encodeMembers(entries []memberEntry) []byte {
	b := []byte{wire.Version, membersAddrs}
	for _, e := range entries[:min(len(entries), maxMembers)] {
		one := protowire.AppendTag(nil, 1, protowire.VarintType)
		one = protowire.AppendVarint(one, e.id)
		one = wire.AppendFixed64(one, memberOrigin, e.origin)
		one = protowire.AppendTag(one, 3, protowire.BytesType)
		one = protowire.AppendString(one, e.addr)
		b = protowire.AppendTag(b, 1, protowire.BytesType)
		b = protowire.AppendBytes(b, one)
	}
	return b
}

// decodeMembers allocates no more than the message has entries, and at most
// maxMembers of them. Entries that are no use are left out.
func decodeMembers(msg []byte) (m memberMessage, err error) {
	if m.kind, err = openMessage(msg); err != nil {
		return m, err
	}
	err = eachField(msg[2:], func(num protowire.Number, val []byte, n uint64) error {
		switch {
		case m.kind == membersAddrs && num == 1:
			e, err := decodeEntry(val)
			if err != nil {
				return err
			}
			if e.id != 0 && e.id < 1<<48 && e.addr != "" && len(m.entries) < maxMembers {
				m.entries = append(m.entries, e)
			}
		case m.kind == membersNoWay && num == 1:
			m.addr = printable(val)
		case m.kind == membersNoWay && num == 2:
			m.why = printable(val)
		case num == 1:
			m.nonce = n
		case num == 2:
			m.origin = n
		}
		return nil
	})
	return m, err
}

func decodeEntry(b []byte) (e memberEntry, err error) {
	err = eachField(b, func(num protowire.Number, val []byte, n uint64) error {
		switch num {
		case 1:
			e.id = n
		case 2:
			e.origin = n
		case 3:
			e.addr = usableAddr(val)
		}
		return nil
	})
	return e, err
}

func openMessage(msg []byte) (kind byte, err error) {
	if len(msg) < 2 || msg[0] != wire.Version {
		return 0, errMeshMessage
	}
	return msg[1], nil
}

// eachField calls f for each field: with its bytes, or with its number.
func eachField(b []byte, f func(num protowire.Number, val []byte, n uint64) error) error {
	for len(b) > 0 {
		num, typ, tag := protowire.ConsumeTag(b)
		if tag < 0 {
			return errMeshMessage
		}
		b = b[tag:]
		var (
			val  []byte
			n    uint64
			size int
		)
		switch typ {
		case protowire.BytesType:
			val, size = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			n, size = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			n, size = protowire.ConsumeFixed64(b)
		default:
			if size = protowire.ConsumeFieldValue(num, typ, b); size >= 0 {
				b = b[size:]
				continue
			}
		}
		if size < 0 {
			return errMeshMessage
		}
		b = b[size:]
		if err := f(num, val, n); err != nil {
			return err
		}
	}
	return nil
}
