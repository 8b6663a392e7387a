package nats

import (
	"context"
	"time"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/transport"
)

const (
	sessionLeast = 2 * time.Second  // a node that is too slow begins another session no earlier
	reopenEvery  = time.Second      // nats.go has given up: it is called again
	deniedFor    = 10 * time.Second // until a connection is made anew on which the server denies something
	aloneAfter   = 5 * time.Second  // a node says that it hears no other one
)

// A presence keeps this node there: it begins a session with each connection, says that the node is
// alive, and tells the handler who comes and goes. That it does alone: so Joined and Left alternate.
type presence struct {
	link    *link
	roster  *roster
	pub     *publisher
	upcalls *upcalls
	log     transport.Logger
	who     string // subject
	card    func(b []byte) []byte
	outlet  func() *outlet // for what is broadcast in a session
	wake    chan struct{}
	over    chan struct{} // run has returned

	session uint32
	seen    uint64    // of link.losses
	began   time.Time // the session
	opened  time.Time // the link, last
	spoken  time.Time // the last alive was due
	here    bool      // hello was said
	alone   bool      // it was said that no other node is there
}

func (p *presence) run(ctx context.Context) {
	defer close(p.over)
	t := time.NewTimer(p.untilTick(time.Now()))
	defer t.Stop()
	for {
		now := time.Now()
		p.look(ctx, now)
		p.tell()
		select {
		case <-p.wake:
		case now := <-t.C:
			p.roster.tick(now)
			p.tick(now)
			t.Reset(p.untilTick(time.Now()))
		case <-ctx.Done():
			return
		}
	}
}

// untilTick is how long it is to the next tick. By the wall clock those of all nodes are at the same times,
// of one half of them between those of the other. So what many say comes together, and wakes a node and the
// server only once for several of them.
func (p *presence) untilTick(now time.Time) time.Duration {
	own := time.Duration(p.roster.self.id%2) * tick / 2
	return tick - time.Duration(now.Add(own).UnixNano())%tick
}

// look begins another session if something may have been lost, and says hello once the server listens.
func (p *presence) look(ctx context.Context, now time.Time) {
	losses := p.link.losses.Load()
	slow := p.link.slow.Load() && now.Sub(p.began) >= sessionLeast
	if losses != p.seen || slow {
		p.seen = losses
		p.link.slow.Store(false)
		p.begin(now, slow)
	}
	switch state := p.link.state.Load(); {
	case state == closed && now.Sub(p.opened) >= reopenEvery:
		p.opened = now
		if err := p.link.open(true); err != nil {
			p.log.Errorf(0, "can't connect to NATS: %v", linelog.Field("err", err))
		}
	case state != up || p.here:
	case p.link.flush(ctx) != nil:
		if now.Sub(p.began) >= deniedFor {
			p.began = now
			p.link.again()
		}
	case p.link.losses.Load() == p.seen:
		p.here, p.spoken = true, now
		p.roster.greeted(now)
		p.pub.say(p.who, hello, p.card)
	}
}

// begin begins a session: whoever was there is left, and may be joined again.
func (p *presence) begin(now time.Time, slow bool) {
	why := "this node is disconnected from NATS"
	if slow {
		why = "this node is too slow"
	}
	p.session++
	p.began, p.here = now, false
	p.roster.begin(now, why)
	p.pub.begin(p.session, p.outlet())
}

// tick says that this node is alive: also if it broadcasts, as others may not get to that for a while.
func (p *presence) tick(now time.Time) {
	if !p.here {
		return
	}
	// Half a tick early is better than half a tick late.
	if now.Sub(p.spoken) >= aliveEvery-tick/2 {
		p.spoken = now
		p.pub.say(p.who, alive, nil)
	}
	alone := p.roster.direct.Load() == 0
	if alone && !p.alone && now.Sub(p.began) >= aloneAfter {
		p.alone = true
		p.log.Printf(0, "no other node is reached: %s",
			linelog.Field("reason", "none answers below the subject "+p.who))
	}
	p.alone = p.alone && alone
}

// tell tells the handler what it doesn't know yet.
func (p *presence) tell() {
	for _, e := range p.roster.take() {
		id, addr := e.peer.life.id, linelog.Field("addr", e.peer.card.name)
		if e.joined {
			p.log.Printf(id, "node %x (%s) joined", linelog.Field("peer", id), addr)
			p.upcalls.joined(e.peer.life)
			p.roster.told(e.peer)
			continue
		}
		p.log.Printf(id, "node %x (%s) left: %s",
			linelog.Field("peer", id), addr, linelog.Field("reason", e.why))
		p.upcalls.left(id)
	}
}
