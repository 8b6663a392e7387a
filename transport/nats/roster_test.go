package nats

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/iwanbk/bcache/internal/transport/lanes"
	"github.com/iwanbk/bcache/transport"
)

// silent is a Logger that counts errors.
type silent struct{ errors []string }

func (l *silent) Errorf(_ uint64, format string, v ...any) {
	l.errors = append(l.errors, fmt.Sprintf(format, v...))
}

func (l *silent) Printf(uint64, string, ...any) {}

func (l *silent) Debugf(uint64, string, ...any) {}

// A world is some rosters, and what they say to each other. What one publishes to one subject comes in
// order, between subjects there is none.
type world struct {
	fail  func(format string, v ...any)
	now   time.Time
	nodes map[uint64]*citizen
	lives uint64
	lines map[line][]said
}

// A line leads from a node to a subject of another one.
type line struct {
	from, to uint64
	own      bool // the subject of that node alone
}

type said struct {
	h  header
	to life // zero: all
}

// A citizen is one life of a node.
type citizen struct {
	*roster
	session uint32
	spoken  time.Time
	told    map[uint64]uint64 // the origin of each that is joined
	log     *silent
}

func newWorld(fail func(string, ...any)) *world {
	return &world{
		fail: fail, now: time.Unix(1000, 0), nodes: map[uint64]*citizen{}, lines: map[line][]said{},
	}
}

// start starts a life of a node. What was on its way to the one before is lost.
func (w *world) start(id uint64) *citizen {
	w.lives++
	return w.live(id, life{id, w.lives})
}

// live starts a life that is known here by an ID; of a twin, that isn't its own.
func (w *world) live(id uint64, self life) *citizen {
	c := &citizen{told: map[uint64]uint64{}, log: &silent{}}
	c.roster = &roster{
		self: self, byID: map[uint64]*peer{}, gone: departures{}, log: c.log, count: &counters{},
		budget:  &budget{most: 1 << 20},
		now:     func() time.Time { return w.now },
		changed: func() {},
		outlet:  func(to life) *outlet { return &outlet{queue: lanes.New(1000, func() {})} },
		close:   func(o *outlet) { o.queue.Close() },
		say:     func(to life, k kind) { w.say(c, to, k) },
	}
	w.deafen(id)
	w.nodes[id] = c
	w.begin(c)
	return c
}

// deafen loses what is on its way to a node.
func (w *world) deafen(id uint64) {
	maps.DeleteFunc(w.lines, func(l line, _ []said) bool { return l.to == id })
}

// begin has a node begin a session.
func (w *world) begin(c *citizen) {
	w.deafen(c.self.id)
	c.session++
	c.roster.begin(w.now, "")
	w.hear(c)
	c.greeted(w.now)
	c.spoken = w.now
	w.say(c, life{}, hello)
}

func (w *world) say(c *citizen, to life, k kind) {
	for id, o := range w.nodes {
		if to == (life{}) && o != c || o.self == to {
			l := line{c.self.id, id, to != life{}}
			w.lines[l] = append(w.lines[l], said{header{k, c.self, c.session}, to})
		}
	}
}

// deliver delivers what is next on a line.
func (w *world) deliver(l line) {
	m := w.lines[l][0]
	if w.lines[l] = w.lines[l][1:]; len(w.lines[l]) == 0 {
		delete(w.lines, l)
	}
	c := w.nodes[l.to]
	if c == nil || m.to != (life{}) && m.to != c.self {
		return
	}
	switch m.h.kind {
	case alive:
		c.alive(w.now, m.h)
	case leave, bye:
		c.left(w.now, m.h)
	default:
		c.introduced(w.now, m.h, card{})
	}
	w.hear(c)
}

// hear takes what a roster tells, and checks that it alternates.
func (w *world) hear(c *citizen) {
	for _, e := range c.take() {
		l := e.peer.life
		switch origin, there := c.told[l.id]; {
		case e.joined == there, !e.joined && origin != l.origin:
			w.fail("node %x is told %v of %x/%x, and had %x", c.self.id, e.joined, l.id, l.origin, origin)
		case e.joined:
			c.told[l.id] = l.origin
		default:
			delete(c.told, l.id)
		}
	}
}

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	w.now = w.now.Add(d)
	for _, id := range slices.Sorted(maps.Keys(w.nodes)) {
		c := w.nodes[id]
		c.tick(w.now)
		w.hear(c)
		if w.now.Sub(c.spoken) >= aliveEvery {
			c.spoken = w.now
			w.say(c, life{}, alive)
		}
	}
}

