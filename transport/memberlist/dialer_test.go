package memberlist

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/transport"
)

// dialerRig runs the dialer of node 1, whose dials fail with err.
func dialerRig(t *testing.T, err error) (*dialer, *noted) {
	log := &noted{}
	d := &dialer{
		node: &transport.Node{PeerID: 1, Log: log}, life: newLife(), roster: newRoster(2),
		poked: make(chan struct{}, 1), tries: make(map[[2]uint64]*try),
		dial: func(member) error { return err },
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
				d.roster.members[name].met = test.met
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
