package wire

import (
	"fmt"

	"github.com/iwanbk/bcache/internal/delta"
	"google.golang.org/protobuf/encoding/protowire"
)

// The frames of leases: who wants to fill a key asks the node that grants its lease, and tells it
// what became of that; the other one says whose turn it is.
const (
	leaseID    = 1<<3 | TypeFixed64
	leaseOp    = 2<<3 | TypeVarint
	leaseKey   = 3<<3 | TypeBytes
	leaseStamp = 4<<3 | TypeFixed64
	leaseWall  = 5<<3 | TypeVarint
	leaseTerm  = 6<<3 | TypeVarint
	leaseKnown = 6

	leaseOffered = 16<<3 | TypeVarint
	leaseLate    = 19<<3 | TypeVarint

	turnID    = 1<<3 | TypeFixed64
	turnOp    = 2<<3 | TypeVarint
	turnTerm  = 3<<3 | TypeVarint
	turnKey   = 4<<3 | TypeBytes
	turnKnown = 4

	turnOffered = 16<<3 | TypeVarint
	turnFull    = 19<<3 | TypeVarint

	// MaxLeaseKey is how long a key may be for which there are leases, in bytes.
	MaxLeaseKey = 1 << 10

	// MaxLeaseTerm is the longest time that is taken from a peer, in milliseconds.
	MaxLeaseTerm = 60_000
)

// A LeaseMsg is about a lease of a key, from who wants it, or has it.
type LeaseMsg struct {
	ID    uint64 // a nonce of who asks: the same in all that is said about this fill
	Op    LeaseOpcode
	Key   string
	Stamp uint64 // up to which the sender takes no version, or with OpFilled, of what was written; 0 = none
	Wall  int64  // its clock, or with OpFilled, the deadline of that version, 0 = none; Unix milliseconds
	Term  uint64 // for how long it wants it, or with OpFailed, isn't to be asked for; ms

	Offered bool // with OpUncached: the neighbours are offered the value, so it may come nevertheless
	Late    bool // with OpDeclined: the fill didn't come to an end before the deadline of who waited

	Echo, Origin uint64 // the sender's
}

type LeaseOpcode uint64

const (
	OpWant     LeaseOpcode = iota + 1 // grant it to me, when it is my turn
	OpWantOld                         // the same, but there is an old value to serve if others fail
	OpFilled                          // the fill has ended, and its value is on its way
	OpUncached                        // it has ended, and others can't have its value
	OpFailed                          // it has failed
	OpDeclined                        // it isn't wanted any more

	maxLeaseOp = OpDeclined
)

// A TurnMsg answers, at once or later.
type TurnMsg struct {
	ID   uint64 // the LeaseMsg's
	Op   TurnOpcode
	Term uint64 // ms
	Key  string // with TurnGranted: who doesn't want it any more has forgotten which it was

	Offered bool // with TurnFilled: the value comes as an offer, which may have to be refused
	Full    bool // with TurnAlone: there was no room for another lease

	Echo, Origin uint64 // the sender's
}

type TurnOpcode uint64

const (
	TurnGranted TurnOpcode = iota + 1 // it is yours for the term
	TurnWait                          // somebody else has it; ask again after the term
	TurnFilled                        // somebody has filled it, and the value is on its way
	TurnAlone                         // fill for yourself
	TurnFailed                        // somebody's fill has failed; ask again after the term

	maxTurnOp = TurnFailed
)

func AppendLease(dst []byte, m LeaseMsg) []byte {
	dst = append(dst, Version, FrameLease)
	dst = AppendFixed64(dst, leaseID, m.ID)
	dst = AppendVarint(dst, leaseOp, uint64(m.Op))
	dst = appendString(dst, leaseKey, m.Key)
	dst = AppendFixed64(dst, leaseStamp, m.Stamp)
	dst = AppendVarint(dst, leaseWall, uint64(m.Wall))
	dst = AppendVarint(dst, leaseTerm, m.Term)
	dst = appendFlag(dst, leaseOffered, m.Offered)
	dst = appendEchoOf(dst, m.Echo, m.Origin)
	return appendFlag(dst, leaseLate, m.Late)
}