// settle lets time pass, and delivers what comes meanwhile.
func (w *world) settle(d time.Duration) {
	w.drain()
	for end := w.now.Add(d); w.now.Before(end); w.drain() {
		w.pass(tick)
	}
}

// drain delivers everything.
func (w *world) drain() {
	for len(w.lines) > 0 {
		for l := range maps.Clone(w.lines) {
			if len(w.lines[l]) > 0 {
				w.deliver(l)
			}
		}
	}
}

func (w *world) check() {
	for id, c := range w.nodes {
		for other, o := range w.nodes {
			if other != id && c.told[other] != o.self.origin {
				w.fail("node %x isn't joined with %x/%x: %v", id, other, o.self.origin, c.told)
			}
		}
		if len(c.told) != len(w.nodes)-1 || int(c.direct.Load()) != len(c.told) {
			w.fail("node %x is joined with %v, and counts %d", id, c.told, c.direct.Load())
		}
		if n := len(c.everybody(w.now, time.Hour)); n != len(c.told) {
			w.fail("everybody at node %x are %d nodes", id, n)
		}
	}
}

// Whatever happens, Joined and Left alternate; and once it ends, all are joined with all.
func TestRosters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t.Fatalf)
		ids := []uint64{1, 2, 3}
		for _, id := range ids {
			w.start(id)
		}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			c := w.nodes[rapid.SampledFrom(ids).Draw(t, "node")]
			switch rapid.IntRange(0, 20).Draw(t, "step") {
			case 0:
				w.begin(c)
			case 1:
				c.disconnect(w.now, rapid.SampledFrom(ids).Draw(t, "peer"))
				w.hear(c)
			case 2:
				w.say(c, life{}, bye)
				w.start(c.self.id)
			case 3:
				w.start(c.self.id)
			case 4, 5, 6, 7:
				w.pass(rapid.SampledFrom([]time.Duration{tick, aliveEvery, deadAfter}).Draw(t, "time"))
			default:
				if len(w.lines) > 0 {
					all := slices.SortedFunc(maps.Keys(w.lines), func(a, b line) int {
						return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
					})
					w.deliver(rapid.SampledFrom(all).Draw(t, "line"))
				}
			}
		}
		w.settle(2*restMost + 2*deadAfter)
		w.check()
	})
}

// At first nodes join once, without a Left; also if all come at once.
func TestRostersJoinOnce(t *testing.T) {
	w := newWorld(t.Fatalf)
	for id := range uint64(20) {
		w.start(id + 1)
	}
	w.settle(10 * time.Second)
	w.check()
	for _, c := range w.nodes {
		if len(c.gone) > 0 || len(c.log.errors) > 0 {
			t.Errorf("node %x: gone are %v; %v", c.self.id, c.gone, c.log.errors)
		}
	}
}

// Who is disconnected again and again rests for longer and longer.
func TestRest(t *testing.T) {
	w := newWorld(t.Fatalf)
	a, b := w.start(1), w.start(2)
	w.settle(time.Second)
	var took []time.Duration
	for range 8 {
		a.disconnect(w.now, 2)
		w.hear(a)
		start := w.now
		for w.settle(tick); a.told[2] == 0 || b.told[1] == 0; w.settle(tick) {
			if w.now.Sub(start) > time.Minute {
				t.Fatal("they don't join again")
			}
		}
		took = append(took, w.now.Sub(start))
	}
	for i, want := range []time.Duration{500, 1000, 2000, 4000, 8000, 16000, 32000, 32000} {
		if want *= time.Millisecond; took[i] < want || took[i] > want+2*tick {
			t.Errorf("after Disconnect %d: %v, want %v", i, took[i], want)
		}
	}
	w.settle(2 * restOver)
	a.disconnect(w.now, 2)
	w.settle(3 * tick)
	if a.told[2] == 0 {
		t.Error("a link that has lasted is followed by a long rest")
	}
}

