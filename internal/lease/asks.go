package lease

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/wire"
)

// Asks are the asks of this node's fills: each is for the lease of a key, and goes to the node that
// grants it. Their caller has the lock.
type Asks struct {
	byID   map[uint64]*Ask
	byKey  map[string][]*Ask
	Missed uint64 // fills so far for which there was no lease to be had
	none   bool   // there are none, and won't be: the node is local, or closed
	net    Net

	// tell sends what is said to the node that grants a lease. It returns false if that is known not
	// to arrive. The node may be this one: then its answer may come before tell returns.
	tell func(now delta.Instant, peer uint64, m wire.LeaseMsg) bool
}

func newLeaseAsks(net Net) *Asks {
	return &Asks{byID: map[uint64]*Ask{}, byKey: map[string][]*Ask{}, net: net}
}

// Ask asks for the lease of a key: for how long it is wanted, and whether an old value is held that
// can be served in case somebody else's fill fails. wake is called, under the lock, when TurnOf has
// something to say.
func (s *Asks) Ask(now delta.Instant, key string, old bool, term time.Duration, wake func()) *Ask {
	a := &Ask{wake: wake}
	ms := min(max(delta.ToMs(term), 1), wire.MaxLeaseTerm)
	a.Want = wire.LeaseMsg{Op: wire.OpWant, Key: key, Term: ms}
	if old {
		a.Want.Op = wire.OpWantOld
	}
	a.limit = now.Mono + delta.Ms(a.Want.Term)
	s.begin(now, a)
	return a
}

// AskAgain asks for a lease that was declined, or has ended, as if for the first time, but that all
// waiting for others counts together.
func (s *Asks) AskAgain(now delta.Instant, a *Ask) {
	a.waitedEnough = a.waitedEnough || a.waited
	s.begin(now, a)
}

func (s *Asks) begin(now delta.Instant, a *Ask) {
	a.Want.ID, a.since, a.waited = max(s.net.Nonce(), 1), now.Mono, false
	if s.none || s.net.Alone() || len(a.Want.Key) > wire.MaxLeaseKey {
		a.Heard = wire.TurnAlone
		return
	}
	s.byID[a.Want.ID] = a
	s.byKey[a.Want.Key] = append(s.byKey[a.Want.Key], a)
	s.route(now, a)
}

// route asks the node that grants the key's lease.
func (s *Asks) route(now delta.Instant, a *Ask) {
	if s.net.Alone() {
		s.withdraw(now, a)
		s.goAlone(a)
		return
	}
	peer, ok := Granter(a.Want.Key, s.net.Granters())
	a.peer, a.Heard, a.again = peer, 0, now.Mono+Reach
	a.Want.Wall, a.Want.Stamp = now.Wall, s.net.TakesAbove(a.Want.Key)
	a.offered, a.refused = false, false
	if !ok || !s.tell(now, a.peer, a.Want) {
		s.miss(a)
	}
}

// another asks again because what it waited for can't be had here.
func (s *Asks) another(now delta.Instant, a *Ask) {
	a.waitedEnough = true
	s.route(now, a)
}

// TurnOf says whether it is a fill's turn. With Failed it says for how long the key is better left
// alone, with Wait and Unheard when to look again, unless wake comes before.
func (s *Asks) TurnOf(now delta.Instant, a *Ask) (Turn, time.Duration) {
	switch {
	case now.Mono < a.limit && a.Heard == wire.TurnFilled && !a.offered && !a.waitedEnough && s.passed(a):
		s.another(now, a)
	case a.waits() && now.Mono >= a.next():
		s.lookAgain(now, a)
	}
	return a.turn(), a.next() - now.Mono
}

// passed reports whether this node takes less of a key than when it asked: then what was written has
// come, and wasn't taken, as a Clear was about it; or a Clear has come that is about it when it comes.
func (s *Asks) passed(a *Ask) bool { return s.net.TakesAbove(a.Want.Key) > a.Want.Stamp }

// lookAgain deals with the end of a wait.
func (s *Asks) lookAgain(now delta.Instant, a *Ask) {
	switch {
	case a.Heard == 0 && now.Mono >= a.again:
		s.withdraw(now, a)
		s.miss(a)
	case now.Mono >= a.limit, a.Heard == wire.TurnFilled && !a.offered:
		s.withdraw(now, a)
		s.goAlone(a)
	case a.Heard == wire.TurnFilled:
		s.another(now, a)
	default:
		s.route(now, a)
	}
}

// Hear deals with an answer.
func (s *Asks) Hear(now delta.Instant, from uint64, m wire.TurnMsg) {
	a := s.byID[m.ID]
	switch {
	case a == nil || a.peer != from:
		if m.Op == wire.TurnGranted { // it is waited for elsewhere
			s.tell(now, from, wire.LeaseMsg{ID: m.ID, Op: wire.OpDeclined, Key: m.Key})
		}
	case a.Heard != wire.TurnGranted: // what comes after that was said before
		s.heed(now, a, m)
		a.wake()
	}
}

