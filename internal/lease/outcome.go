package lease

import (
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/wire"
)

// What leases and the fills that want them say to each other.

// A Turn tells a fill whether it is its turn.
type Turn uint8

const (
	Unheard Turn = iota // nothing was heard yet
	Wait                // others have the lease, or the value is on its way
	Granted             // fill: this node has the lease
	Alone               // fill, without a lease
	Failed              // another node's fill has failed, and there is an old value to serve
)

// A TryEnd is how a fill that wanted a lease has ended.
type TryEnd uint8

const (
	TryDeclined TryEnd = iota // it wasn't tried, or nobody wants it any more
	TryFilled                 // its value is on its way to the other nodes
	TryUncached               // it has a value that others can't have
	TryOffered                // it has a value that the neighbours are offered: they may have to refuse it
	TryFailed
)

// An Outcome is what a fill says of its end. The zero value is a fill that was declined.
type Outcome struct {
	End      TryEnd
	Stamp    uint64        // with TryFilled: of what was written,
	Deadline int64         // and its deadline in Unix milliseconds; 0 = none
	Retry    time.Duration // with TryFailed: for how long the key is better left alone
	Late     bool          // with TryDeclined: it didn't end before the deadline of a caller who waited
}

// message is what the node that grants the lease is told.
func (o Outcome) message() wire.LeaseMsg {
	switch o.End {
	case TryFilled:
		return wire.LeaseMsg{Op: wire.OpFilled, Stamp: o.Stamp, Wall: max(o.Deadline, 0)}
	case TryUncached:
		return wire.LeaseMsg{Op: wire.OpUncached}
	case TryOffered:
		return wire.LeaseMsg{Op: wire.OpUncached, Offered: true}
	case TryFailed:
		return wire.LeaseMsg{Op: wire.OpFailed, Term: min(delta.ToMs(o.Retry), wire.MaxLeaseTerm)}
	}
	return wire.LeaseMsg{Op: wire.OpDeclined, Late: o.Late}
}
