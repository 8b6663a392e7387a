package memberlist

import (
	"errors"
	"math/rand/v2"
	"time"
)

// spotFresh is how often an address is dialled at once where nobody was, as a member that is new says that it
// is there.
const spotFresh = time.Second

// A spots has the addresses that are dialled, or where nobody has answered. However many members say that they
// are at one, it is dialled by one at a time, and ever more seldom. The dialer's lock is held.
type spots map[string]*spot

type spot struct {
	next     time.Time // not before
	fresh    time.Time // when a new member had it be dialled at once
	failures int
	busy     bool
	renewed  bool // a new member has come meanwhile
}

// closed returns for how long an address isn't dialled, and whether it is being dialled.
func (p spots) closed(addr string, now time.Time) (left time.Duration, busy bool) {
	if one := p[addr]; one != nil {
		return one.next.Sub(now), one.busy
	}
	return 0, false
}

// renew takes note of a new member: a node that was restarted is dialled soon, however long nobody was there.
func (p spots) renew(addr string, now time.Time) {
	if one := p[addr]; one != nil {
		one.renewed = one.busy
		one.soon(now)
	}
}

func (s *spot) soon(now time.Time) {
	at := s.fresh.Add(spotFresh)
	if at.Before(now) {
		at = now
	}
	if s.next.After(at) {
		s.next, s.fresh = at, at
	}
}

func (p spots) begin(addr string) {
	if p[addr] == nil {
		p[addr] = &spot{}
	}
	p[addr].busy = true
}

// end takes note of how a dial ended. Who answers is there, whoever it is.
func (p spots) end(addr string, err error, now time.Time) {
	if err == nil || errors.As(err, new(answered)) || isAnyRefusal(err) {
		delete(p, addr)
	} else if one := p[addr]; one != nil {
		one.busy, one.next = false, now.Add(backoff(one.failures))
		if one.failures++; one.renewed {
			one.renewed = false
			one.soon(now)
		}
	}
}

// An answered says that another node is at an address.
type answered struct{ error }

// backoff is how long nobody is dialled after so many failures and one.
func backoff(failures int) time.Duration {
	pause := min(dialAgain<<min(failures, 10), dialMost)
	return pause/2 + rand.N(pause)
}
