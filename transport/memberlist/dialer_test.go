package memberlist

import (
	"bytes"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	hashi "github.com/hashicorp/memberlist"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/transport"
)

// dialerRig runs the dialer of node 1, whose dials fail with err.
func dialerRig(t *testing.T, err error) (*dialer, *noted) {
	log := &noted{}
	d := &dialer{
		node: &transport.Node{PeerID: 1, Log: log}, life: newLife(), roster: newRoster(2),
		poked: make(chan struct{}, 1), tries: make(map[[2]uint64]*try), hands: someHands,
		spots: make(spots),
		dial:  func(member) error { return err },
	}
	t.Cleanup(d.life.end)
	d.life.spawn(d.loop)
	return d, log
}

// An operator is told of a member that lives, and whose address is wrong: soon, and of one that was met only
// when memberlist has had time to find out that it died.
func TestWrongAddressIsLogged(t *testing.T) {
	const line = "E node 5 can't be reached at a:1, which it advertises: "
	for what, test := range map[string]struct {
		err   error
		met   bool
		gone  bool
		after time.Duration // 0: never
	}{
		"never met":         {err: errors.New("nobody listens"), after: tellNew},
		"met":               {err: errors.New("nobody listens"), met: true, after: tellMet},
		"gone":              {err: errors.New("nobody listens"), gone: true},
		"this node answers": {err: refusedSelf, after: tellNew},
		"refused":           {err: refused{refusedClock}},
		"connected":         {err: refusedHave},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, log := dialerRig(t, test.err)
				name := nodeName(5, 50)
				d.roster.alive(name, meta{5, 50, "a:1"})
				d.roster.mu.Lock()
				d.roster.members[name].met = test.met
				d.roster.mu.Unlock()
				if test.gone {
					d.roster.dead(name)
				}
				d.poke()
				if test.after == 0 {
					testkit.Advance(time.Minute)
					if log.has(line) {
						t.Errorf("it logs %s", log)
					}
					return
				}
				testkit.Advance(test.after - time.Millisecond)
				if log.has("E ") {
					t.Errorf("too soon it logs %s", log)
				}
				testkit.Advance(2 * dialMost)
				if !log.has(line, test.err.Error()) {
					t.Errorf("it logs %s", log)
				}
			})
		})
	}
}

// Who is connected was met, also when memberlist tells of it later.
func TestMet(t *testing.T) {
	r, link := rosterRig(t)
	r.alive(nodeName(5, 50), meta{5, 50, "a:1"})
	for id := range uint64(2) {
		testkit.Must(t, r.add(link(id+5, 50), nil))
	}
	r.alive(nodeName(6, 50), meta{6, 50, "a:2"})
	for name, m := range r.members {
		if !m.met || m.over {
			t.Errorf("%s: %+v", name, *m)
		}
	}
}

// Another node that answers at a member's address isn't that member, and neither is the node itself.
func TestAnotherAnswers(t *testing.T) {
	all := together(t, 2, plain)
	r := all[0].run.Load()
	link := func(id uint64, at *place) error {
		return r.link(r.hub.life.open, all[0].cfg.Resolver, member{id: id, addr: at.Addr()})
	}
	if err := link(2, all[1]); !isRefusal(err, refusedHave) {
		t.Errorf("a node that is connected: %v", err)
	}
	if err := link(7, all[1]); err == nil || err.Error() != "node 2 answers there" {
		t.Errorf("another one: %v", err)
	}
	if err := link(7, all[0]); !isRefusal(err, refusedSelf) {
		t.Errorf("the node itself: %v", err)
	}
}

// The faster they answer, the more are dialled at once; who doesn't answer says nothing of that, and keeps
// nobody from being tried for the first time.
func TestHands(t *testing.T) {
	d := &dialer{life: newLife(), hands: someHands, spots: make(spots)}
	for _, test := range []struct {
		took time.Duration
		err  error
		want int
	}{
		{took: time.Millisecond, want: someHands + 1},
		{took: dialSlow, err: errNoLink, want: someHands + 1},
		{took: dialSlow, want: (someHands + 1) / 2},
		{took: dialSlow, want: minHands},
	} {
		one := &try{}
		d.busy[0]++
		if d.end(one, member{}, test.took, test.err); d.hands != test.want || d.busy != [2]int{} {
			t.Errorf("%+v: %d hands, busy %v", test, d.hands, d.busy)
		}
		if lane := one.lane(); (lane == 1) != (test.err != nil) {
			t.Errorf("%+v: lane %d", test, lane)
		}
	}
	for range 2 * maxHands {
		d.busy[0]++
		d.end(&try{}, member{}, 0, nil)
	}
	if d.hands != maxHands {
		t.Errorf("%d hands", d.hands)
	}
}

