package bcache

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// The frames of leases: who wants to fill a key asks the node that grants its lease, and tells it
// what became of that; the other one says whose turn it is.
const (
	leaseID    = 1<<3 | wireFixed64
	leaseOp    = 2<<3 | wireVarint
	leaseKey   = 3<<3 | wireBytes
	leaseStamp = 4<<3 | wireFixed64
	leaseWall  = 5<<3 | wireVarint
	leaseTerm  = 6<<3 | wireVarint
	leaseKnown = 6

	leaseOffered = 16<<3 | wireVarint
	leaseLate    = 19<<3 | wireVarint

	turnID    = 1<<3 | wireFixed64
	turnOp    = 2<<3 | wireVarint
	turnTerm  = 3<<3 | wireVarint
	turnKey   = 4<<3 | wireBytes
	turnKnown = 4

	turnOffered = 16<<3 | wireVarint
	turnFull    = 19<<3 | wireVarint

	// maxLeaseKey is how long a key may be for which there are leases, in bytes.
	maxLeaseKey = 1 << 10

	// maxLeaseTerm is the longest time that is taken from a peer, in milliseconds.
	maxLeaseTerm = 60_000
)

// A leaseMsg is about a lease of a key, from who wants it, or has it.
type leaseMsg struct {
	id    uint64 // a nonce of who asks: the same in all that is said about this fill
	op    leaseOpcode
	key   string
	stamp uint64 // up to which the sender takes no version, or with opFilled, of what was written; 0 = none
	wall  int64  // its clock, or with opFilled, the deadline of that version, 0 = none; Unix milliseconds
	term  uint64 // for how long it wants it, or with opFailed, isn't to be asked for; ms

	offered bool // with opUncached: the neighbours are offered the value, so it may come nevertheless
	late    bool // with opDeclined: the fill didn't come to an end before the deadline of who waited

	echo, origin uint64 // the sender's
}

type leaseOpcode uint64

const (
	opWant     leaseOpcode = iota + 1 // grant it to me, when it is my turn
	opWantOld                         // the same, but there is an old value to serve if others fail
	opFilled                          // the fill has ended, and its value is on its way
	opUncached                        // it has ended, and others can't have its value
	opFailed                          // it has failed
	opDeclined                        // it isn't wanted any more

	maxLeaseOp = opDeclined
)

// A turnMsg answers, at once or later.
type turnMsg struct {
	id   uint64 // the leaseMsg's
	op   turnOpcode
	term uint64 // ms
	key  string // with turnGranted: who doesn't want it any more has forgotten which it was

	offered bool // with turnFilled: the value comes as an offer, which may have to be refused
	full    bool // with turnAlone: there was no room for another lease

	echo, origin uint64 // the sender's
}

type turnOpcode uint64

const (
	turnGranted turnOpcode = iota + 1 // it is yours for the term
	turnWait                          // somebody else has it; ask again after the term
	turnFilled                        // somebody has filled it, and the value is on its way
	turnAlone                         // fill for yourself
	turnFailed                        // somebody's fill has failed; ask again after the term

	maxTurnOp = turnFailed
)

func appendLease(dst []byte, m leaseMsg) []byte {
	dst = append(dst, wireVersion, frameLease)
	dst = appendFixed64(dst, leaseID, m.id)
	dst = appendVarint(dst, leaseOp, uint64(m.op))
	dst = appendString(dst, leaseKey, m.key)
	dst = appendFixed64(dst, leaseStamp, m.stamp)
	dst = appendVarint(dst, leaseWall, uint64(m.wall))
	dst = appendVarint(dst, leaseTerm, m.term)
	dst = appendFlag(dst, leaseOffered, m.offered)
	dst = appendEchoOf(dst, m.echo, m.origin)
	return appendFlag(dst, leaseLate, m.late)
}

func decodeLease(frame []byte) (m leaseMsg, err error) {
	body, err := frameBody(frame, frameLease)
	if err != nil {
		return m, err
	}
	fields := fieldReader{rest: body, singular: singular(leaseKnown)}
	var key []byte
	for len(fields.rest) > 0 {
		f, err := fields.next()
		if err != nil {
			return leaseMsg{}, err
		}
		switch f.tag {
		case leaseID:
			m.id = f.x
		case leaseOp:
			m.op = leaseOpcode(f.x)
		case leaseKey:
			key = f.data
		case leaseStamp:
			m.stamp = f.x
		case leaseWall:
			m.wall = int64(f.x)
		case leaseTerm:
			m.term = f.x
		case leaseOffered:
			m.offered = f.x != 0
		case leaseLate:
			m.late = f.x != 0
		case echoCount:
			m.echo = f.x
		case echoOrigin:
			m.origin = f.x
		default:
			if err := f.unknown(leaseKnown); err != nil {
				return leaseMsg{}, err
			}
		}
	}
	switch {
	case m.id == 0 || m.op == 0 || len(key) > maxLeaseKey || m.stamp > maxStamp || m.term > maxLeaseTerm:
		return leaseMsg{}, fmt.Errorf("%w: lease %d, op %d, a key of %d bytes, stamp %d, term %d",
			errMalformed, m.id, m.op, len(key), m.stamp, m.term)
	case m.op > maxLeaseOp:
		return leaseMsg{}, fmt.Errorf("%w: lease op %d", errUnsupported, m.op)
	}
	m.key = string(key)
	return m, nil
}

func appendTurn(dst []byte, m turnMsg) []byte {
	dst = append(dst, wireVersion, frameTurn)
	dst = appendFixed64(dst, turnID, m.id)
	dst = appendVarint(dst, turnOp, uint64(m.op))
	dst = appendVarint(dst, turnTerm, m.term)
	dst = appendString(dst, turnKey, m.key)
	dst = appendFlag(dst, turnOffered, m.offered)
	dst = appendEchoOf(dst, m.echo, m.origin)
	return appendFlag(dst, turnFull, m.full)
}

// appendFlag appends a field numbered 16 or more, whose tag takes two bytes.
func appendFlag(dst []byte, tag byte, set bool) []byte {
	if !set {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendVarint(dst, uint64(tag)), 1)
}

func decodeTurn(frame []byte) (m turnMsg, err error) {
	body, err := frameBody(frame, frameTurn)
	if err != nil {
		return m, err
	}
	fields := fieldReader{rest: body, singular: singular(turnKnown)}
	var key []byte
	for len(fields.rest) > 0 {
		f, err := fields.next()
		if err != nil {
			return turnMsg{}, err
		}
		switch f.tag {
		case turnID:
			m.id = f.x
		case turnOp:
			m.op = turnOpcode(f.x)
		case turnTerm:
			m.term = f.x
		case turnKey:
			key = f.data
		case turnOffered:
			m.offered = f.x != 0
		case turnFull:
			m.full = f.x != 0
		case echoCount:
			m.echo = f.x
		case echoOrigin:
			m.origin = f.x
		default:
			if err := f.unknown(turnKnown); err != nil {
				return turnMsg{}, err
			}
		}
	}
	switch {
	case m.id == 0 || m.op == 0 || len(key) > maxLeaseKey || m.term > maxLeaseTerm:
		return turnMsg{}, fmt.Errorf("%w: turn %d, op %d, a key of %d bytes, term %d", errMalformed, m.id, m.op, len(key), m.term)
	case m.op > maxTurnOp:
		return turnMsg{}, fmt.Errorf("%w: turn op %d", errUnsupported, m.op)
	}
	m.key = string(key)
	return m, nil
}
