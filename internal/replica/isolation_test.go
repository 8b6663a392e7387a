package replica

import (
	"slices"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/wire"
	"pgregory.net/rapid"
)

const isoBound = 10 * time.Second

// An isoRig is an Isolation, and the clocks that it looks at.
type isoRig struct {
	*Isolation
	now     delta.Instant
	hidden  bool
	hides   int // calls of hide
	forgets int
	reaches int
}

func newIsoRig(enough int) *isoRig {
	g := &isoRig{now: delta.Instant{Wall: simStart, Mono: time.Hour}}
	g.Isolation = newIsolation(isoBound, enough, func(hide bool) { g.hidden, g.hides = hide, g.hides+1 },
		func() { g.forgets++ })
	g.reach = func(delta.Instant) { g.reaches++ }
	g.Watch(g.now)
	return g
}

// pass has time pass, by both clocks.
func (g *isoRig) pass(d time.Duration) {
	g.now.Wall += d.Milliseconds()
	g.now.Mono += d
	g.Watch(g.now)
}

// heard has the node hear from another one as of some time ago.
func (g *isoRig) heard(peer uint64, ago time.Duration) {
	g.Isolation.hear(g.now, peer, g.look(g.now)-ago)
}

func (g *isoRig) is(t *testing.T, isolated bool) {
	t.Helper()
	if g.hidden != isolated || g.Is() != isolated {
		t.Errorf("hidden %v, isolated %v, want %v", g.hidden, g.Is(), isolated)
	}
}

// A node is isolated from the start, until it has heard from enough others, and again when the last word
// of one of them is as old as the bound.
func TestIsolation(t *testing.T) {
	g := newIsoRig(2)
	g.is(t, true)
	g.heard(1, 0)
	g.heard(1, 0)
	g.is(t, true)
	g.heard(2, 3*time.Second)
	g.is(t, false)
	g.pass(7*time.Second - 1)
	g.is(t, false)
	g.pass(1)
	g.is(t, true)
	g.heard(3, isoBound)
	g.is(t, true)
	g.heard(3, isoBound-1)
	g.is(t, false)
	g.heard(3, 0)
	g.heard(3, 5*time.Second) // what comes late takes nothing back
	g.heard(4, 5*time.Second)
	g.pass(isoBound - 5*time.Second - 1)
	g.is(t, false)
	if is, count, heard := g.Stats(g.now); is || count != 1 || heard != 2 {
		t.Errorf("isolated %v, %d times, heard from %d", is, count, heard)
	}
	g.pass(1)
	g.is(t, true)
	g.Close()
	g.heard(1, 0)
	g.heard(2, 0)
	g.is(t, true)
}

// Closed it hides all, though it has heard from everybody.
func TestIsolationCloses(t *testing.T) {
	g := newIsoRig(1)
	g.heard(1, 0)
	g.Close()
	g.is(t, true)
	g.heard(2, 0)
	g.is(t, true)
	var none *Isolation
	none.Close()
	none.look(g.now)
	none.doubt(g.now)
	if is, _, _ := none.Stats(g.now); is || none.Is() {
		t.Error("a node that isn't to know is isolated")
	}
}

// What is heard, and in which order, changes nothing beyond this: the node is isolated unless there are
// enough nodes whose last word is younger than the bound.
func TestIsolationLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := newIsoRig(rapid.IntRange(1, 4).Draw(t, "enough"))
		last := map[uint64]time.Duration{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "time passes") {
				g.pass(time.Duration(rapid.IntRange(0, 4000).Draw(t, "ms")) * time.Millisecond)
			} else {
				peer := rapid.Uint64Range(1, 6).Draw(t, "peer")
				at := g.now.Mono - time.Duration(rapid.IntRange(0, 12_000).Draw(t, "ago"))*time.Millisecond
				g.Isolation.hear(g.now, peer, at)
				if before, ok := last[peer]; !ok || before < at {
					last[peer] = at
				}
			}
			young := 0
			for _, at := range last {
				if g.now.Mono-at < isoBound {
					young++
				}
			}
			if want := young < g.enough; g.Is() != want || g.hidden != want {
				t.Fatalf("isolated %v, hidden %v; %d of %d are young", g.Is(), g.hidden, young, g.enough)
			}
			if len(g.Isolation.heard) > g.enough {
				t.Fatalf("%d words are kept", len(g.Isolation.heard))
			}
		}
	})
}