// However many members say that they are where nobody is, it is dialled ever more seldom; and soon again when one
// comes that is new.
func TestNobodyIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := dialerRig(t, nil)
		synctest.Wait()
		var dials atomic.Int32
		d.dial = func(member) error {
			dials.Add(1)
			return errors.New("nobody listens")
		}
		come := func(id uint64) {
			d.roster.alive(nodeName(id, 1), meta{id, 1, "a:1"})
			d.poke()
		}
		for id := range uint64(50) {
			come(id + 5)
		}
		testkit.Advance(time.Minute)
		if n, most := int(dials.Load()), int(time.Minute/(dialMost/2)); n < 10 || n > most+10 {
			t.Errorf("in a minute it is dialled %d times", n)
		}
		if len(d.spots) != 1 {
			t.Errorf("%d spots are known", len(d.spots))
		}
		for dials.Store(0); dials.Load() == 0; { // just now: the next one is far
			testkit.Advance(10 * time.Millisecond)
		}
		dials.Store(0)
		for id := range uint64(50) { // nobody makes it be dialled at once again and again
			come(id + 100)
		}
		testkit.Advance(spotFresh + 100*time.Millisecond)
		if n := dials.Load(); n != 2 {
			t.Errorf("as there are new members it is dialled %d times", n)
		}
		for _, m := range d.roster.unlinked() {
			d.roster.dead(nodeName(m.id, m.origin))
		}
		d.poke()
		testkit.Advance(2 * triedFor)
		d.poke()
		testkit.Advance(time.Second)
		if len(d.spots) != 0 {
			t.Errorf("%d spots are remembered", len(d.spots))
		}
	})
}

// The node with the larger ID leaves it to the other one to dial: as long as links come, but not for good.
func TestTheOtherOneDials(t *testing.T) {
	for what, test := range map[string]struct {
		links bool
		most  time.Duration
	}{"no links come": {false, dialFirst}, "links come": {true, dialLast}} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, _ := dialerRig(t, nil)
				synctest.Wait()
				d.node.PeerID = 9
				dialled := make(chan time.Time, 100)
				d.dial = func(member) error { dialled <- time.Now(); return nil }
				began := time.Now()
				d.roster.alive(nodeName(5, 50), meta{5, 50, "a:1"})
				d.poke()
				for time.Since(began) < 2*dialLast {
					testkit.Advance(time.Second)
					if test.links {
						d.roster.mu.Lock()
						d.roster.added = time.Now()
						d.roster.mu.Unlock()
					}
				}
				if after := (<-dialled).Sub(began); after < test.most || after > test.most+dialFirst*3/2 {
					t.Errorf("it dials after %v", after)
				}
			})
		})
	}
}

// A member that is new is awaited: that there is no link yet says nothing of it.
func TestAwaited(t *testing.T) {
	r, link := rosterRig(t)
	life := newLife()
	t.Cleanup(life.end)
	c := newCarrier(life, r, nil)
	name := nodeName(5, 50)
	write := func() error {
		_, err := c.WriteToAddress(ping(7), hashi.Address{Name: name})
		return err
	}
	if err := write(); !errors.Is(err, errNoLink) {
		t.Errorf("a packet for nobody: %v", err)
	}
	if n := len(c.pings.answers()); n != 1 {
		t.Errorf("of the ping that is lost %d are noted: Close would wait for it", n)
	}
	r.alive(name, meta{5, 50, "a:1"})
	testkit.Must(t, write())
	if p := <-c.packets; !bytes.Equal(p.Buf, encodeAnswer(ackType, 7)) {
		t.Errorf("the answer is %x", p.Buf)
	}
	r.members[name].since = time.Now().Add(-dialLast)
	if err := write(); !errors.Is(err, errNoLink) {
		t.Errorf("it is awaited for good: %v", err)
	}
	r.members[name].since = time.Now()
	l := link(5, 50)
	testkit.Must(t, r.add(l, nil))
	r.drop(l)
	if err := write(); !errors.Is(err, errNoLink) {
		t.Errorf("one that was met is awaited: %v", err)
	}
}

// Once no more links come, all that memberlist knows is exchanged with a neighbour, once. What fails is
// repeated a few times.
func TestShare(t *testing.T) {
	r, link := rosterRig(t)
	life := newLife()
	t.Cleanup(life.end)
	shared, failures := 0, 0
	j := &joiner{cfg: &Config{}, life: life, roster: r, join: func(at netip.AddrPort) error {
		if shared++; at.String() != "127.0.0.1:7" {
			t.Errorf("it goes to %s", at)
		}
		if failures > 0 {
			failures--
			return errHungUp
		}
		return nil
	}}
	check := func(what string, at time.Time, settled bool, want int) {
		t.Helper()
		if got := j.share(at); got != settled || shared != want {
			t.Errorf("%s: %v, shared %d times", what, got, shared)
		}
	}
	now := time.Now()
	check("nobody is there", now.Add(time.Hour), true, 0)
	l := link(5, 50)
	l.peer.addr = "127.0.0.1:7"
	testkit.Must(t, r.add(l, nil))
	check("a link has just come", r.added, false, 0)
	check("no more have come", r.added.Add(joinQuiet), true, 1)
	check("nothing is new", r.added.Add(time.Hour), true, 1)

	another := func() time.Time {
		l := link(5, 50)
		l.peer.addr = "127.0.0.1:7"
		testkit.Must(t, r.add(l, r.link(5)))
		r.added = r.added.Add(time.Minute) // whatever the clock's resolution
		return r.added.Add(joinQuiet)
	}
	failures = 1
	now = another()
	check("it has failed", now, false, 2)
	check("it is repeated", now, true, 3)
	check("it has worked", now, true, 3)
	failures = 9
	j.shared, now = time.Time{}, another()
	check("it fails", now, false, 4)
	check("it fails again", now, false, 5)
	check("it is given up", now, true, 6)
	check("it was given up", now, true, 6)
}