func DecodeLease(frame []byte) (m LeaseMsg, err error) {
	body, err := frameBody(frame, FrameLease)
	if err != nil {
		return m, err
	}
	fields := fieldReader{rest: body, singular: singular(leaseKnown)}
	var key []byte
	for len(fields.rest) > 0 {
		f, err := fields.next()
		if err != nil {
			return LeaseMsg{}, err
		}
		switch f.tag {
		case leaseID:
			m.ID = f.x
		case leaseOp:
			m.Op = LeaseOpcode(f.x)
		case leaseKey:
			key = f.data
		case leaseStamp:
			m.Stamp = f.x
		case leaseWall:
			m.Wall = int64(f.x)
		case leaseTerm:
			m.Term = f.x
		case leaseOffered:
			m.Offered = f.x != 0
		case leaseLate:
			m.Late = f.x != 0
		case echoCount:
			m.Echo = f.x
		case echoOrigin:
			m.Origin = f.x
		default:
			if err := f.unknown(leaseKnown); err != nil {
				return LeaseMsg{}, err
			}
		}
	}
	switch {
	case m.ID == 0 || m.Op == 0 || len(key) > MaxLeaseKey ||
		m.Stamp > delta.MaxStamp || m.Term > MaxLeaseTerm:
		return LeaseMsg{}, fmt.Errorf("%w: lease %d, op %d, a key of %d bytes, stamp %d, term %d",
			ErrMalformed, m.ID, m.Op, len(key), m.Stamp, m.Term)
	case m.Op > maxLeaseOp:
		return LeaseMsg{}, fmt.Errorf("%w: lease op %d", ErrUnsupported, m.Op)
	}
	m.Key = string(key)
	return m, nil
}

func AppendTurn(dst []byte, m TurnMsg) []byte {
	dst = append(dst, Version, FrameTurn)
	dst = AppendFixed64(dst, turnID, m.ID)
	dst = AppendVarint(dst, turnOp, uint64(m.Op))
	dst = AppendVarint(dst, turnTerm, m.Term)
	dst = appendString(dst, turnKey, m.Key)
	dst = appendFlag(dst, turnOffered, m.Offered)
	dst = appendEchoOf(dst, m.Echo, m.Origin)
	return appendFlag(dst, turnFull, m.Full)
}

// appendFlag appends a field numbered 16 or more, whose tag takes two bytes.
func appendFlag(dst []byte, tag byte, set bool) []byte {
	if !set {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendVarint(dst, uint64(tag)), 1)
}

func DecodeTurn(frame []byte) (m TurnMsg, err error) {
	body, err := frameBody(frame, FrameTurn)
	if err != nil {
		return m, err
	}
	fields := fieldReader{rest: body, singular: singular(turnKnown)}
	var key []byte
	for len(fields.rest) > 0 {
		f, err := fields.next()
		if err != nil {
			return TurnMsg{}, err
		}
		switch f.tag {
		case turnID:
			m.ID = f.x
		case turnOp:
			m.Op = TurnOpcode(f.x)
		case turnTerm:
			m.Term = f.x
		case turnKey:
			key = f.data
		case turnOffered:
			m.Offered = f.x != 0
		case turnFull:
			m.Full = f.x != 0
		case echoCount:
			m.Echo = f.x
		case echoOrigin:
			m.Origin = f.x
		default:
			if err := f.unknown(turnKnown); err != nil {
				return TurnMsg{}, err
			}
		}
	}
	switch {
	case m.ID == 0 || m.Op == 0 || len(key) > MaxLeaseKey || m.Term > MaxLeaseTerm:
		return TurnMsg{}, fmt.Errorf("%w: turn %d, op %d, a key of %d bytes, term %d",
			ErrMalformed, m.ID, m.Op, len(key), m.Term)
	case m.Op > maxTurnOp:
		return TurnMsg{}, fmt.Errorf("%w: turn op %d", ErrUnsupported, m.Op)
	}
	m.Key = string(key)
	return m, nil
}