// A machine that is suspended, or a clock that is set, isolates. What was asked before doesn't end that.
func TestIsolationClockJumps(t *testing.T) {
	for name, jump := range map[string]time.Duration{"ahead": clockJump + time.Millisecond, "back": -clockJump - time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			g := newIsoRig(1)
			g.heard(1, 0)
			g.pass(time.Second)
			g.now.Wall += clockJump.Milliseconds() // as NTP may do
			g.pass(0)
			g.now.Wall -= clockJump.Milliseconds()
			g.pass(0)
			g.is(t, false)
			g.TakeNotices()
			asked := g.look(g.now)
			g.now.Wall += jump.Milliseconds()
			g.pass(time.Millisecond)
			g.is(t, true)
			if ns := g.TakeNotices(); len(ns) != 1 || !ns[0].Begun || ns[0].Jump != jump || g.reaches != 1 {
				t.Errorf("%+v, asked %d times", ns, g.reaches)
			}
			g.Isolation.hear(g.now, 1, asked)
			g.is(t, true)
			epoch := g.hides
			g.pass(time.Second)
			g.now.Wall += jump.Milliseconds() // it ends what was kept meanwhile, too
			if g.pass(0); g.hides != epoch+1 {
				t.Error("what was kept before the second jump is served")
			}
			g.heard(1, 0)
			g.is(t, false)
			if ns := g.TakeNotices(); len(ns) != 1 || ns[0].Begun || ns[0].Heard != 1 || ns[0].Took != time.Second {
				t.Errorf("%+v", ns)
			}
		})
	}
	// The pong itself may be what shows that the machine was suspended.
	g := newIsoRig(1)
	g.heard(1, 0)
	asked := g.now.Mono
	g.now.Wall += time.Hour.Milliseconds()
	g.now.Mono++
	g.Isolation.hear(g.now, 1, asked)
	g.is(t, true)
	late := g.now // who has read the clock before
	late.Wall -= time.Hour.Milliseconds()
	late.Mono--
	g.Isolation.hear(late, 1, g.look(late))
	g.is(t, true)
	for range 100 { // clocks that run wild don't have the others asked each time
		g.now.Wall += time.Hour.Milliseconds()
		g.pass(time.Millisecond)
	}
	if g.reaches != 1 {
		t.Errorf("asked %d times in 100 ms", g.reaches)
	}
}

// A machine that is suspended again and again, for less than a jump, doesn't serve for longer than the bound
// by the clock on the wall. What was asked before counts from then.
func TestIsolationShortSuspensions(t *testing.T) {
	g := newIsoRig(1)
	asked := g.look(g.now)
	for range 5 {
		g.now.Wall += 900
		g.pass(time.Second)
		g.Isolation.hear(g.now, 1, asked)
		g.is(t, false)
	}
	g.pass(499 * time.Millisecond)
	g.is(t, false)
	g.pass(time.Millisecond)
	g.is(t, true)
	g.Isolation.hear(g.now, 1, asked)
	g.is(t, true)
	g.heard(1, 0)
	g.is(t, false)
}

// A machine that is suspended before anybody has looked at the clocks hears what was answered before.
func TestIsolationOfWhoAsksFirst(t *testing.T) {
	for name, slept := range map[string]time.Duration{"awake": 0, "suspended": time.Hour} {
		g := newRig(t, 1, func(c *Config) { c.First, c.Isolated, c.MinPeers = true, 10*time.Second, 1 })
		r, now := g.replicas[0], g.now()
		r.Joined(now, 1, 1001)
		_, sends := r.Flush(now)
		q, err := wire.DecodePing(sends[0].Frame)
		testkit.Must(t, err)
		const flags = wire.PongContext | wire.PongSynced | wire.PongExact
		now.Mono, now.Wall = now.Mono+1, now.Wall+slept.Milliseconds()
		testkit.Must(t, r.Receive(now, 1, wire.AppendPong(nil, wire.Pong{ID: q.ID, Origin: 1001, Flags: flags})))
		if is := r.Isolation().Is(); is != (slept > 0) {
			t.Errorf("%s: isolated %v", name, is)
		}
	}
}

// While a node is isolated, nobody joins a fill that began half of the bound ago.
func TestIsolationForgetsFills(t *testing.T) {
	g := newIsoRig(1)
	before := g.forgets
	for range 100 {
		g.pass(time.Second)
	}
	if n := g.forgets - before; n != 20 {
		t.Errorf("%d times in 10 bounds", n)
	}
	g.heard(1, 0)
	before = g.forgets
	g.pass(isoBound - 1)
	if n := g.forgets - before; n != 0 {
		t.Errorf("%d times while it isn't isolated", n)
	}
	if g.pass(1); g.forgets != before+1 {
		t.Error("not when it becomes so")
	}
}

