package bcache

import "time"

// A leaseAsk is a fill that waits for its lease, or has it.
type leaseAsk struct {
	want  leaseMsg
	peer  uint64        // whom it has asked
	heard turnOpcode    // what that one said last; 0 = nothing yet
	again time.Duration // when to go on without an answer, or ask again; with turnFailed, when it may
	since time.Duration // it has waited, or with turnGranted, had the lease
	limit time.Duration // it waits for others no longer
	wake  func()        // there is something new to be heard

	waited       bool // somebody else was to be waited for
	offered      bool // with turnFilled: the value comes as an offer
	refused      bool // an offer had to be refused since it asked
	waitedEnough bool // what it waited for couldn't be had: it doesn't wait a second time
}

// waits reports whether something may still be heard.
func (a *leaseAsk) waits() bool {
	return a.heard == 0 || a.heard == turnWait || a.heard == turnFilled
}

// lasted reports whether a fill was waited for, or has run, for so long that a deadline says something
// about it: who is in a hurry says nothing.
func (a *leaseAsk) lasted(now instant) bool {
	return (a.waited || a.heard == turnGranted) && now.mono-a.since >= leaseReach
}

// turn is what the fill is told of what was heard.
func (a *leaseAsk) turn() leaseTurn {
	switch a.heard {
	case turnGranted:
		return leaseGranted
	case turnWait, turnFilled:
		return leaseWait
	case turnAlone:
		return leaseAlone
	case turnFailed:
		return leaseFailed
	}
	return leaseUnheard
}

// next is when to look at it again: no later than at its limit.
func (a *leaseAsk) next() time.Duration {
	if a.waits() {
		return min(a.again, a.limit)
	}
	return a.again
}

// declined is the message that it doesn't wait any more, or gives the lease back.
func (a *leaseAsk) declined() leaseMsg {
	return leaseMsg{id: a.want.id, op: opDeclined, key: a.want.key}
}

// id is the ask's identity, among those of its node.
func (a *leaseAsk) id() uint64 { return a.want.id }