// One thing after the other happens between two nodes.
func TestRosterSteps(t *testing.T) {
	w := newWorld(t.Fatalf)
	a, b := w.start(1), w.start(2)
	want := func(what string, is bool) {
		t.Helper()
		if !is {
			t.Fatalf("%s: node 1 has %v, node 2 has %v", what, a.told, b.told)
		}
	}
	step := func(what string, aHas, bHas int) {
		t.Helper()
		w.drain()
		want(what, len(a.told) == aHas && len(b.told) == bHas)
	}
	step("hello", 1, 1)

	joined := a.byID[2]
	w.begin(b)
	want("a session begins", len(b.told) == 0 && len(b.byID) == 0)
	step("and they join again", 1, 1)
	want("as another session", a.byID[2] != joined && a.byID[2].session == 2)
	a.introduced(w.now, header{hello, b.self, 1}, card{})
	a.left(w.now, header{leave, b.self, 1})
	a.left(w.now, header{bye, life{2, 99}, 9})
	w.hear(a)
	step("of an earlier session, and of another life", 1, 1)

	a.disconnect(w.now, 2)
	w.hear(a)
	step("Disconnect", 0, 0)
	w.say(b, a.self, leave)
	w.say(b, a.self, ask)
	step("too early", 0, 0)
	w.pass(restFirst)
	step("in time", 1, 1)

	w.say(b, a.self, leave)
	step("leave", 0, 1)
	a.introduced(w.now, header{welcome, b.self, 1}, card{})
	w.hear(a)
	step("a welcome of an earlier session", 0, 1)
	w.say(b, a.self, ask)
	step("ask", 1, 1)

	w.say(b, life{}, bye)
	w.drain()
	want("bye", len(a.told) == 0 && len(a.everybody(w.now, time.Hour)) == 0)
	late := lanes.Piece{First: true, Last: true, Bytes: []byte("x")}
	frame, _ := a.piece(w.now, header{piece, b.self, 2}, byAll, late)
	want("a frame that comes late", string(frame) == "x")
	b = w.start(2)
	step("another life", 1, 1)

	for i := range uint64(2 * maxPeers) {
		a.alive(w.now, header{alive, life{100 + i, 1}, 1})
	}
	want("too many", len(a.byID) == maxPeers)
}

// A node that dies is left within 6.5 seconds; one that claims its PeerID joins sooner. A twin of one
// that lives is refused.
func TestDead(t *testing.T) {
	w := newWorld(t.Fatalf)
	a := w.start(1)
	w.start(2)
	w.settle(aliveEvery)
	delete(w.nodes, 2)
	start := w.now
	for a.told[2] != 0 && w.now.Sub(start) < time.Minute {
		w.settle(tick)
	}
	if took := w.now.Sub(start); took < deadAfter-aliveEvery || took > deadAfter+tick {
		t.Errorf("it is left after %v", took)
	}
	if all := a.everybody(w.now, time.Hour); len(all) != 1 || !all[0].Gone {
		t.Errorf("everybody is %+v", all)
	}
	w.start(2)
	w.settle(aliveEvery)
	w.pass(time.Millisecond)
	again := w.start(2)
	w.settle(contest + 2*tick)
	if a.told[2] != again.self.origin {
		t.Error("a node that was restarted isn't joined")
	}
	twin := &citizen{session: 1}
	twin.roster = &roster{self: life{2, 99}}
	w.say(twin, life{}, hello)
	w.settle(contest + 2*tick)
	if a.told[2] != again.self.origin || len(a.log.errors) != 1 || a.count.RefusedOther.Load() != 1 {
		t.Errorf("joined is %d; %q", a.told[2], a.log.errors)
	}
}