func TestIsolationDoubts(t *testing.T) {
	g := newIsoRig(1)
	g.heard(1, 0)
	g.pass(time.Second)
	g.doubt(g.now)
	g.is(t, true)
	g.heard(1, 1) // before
	g.is(t, true)
	g.heard(1, 0)
	g.is(t, false)
}

// Lines that nobody takes don't pile up.
func TestIsolationNotices(t *testing.T) {
	g := newIsoRig(1)
	for range 100 {
		g.heard(1, 0)
		g.pass(isoBound)
	}
	if ns := g.TakeNotices(); len(ns) != maxIsolationNotices || !ns[len(ns)-1].Begun || ns[0].Heard != 1 {
		t.Errorf("%+v", ns)
	}
	if ns := g.TakeNotices(); len(ns) != 0 {
		t.Errorf("again: %+v", ns)
	}
}

// What a fill brings to an isolated node is kept for the bound at most, from when it may have read.
func TestIsolationCutsDeadlines(t *testing.T) {
	g := newIsoRig(1)
	f := &Fill{fillStart: &fillStart{settle: time.Second, began: g.look(g.now)}}
	g.now.Wall += 500 // the machine is suspended for a moment
	g.pass(0)
	g.pass(3500*time.Millisecond + 300*time.Microsecond)
	ends := g.now.Wall + 4999 // 5 s less what isn't a whole millisecond
	for _, c := range []struct{ was, is delta.Record }{
		{delta.Record{}, delta.Record{Deadline: ends}},
		{delta.Record{Deadline: ends - 1}, delta.Record{Deadline: ends - 1}},
		{delta.Record{Deadline: ends + 1}, delta.Record{Deadline: ends}},
		{delta.Record{Deadline: ends - 9, StaleUntil: ends + 9, RefreshFrom: ends - 99},
			delta.Record{Deadline: ends - 9, StaleUntil: ends, RefreshFrom: ends - 99}},
		{delta.Record{Deadline: ends + 9, StaleUntil: ends + 99, RefreshFrom: ends}, delta.Record{Deadline: ends}},
	} {
		rec := c.was
		if !g.cut(g.now, f, &rec) || rec != c.is {
			t.Errorf("%+v becomes %+v, want %+v", c.was, rec, c.is)
		}
	}
	g.pass(5 * time.Second)
	if rec := (delta.Record{}); g.cut(g.now, f, &rec) {
		t.Errorf("it is kept until %d, at %d", rec.Deadline, g.now.Wall)
	}
}

// What is owed is what was said to be lacking, until all of it was processed.
func TestHearing(t *testing.T) {
	v := dots.NewVector(1, 10)
	add := func(origin uint64, seqs ...uint64) {
		for _, seq := range seqs {
			v.Add(origin, seq, 1, 0)
		}
	}
	h := hearing{owed: []dots.OriginDots{
		{Origin: 7, Dots: []dots.Interval{{From: 0, To: 2}, {From: 4, To: 6}}},
		{Origin: 8, Dots: []dots.Interval{{From: 2, To: 3}}},
	}}
	steps := []func(){func() {}, func() { add(7, 1, 2, 5) }, func() { add(7, 4) }, func() { add(8, 1, 2) }, func() { add(7, 6) }}
	for i, step := range steps {
		if step(); h.settled(v) {
			t.Fatalf("after step %d it has all", i)
		}
	}
	if add(8, 3); !h.settled(v) {
		t.Error("in the end it hasn't")
	}
}

// Of a neighbour a few asks are waited for, the last ones, each for one answer.
func TestHearingAsks(t *testing.T) {
	h := newHearing()
	if _, ok := h.answered(0); ok {
		t.Error("an answer to nothing is taken")
	}
	for id := range uint64(exactAsks + 1) {
		copy(h.asked[1:], h.asked[:])
		h.asked[0] = exactAsk{id: id + 1, at: time.Duration(id)}
	}
	if _, ok := h.answered(1); ok {
		t.Error("the first one is still waited for")
	}
	for id := uint64(2); id <= exactAsks+1; id++ {
		if ask, ok := h.answered(id); !ok || ask.at != time.Duration(id-1) {
			t.Errorf("ask %d: %+v, %v", id, ask, ok)
		}
		if _, ok := h.answered(id); ok {
			t.Errorf("ask %d is answered twice", id)
		}
	}
}

