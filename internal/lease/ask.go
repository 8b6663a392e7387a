package lease

import (
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/wire"
)

// An Ask is a fill that waits for its lease, or has it.
type Ask struct {
	Want  wire.LeaseMsg
	peer  uint64          // whom it has asked
	Heard wire.TurnOpcode // what that one said last; 0 = nothing yet
	again time.Duration   // when to go on without an answer, or ask again; with TurnFailed, when it may
	since time.Duration   // it has waited, or with TurnGranted, had the lease
	limit time.Duration   // it waits for others no longer
	wake  func()          // there is something new to be heard

	waited       bool // somebody else was to be waited for
	offered      bool // with TurnFilled: the value comes as an offer
	refused      bool // an offer had to be refused since it asked
	waitedEnough bool // what it waited for couldn't be had: it doesn't wait a second time
}

// waits reports whether something may still be heard.
func (a *Ask) waits() bool {
	return a.Heard == 0 || a.Heard == wire.TurnWait || a.Heard == wire.TurnFilled
}

// lasted reports whether a fill was waited for, or has run, for so long that a deadline says something
// about it: who is in a hurry says nothing.
func (a *Ask) lasted(now delta.Instant) bool {
	return (a.waited || a.Heard == wire.TurnGranted) && now.Mono-a.since >= Reach
}

// turn is what the fill is told of what was heard.
func (a *Ask) turn() Turn {
	switch a.Heard {
	case wire.TurnGranted:
		return Granted
	case wire.TurnWait, wire.TurnFilled:
		return Wait
	case wire.TurnAlone:
		return Alone
	case wire.TurnFailed:
		return Failed
	}
	return Unheard
}

// next is when to look at it again: no later than at its limit.
func (a *Ask) next() time.Duration {
	if a.waits() {
		return min(a.again, a.limit)
	}
	return a.again
}

// declined is the message that it doesn't wait any more, or gives the lease back.
func (a *Ask) declined() wire.LeaseMsg {
	return wire.LeaseMsg{ID: a.Want.ID, Op: wire.OpDeclined, Key: a.Want.Key}
}

// ID is the ask's identity, among those of its node.
func (a *Ask) ID() uint64 { return a.Want.ID }