// A node that pauses for less than a contest keeps its PeerID. One that loses it is told, so that both sides
// know that they aren't joined.
func TestContest(t *testing.T) {
	w := newWorld(t.Fatalf)
	a, b := w.start(1), w.start(2)
	w.settle(tick)
	claim := func(origin uint64) {
		b.spoken = w.now
		a.introduced(w.now, header{hello, life{2, origin}, 1}, card{})
	}
	claim(98)
	w.settle(aliveEvery + tick) // b didn't hear of it, and says in time that it is alive
	if a.told[2] != b.self.origin || b.told[1] == 0 || len(a.log.errors) != 1 {
		t.Errorf("it has paused: node 1 has %v, node 2 has %v; %q", a.told, b.told, a.log.errors)
	}
	claim(99)
	b.spoken = w.now.Add(time.Minute)
	w.settle(contest + tick)
	if len(a.told) > 0 || len(b.told) > 0 {
		t.Errorf("it has lost its PeerID: node 1 has %v, node 2 has %v", a.told, b.told)
	}
}

// Of two twins a node that comes joins one. The other one, which has heard its hello too, learns that it isn't
// the one.
func TestTwinsAgreeWithTheOthers(t *testing.T) {
	for range 20 { // who of them is first is left to chance
		w := newWorld(t.Fatalf)
		w.start(1)
		one := w.start(2)
		w.settle(aliveEvery)
		twin := w.live(9, life{2, 77})
		w.settle(contest + 2*tick)
		late := w.start(3)
		w.settle(2 * deadAfter)
		for _, c := range []*citizen{one, twin} {
			if joined := late.told[2] == c.self.origin; joined != (c.told[3] != 0) {
				t.Fatalf("node 2/%d has %v, the one that has come %v", c.self.origin, c.told, late.told)
			}
		}
	}
}

// Whoever comes and goes faster than the handler is told, and under ever other PeerIDs, isn't joined; who
// stays is joined later.
func TestEventsAreBounded(t *testing.T) {
	w := newWorld(t.Fatalf)
	a := w.start(1)
	for i := range uint64(2 * maxEvents) {
		other := life{100 + i, 1}
		a.introduced(w.now, header{hello, other, 1}, card{})
		a.left(w.now, header{bye, other, 1})
	}
	b := w.start(2)
	for len(w.lines) > 0 { // without hear: the handler is busy
		for l := range w.lines {
			m := w.lines[l][0]
			if delete(w.lines, l); l.to == 1 {
				a.introduced(w.now, m.h, card{})
			}
		}
	}
	if n := len(a.events); n < maxEvents || n > maxEvents+maxPeers || a.byID[2].joined {
		t.Fatalf("%d events wait; node 2 is joined: %v", n, a.byID[2].joined)
	}
	w.hear(a)
	w.settle(2 * askEvery)
	if a.told[2] != b.self.origin || b.told[1] != a.self.origin {
		t.Errorf("node 1 has %v, node 2 has %v", a.told, b.told)
	}
}

// Of others that are gone without a goodbye the last are remembered.
func TestDepartures(t *testing.T) {
	d, start := departures{}, time.Unix(1000, 0)
	for i := range uint64(transport.MaxGone + 5) {
		d.note(i+1, departure{at: start.Add(time.Duration(i))})
	}
	if _, first := d[5]; len(d) != transport.MaxGone || first {
		t.Errorf("%d are remembered, of the first five: %v", len(d), first)
	}
}

// A node that hasn't said hello may not listen yet: it joins nobody, and tells nobody of itself.
func TestNobodyIsToldBeforeHello(t *testing.T) {
	w := newWorld(t.Fatalf)
	a, b := life{1, 101}, w.start(2)
	b.begin(w.now, "")
	clear(w.lines)
	for range 3 {
		for _, k := range []kind{hello, ask, welcome} {
			b.introduced(w.now, header{k, a, 1}, card{})
		}
		b.alive(w.now, header{alive, a, 1})
		b.tick(w.now)
		w.now = w.now.Add(askEvery)
	}
	if b.byID[a.id].joined || len(w.lines) > 0 {
		t.Errorf("joined: %v; it says %v", b.byID[a.id].joined, w.lines)
	}
	b.greeted(w.now)
	if b.introduced(w.now, header{welcome, a, 1}, card{}); !b.byID[a.id].joined {
		t.Error("who answers its hello isn't joined")
	}
}