// hearRig connects nodes, of which the first one wants to know whether it is isolated.
func hearRig(t *testing.T, nodes, enough int) *rig {
	g := newRig(t, nodes, func(c *Config) {
		if c.First = true; c.Origin == 100 {
			c.Isolated, c.MinPeers = isoBound, enough
		}
	})
	for i, r := range g.replicas {
		r.standing.ready.synced = true
		_ = i
	}
	return g
}

// second has a second pass, with the tick of some nodes.
func (g *rig) second(of ...int) {
	g.wall += 1000
	for _, i := range of {
		g.replicas[i].Tick(g.now())
	}
}

// An idle cluster is asked at least every third of the bound, and says what suffices.
func TestHearingIdle(t *testing.T) {
	g := hearRig(t, 2, 1)
	iso := g.replicas[0].Isolation()
	if !iso.Is() {
		t.Fatal("a node that has heard from nobody isn't isolated")
	}
	g.settle()
	if iso.Is() {
		t.Fatal("it is isolated though it lacks nothing")
	}
	for range 60 {
		g.second(0, 1)
		g.settle()
		if oldest := iso.heard[0].at; g.now().Mono-oldest > isoBound/3 {
			t.Fatalf("the last word is %v old", g.now().Mono-oldest)
		}
	}
	if iso.count != 0 {
		t.Errorf("isolated %d times", iso.count)
	}
}

// ask has node 0 ask node 1, and take the answer.
func (g *rig) ask() {
	r := g.replicas[0]
	g.wall += 1000
	r.mu.Lock()
	r.pinger.ping(g.now(), 1, 0)
	r.mu.Unlock()
	g.flush(0)
	for len(g.pending[1]) > 0 {
		g.deliver(1, 0, false)
	}
	g.flush(1)
	for len(g.pending[0]) > 0 {
		g.deliver(0, 0, false)
	}
}

// behindOne has node 1 process a write of node 2 that node 0 doesn't get. known: node 0 has an earlier one.
func behindOne(t *testing.T, known bool) (g *rig, iso *Isolation) {
	g = hearRig(t, 3, 1)
	g.settle()
	if known {
		g.write(2, "k", func(r *Replica) { testSet(g, r, "k", "before") })
		g.settle()
	}
	g.replicas[0].Left(g.now(), 2)
	g.ask()
	if iso = g.replicas[0].Isolation(); iso.heard[0].at != g.now().Mono {
		t.Fatal("it hasn't heard though it lacks nothing")
	}
	g.write(2, "k", func(r *Replica) { testSet(g, r, "k", "v") })
	g.flush(2)
	g.pending[0] = nil // it is lost
	for len(g.pending[1]) > 0 {
		g.deliver(1, 0, false)
	}
	return g, iso
}

// A neighbour has processed what it doesn't offer yet, as it is young. The node has heard from it when it
// has got that, as of when it asked.
func TestHearingYoungDots(t *testing.T) {
	g, iso := behindOne(t, true)
	before := iso.heard[0].at
	g.ask()
	asked := g.now().Mono
	if iso.heard[0].at != before || g.replicas[0].repair.pulls.current != nil {
		t.Error("a neighbour that has what this node lacks is taken for heard, or is asked for it")
	}
	g.wall += 3000
	for range 5 { // it is old enough to be asked for
		g.replicas[1].Tick(g.now())
		g.wall += 1000
	}
	g.replicas[0].Tick(g.now())
	for range 20 { // the pull; no word of a later ping may count before
		g.flush(0)
		g.flush(1)
		for _, i := range []int{0, 1} {
			for len(g.pending[i]) > 0 {
				g.deliver(i, 0, false)
			}
		}
	}
	if _, ok := g.replicas[0].Store.Peek("k"); !ok || iso.heard[0].at < asked {
		t.Errorf("it has the write: %v; heard at %v, asked at %v, before at %v", ok, iso.heard[0].at, asked, before)
	}
}

// What differs may be of an origin that the ping doesn't list: then the answer says nothing.
func TestHearingUnlistedOrigins(t *testing.T) {
	g, iso := behindOne(t, false)
	before := iso.heard[0].at
	g.ask()
	if iso.heard[0].at != before {
		t.Error("a neighbour that has what this node lacks is taken for heard")
	}
}