// heed does what an answer has an ask do.
func (s *Asks) heed(now delta.Instant, a *Ask, m wire.TurnMsg) {
	switch m.Op {
	case wire.TurnGranted:
		a.Heard, a.since = wire.TurnGranted, now.Mono
	case wire.TurnWait:
		if a.waitedEnough { // it has waited for a try already
			s.withdraw(now, a)
			s.goAlone(a)
			break
		}
		a.Heard, a.waited = wire.TurnWait, true
		a.again = now.Mono + min(max(delta.Ms(m.Term), time.Millisecond), Again)
	case wire.TurnFilled:
		a.Heard, a.waited, a.offered = wire.TurnFilled, true, m.Offered
		if a.again = now.Mono + Reach; m.Offered && a.refused {
			s.another(now, a)
		}
	case wire.TurnAlone:
		if s.goAlone(a); m.Full {
			s.Missed++
		}
	case wire.TurnFailed:
		s.remove(a)
		a.Heard, a.again = wire.TurnFailed, now.Mono+delta.Ms(m.Term)
	}
}

// OfferRefused tells that a value of a key was offered to this node and can't be accepted.
func (s *Asks) OfferRefused(now delta.Instant, key string) {
	for _, a := range slices.Clone(s.byKey[key]) {
		switch {
		case a.Heard == wire.TurnFilled && a.offered:
			s.another(now, a)
			a.wake()
		case a.waits():
			a.refused = true // it will hear of the offer
		}
	}
}

// Suspect tells that a caller has waited for another node's fill until a deadline, so that it may
// hang: who asks next is granted the lease, and that is this one, for those who still wait.
func (s *Asks) Suspect(now delta.Instant, a *Ask) {
	if !a.waits() || !a.lasted(now) {
		return
	}
	s.remove(a)
	m := a.declined()
	m.Late = true
	s.tell(now, a.peer, m)
	s.begin(now, a)
}

// Decline gives back a lease that was granted, to be asked for again, and reports whether it was.
func (s *Asks) Decline(now delta.Instant, a *Ask) bool {
	if s.byID[a.Want.ID] != a || a.Heard != wire.TurnGranted {
		return false
	}
	s.remove(a)
	s.withdraw(now, a)
	return true
}

// End says what has become of a fill.
func (s *Asks) End(now delta.Instant, a *Ask, o Outcome) {
	if s.byID[a.Want.ID] != a {
		return
	}
	s.remove(a)
	o.Late = o.Late && a.lasted(now)
	if a.Heard != wire.TurnGranted {
		o.End = TryDeclined
	}
	m := o.message()
	m.ID, m.Key = a.Want.ID, a.Want.Key
	s.tell(now, a.peer, m)
}

// withdraw tells the granting node that it doesn't wait any more.
func (s *Asks) withdraw(now delta.Instant, a *Ask) { s.tell(now, a.peer, a.declined()) }

// miss is goAlone because there is no lease to be had.
func (s *Asks) miss(a *Ask) {
	s.goAlone(a)
	s.Missed++
}

// goAlone has it fill without a lease.
func (s *Asks) goAlone(a *Ask) {
	s.remove(a)
	a.Heard = wire.TurnAlone
}

func (s *Asks) remove(a *Ask) {
	delete(s.byID, a.Want.ID)
	others := slices.DeleteFunc(s.byKey[a.Want.Key], func(o *Ask) bool { return o == a })
	if s.byKey[a.Want.Key] = others; len(others) == 0 {
		delete(s.byKey, a.Want.Key)
	}
}

// Close has all who wait for others, and all who ask later, fill for themselves.
func (s *Asks) Close() {
	s.none = true
	for _, key := range slices.Sorted(maps.Keys(s.byKey)) {
		for _, a := range slices.Clone(s.byKey[key]) {
			if a.waits() {
				s.goAlone(a)
				a.wake()
			}
		}
	}
}

// Left asks somebody else, in steps, what a node was asked that is gone.
func (s *Asks) Left(now delta.Instant, peer uint64) func(yield func() bool) {
	var asks []*Ask
	for _, a := range s.byID {
		if a.peer == peer && a.Heard != wire.TurnGranted {
			asks = append(asks, a)
		}
	}
	slices.SortFunc(asks, func(a, b *Ask) int { return cmp.Compare(a.Want.ID, b.Want.ID) })
	return inSteps(asks, func(a *Ask) {
		if s.byID[a.Want.ID] == a && a.peer == peer {
			s.route(now, a)
			a.wake()
		}
	})
}

// AskedOf returns whom an ask has asked.
func (a *Asks) AskedOf(id uint64) (peer uint64, ok bool) {
	if ask := a.byID[id]; ask != nil {
		return ask.peer, true
	}
	return 0, false
}

// Len is how many asks there are.
func (a *Asks) Len() int {
	return len(a.byID)
}
