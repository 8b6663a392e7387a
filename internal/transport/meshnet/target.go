package meshnet

import (
	"errors"
	"math/rand/v2"
	"time"
)

const (
	dialFirst   = 250 * time.Millisecond // after a failure; it doubles
	dialMost    = 3 * time.Second        // between dials of a configured address
	dialLearned = 2 * time.Minute        // and of one that was learnt
	dialSelf    = 30 * time.Second       // between dials of an address of our own
)

// A dialTarget is an address to dial. It is under dialTargets.mu.
type dialTarget struct {
	name       string // as it was configured or learnt
	configured bool
	peer       uint64 // who was there; 0 is unknown
	busy       bool
	next       time.Time
	delay      time.Duration
	self       int // times that this node answered
	trouble    dialTrouble
	failed     time.Time // the last try
	fails      int       // in a row
}

// A dialTrouble is how the tries to reach an address fail, since the last one that didn't.
type dialTrouble struct {
	err   error // of the last try; nil if there is no trouble
	since time.Time
}

func (t *dialTrouble) note(err error, now time.Time) {
	if t.err == nil {
		t.since = now
	}
	t.err = err
}

// own reports whether the address is this node's. It is still dialled now and then: a
// balancer's leads elsewhere the next time. Once may be an accident: dialling a
// free port of one's own host, TCP may connect to itself (RFC 793, figure 8).
func (g *dialTarget) own() bool { return g.self >= 2 }

// after notes how a dial ended and when the next one may begin. It reports whether the
// dial has met a node that is connected.
func (g *dialTarget) after(err error, now time.Time) (met bool) {
	if err == nil || errors.Is(err, errMeshHave) {
		g.self = 0
		g.next = now.Add(max(dialFirst, g.delay)) // see lost
		return true
	}
	if err.Error() == self {
		g.self++
	}
	if g.trouble.note(err, now); g.own() {
		g.trouble.err = nil
	}
	g.fail(now)
	return false
}

// fail doubles the delay. The other side of a failed dial has the same one, so it varies.
func (g *dialTarget) fail(now time.Time) {
	most := dialLearned
	if g.configured {
		most = dialMost
	}
	g.delay = min(max(2*g.delay, dialFirst), most)
	wait := g.delay
	if g.own() {
		wait = max(wait, dialSelf)
	}
	g.failed = now
	g.next = now.Add(wait*4/5 + rand.N(wait/5))
}