// A node that is told of more than it gets at a time has heard once it has all, not before.
func TestHearingWaitsForAll(t *testing.T) {
	g, iso := behindOne(t, true)
	before := iso.heard[0].at
	g.ask()
	asked := g.now().Mono
	r := g.replicas[0]
	g.wall += 100
	rec := g.dots[rigDot{102, 2}]
	frame := wire.AppendDelta(nil, 102, 2, []delta.Record{{Key: rec.key, Val: "v", Version: rec.Version}})
	if iso.heard[0].at != before {
		t.Fatal("it is taken for heard")
	}
	if err := r.Receive(g.now(), 1, frame); err != nil || iso.heard[0].at != asked {
		t.Errorf("%v; heard at %v, asked at %v", err, iso.heard[0].at, asked)
	}
}

func testSet(g *rig, r *Replica, key, val string) {
	if err := r.Set(g.now(), key, val, 0); err != nil {
		g.t.Fatal(err)
	}
}

// What is only arriving is claimed in pings. Nobody has been heard before it has come.
func TestHearingClaims(t *testing.T) {
	g := hearRig(t, 2, 1)
	r, iso := g.replicas[0], g.replicas[0].Isolation()
	g.settle()
	g.write(1, "k", func(r *Replica) { testSet(g, r, "k", "v") })
	g.flush(1)
	frames := slices.Clone(g.pending[0])
	g.pending[0] = nil
	r.Arriving(g.now(), 1, frames[0].frame)
	before := iso.heard[0].at
	g.second()
	r.mu.Lock()
	r.pinger.pingAll(g.now())
	r.mu.Unlock()
	g.settle()
	if iso.heard[0].at != before {
		t.Error("what it claims, it is taken to have")
	}
	asked := g.now().Mono
	g.wall += 50
	g.pending[0] = frames
	g.settle()
	if iso.heard[0].at != asked {
		t.Errorf("with what was arriving it has heard at %v, asked at %v", iso.heard[0].at, asked)
	}
}

// What other nodes offer to an isolated one isn't kept: nobody here knows when it was read.
func TestIsolationRefusesOffers(t *testing.T) {
	g := hearRig(t, 2, 1)
	r := g.replicas[0]
	offer := func(key string) bool {
		o := wire.Offer{Origin: 101, To: 100, Seen: r.state.touches.Echo(), Rec: delta.Record{Key: key, Val: "v"}}
		r.Fills.receiveOffer(g.now(), 1, o)
		_, ok := r.Store.Fills.Peek(key)
		return ok
	}
	if offer("isolated") {
		t.Error("it is kept by a node that is isolated")
	}
	g.settle()
	if !offer("connected") {
		t.Error("it isn't kept by a node that isn't")
	}
}

// A fill that begins while the node is isolated and ends when it isn't any more is fenced like others; one
// that began before isn't kept.
func TestIsolationAndFills(t *testing.T) {
	g := hearRig(t, 2, 1)
	r := g.replicas[0]
	end := func(f *Fill, val string) FillOutcome {
		return r.Fills.End(g.now(), f, &delta.Record{Key: f.Key, Val: val}, FillForAll)
	}
	during := r.Fills.Begin(g.now(), 0, "during")[0]
	g.settle()
	if o := end(during, "v"); o != FillWritten {
		t.Errorf("begun while it was isolated: %d", o)
	}
	before := r.Fills.Begin(g.now(), 0, "before")[0]
	g.wall += isoBound.Milliseconds()
	r.Isolation().Watch(g.now())
	if o := end(before, "v"); o != FillRefused {
		t.Errorf("begun before it was isolated: %d", o)
	}
	within := r.Fills.Begin(g.now(), 0, "during")[0] // beside what is hidden
	g.wall += 1000
	if o := end(within, "local"); o != FillKept {
		t.Errorf("begun and ended while it is isolated: %d", o)
	}
	p, ok := r.Store.Fills.Peek("during")
	if want := g.wall - 1000 + isoBound.Milliseconds(); !ok || p.Val != "local" || p.Deadline != want {
		t.Errorf("kept is %+v, want the deadline %d", p, want)
	}
	late := r.Fills.Begin(g.now(), 0, "late")[0]
	g.wall += isoBound.Milliseconds()
	if o := end(late, "v"); o != FillRefused {
		t.Errorf("after the bound: %d", o)
	}
}
