package bcache

import "time"

// What leases and the fills that want them say to each other.

// A leaseTurn tells a fill whether it is its turn.
type leaseTurn uint8

const (
	leaseUnheard leaseTurn = iota // nothing was heard yet
	leaseWait                     // others have the lease, or the value is on its way
	leaseGranted                  // fill: this node has the lease
	leaseAlone                    // fill, without a lease
	leaseFailed                   // another node's fill has failed, and there is an old value to serve
)

// A tryEnd is how a fill that wanted a lease has ended.
type tryEnd uint8

const (
	tryDeclined tryEnd = iota // it wasn't tried, or nobody wants it any more
	tryFilled                 // its value is on its way to the other nodes
	tryUncached               // it has a value that others can't have
	tryOffered                // it has a value that the neighbours are offered: they may have to refuse it
	tryFailed
)

// A leaseOutcome is what a fill says of its end. The zero value is a fill that was declined.
type leaseOutcome struct {
	end      tryEnd
	stamp    uint64        // with tryFilled: of what was written,
	deadline int64         // and its deadline in Unix milliseconds; 0 = none
	retry    time.Duration // with tryFailed: for how long the key is better left alone
	late     bool          // with tryDeclined: it didn't end before the deadline of a caller who waited
}

// message is what the node that grants the lease is told.
func (o leaseOutcome) message() leaseMsg {
	switch o.end {
	case tryFilled:
		return leaseMsg{op: opFilled, stamp: o.stamp, wall: max(o.deadline, 0)}
	case tryUncached:
		return leaseMsg{op: opUncached}
	case tryOffered:
		return leaseMsg{op: opUncached, offered: true}
	case tryFailed:
		return leaseMsg{op: opFailed, term: min(toMs(o.retry), maxLeaseTerm)}
	}
	return leaseMsg{op: opDeclined, late: o.late}
}
