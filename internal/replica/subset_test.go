package replica

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/wire"
	"pgregory.net/rapid"
)

// A round draws as many as it may, no neighbour twice, and each one once in every pass: so it comes to
// everyone within two passes.
func TestSubsetLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 10).Draw(t, "most")
		s := newSubset(most, rapid.Uint64().Draw(t, "origin"))
		var ids []uint64
		last := map[uint64]int{} // the round that drew it, or before which it came
		for round := range rapid.IntRange(1, 60).Draw(t, "rounds") {
			if rapid.IntRange(0, 9).Draw(t, "change") == 0 {
				ids = rapid.SliceOfNDistinct(rapid.Uint64Range(1, 60), 0, 40, rapid.ID).Draw(t, "ids")
				slices.Sort(ids)
				maps.DeleteFunc(last, func(id uint64, _ int) bool { return !slices.Contains(ids, id) })
				for _, id := range ids {
					last[id] = round
				}
			}
			drawn := slices.Clone(s.draw(ids))
			if len(drawn) != min(most, len(ids)) {
				t.Fatalf("%d of %d are drawn, by %d", len(drawn), len(ids), most)
			}
			for i, id := range drawn {
				if !slices.Contains(ids, id) || slices.Contains(drawn[:i], id) {
					t.Fatalf("%v are drawn of %v", drawn, ids)
				}
				last[id] = round
			}
			for id, at := range last {
				if passes := 2 * (len(ids) + most - 1) / most; round-at > passes+1 {
					t.Fatalf("%d of %d wasn't drawn for %d rounds of %d", id, len(ids), round-at, most)
				}
			}
		}
	})
}

// Two nodes draw differently, and one in the same way each time.
func TestSubsetIsOfItsOrigin(t *testing.T) {
	ids := make([]uint64, 100)
	for i := range ids {
		ids[i] = uint64(i)
	}
	draw := func(origin uint64) []uint64 {
		s := newSubset(Fanout, origin)
		return s.draw(ids)
	}
	if !slices.Equal(draw(1), draw(1)) || slices.Equal(draw(1), draw(2)) {
		t.Errorf("%v, %v, another node %v", draw(1), draw(1), draw(2))
	}
}

// some are no more than a round draws, and others each time.
func TestSubsetSome(t *testing.T) {
	n := newNeighbours()
	for id := range uint64(30) {
		n.add(id, newNeighbour(delta.Instant{}, 100+id, 0))
		n.byID[id].offer = id % 2
	}
	s, seen := newSubset(4, 1), map[uint64]bool{}
	for range 100 {
		ids := s.some(&n, func(p *neighbour) bool { return p.offer > 0 })
		for _, id := range ids {
			seen[id] = true
		}
		if len(ids) != 4 || slices.ContainsFunc(ids, func(id uint64) bool { return id%2 == 0 }) {
			t.Fatalf("%v", ids)
		}
	}
	if len(seen) != 15 {
		t.Errorf("only %v are ever among them", slices.Sorted(maps.Keys(seen)))
	}
}

// A neighbour is silent from its last sign of life on if that came after the round before; otherwise from
// when it is asked. Each round that asks in vain counts.
func TestSilence(t *testing.T) {
	const s = time.Second
	x := newSilence(5 * s)
	if x.look(); x.missed != 0 {
		t.Error("it wasn't asked, and is silent")
	}
	x.ask(8*s, 4*s) // it has answered the round at 4 s
	x.look()
	if x.ask(10*s, 8*s); x.missed != 1 || x.from != 5*s {
		t.Errorf("%d times in vain, from %v on", x.missed, x.from)
	}
	if x.look(); x.missed != 2 || x.from != 5*s {
		t.Errorf("%d times in vain, from %v on", x.missed, x.from)
	}
	x.ask(12*s, 10*s)
	x.heard = 12 * s
	if x.look(); x.missed != 0 {
		t.Error("it has answered")
	}
	x.ask(60*s, 58*s) // nobody has asked it for long
	if x.look(); x.missed != 1 || x.from != 60*s {
		t.Errorf("%d times in vain, from %v on", x.missed, x.from)
	}
}

// A crowd is a replica with many neighbours, of which some answer.
type crowd struct {
	*rig
	r       *Replica
	answers func(peer uint64) bool
}

func newCrowd(t *testing.T, neighbours int, edit func(*Config)) *crowd {
	g := newRig(t, 1, func(c *Config) {
		c.First = true
		if edit != nil {
			edit(c)
		}
	})
	c := &crowd{rig: g, r: g.replicas[0], answers: func(uint64) bool { return true }}
	for id := range uint64(neighbours) {
		c.r.Joined(g.now(), 1+id, 1001+id)
	}
	c.asked()
	return c
}

// asked returns who is sent a ping, and has those that answer do so: they have nothing more.
func (c *crowd) asked() (ids []uint64) {
	_, sends := c.r.Flush(c.now())
	for _, m := range sends {
		q, err := wire.DecodePing(m.Frame)
		if err != nil {
			continue
		}
		if ids = append(ids, m.To); c.answers(m.To) {
			a := wire.Pong{ID: q.ID, Origin: 1000 + m.To, Flags: wire.PongContext | wire.PongSynced, Wall: c.wall}
			a.Seq = c.r.neighbours.byID[m.To].claimed
			if err := c.r.Receive(c.now(), m.To, wire.AppendPong(nil, a)); err != nil {
				c.t.Fatal(err)
			}
		}
	}
	slices.Sort(ids)
	return ids
}

// round lets time pass until a round has asked.
func (c *crowd) round() []uint64 {
	for range RoundMax / TickEvery {
		c.wall += TickEvery.Milliseconds()
		c.r.Tick(c.now())
		if ids := c.asked(); len(ids) > 0 {
			return ids
		}
	}
	return nil
}

// With up to Fanout neighbours, and no more, each round asks all.
func TestRoundsAskAFew(t *testing.T) {
	for n, want := range map[int]int{3: 3, Fanout: Fanout, Fanout + 1: Fanout, 40: Fanout} {
		c, asked := newCrowd(t, n, nil), map[uint64]int{}
		for range 2 * (n + Fanout - 1) / Fanout {
			ids := c.round()
			for _, id := range ids {
				asked[id]++
			}
			if len(ids) != want {
				t.Errorf("%d neighbours: %v are asked", n, ids)
			}
		}
		if len(asked) != n {
			t.Errorf("only %d of %d neighbours were asked", len(asked), n)
		}
	}
}

// Who is asked and silent is asked again in each round, and cut after it was silent for so long. Who isn't
// asked isn't cut, however long nothing comes from it.
func TestRoundsCutWhoIsSilent(t *testing.T) {
	for _, busy := range []bool{true, false} {
		c := newCrowd(t, 40, nil)
		for range 10 {
			c.round()
		}
		c.answers = func(id uint64) bool { return id%2 == 0 }
		asked, times := map[uint64]int64{}, map[uint64]int{}
		for range 20 {
			c.r.pinger.rounds.active = busy
			for _, id := range c.round() {
				if asked[id] == 0 {
					asked[id] = c.wall
				}
				times[id]++
			}
			for _, cut := range c.r.TakeCuts() {
				took := time.Duration(c.wall-asked[cut.Peer]) * time.Millisecond
				if c.answers(cut.Peer) || took < SilentMost-RoundMin || took > SilentMost+TickEvery || times[cut.Peer] < 2 {
					t.Errorf("busy %v: node %d, asked %d times, is cut %v after the first: %s",
						busy, cut.Peer, times[cut.Peer], took, cut.Reason)
				}
				c.r.Left(c.now(), cut.Peer)
			}
		}
		if left := len(c.r.neighbours.ids); left != 20 || c.r.pinger.counts.Stuck != 20 {
			t.Errorf("busy %v: %d neighbours are left, %d were cut", busy, left, c.r.pinger.counts.Stuck)
		}
	}
}

// A neighbour with which something is the matter is asked beside those that are drawn, as long as there
// aren't too many.
func TestRoundsAskWhoHasSomething(t *testing.T) {
	for what, do := range map[string]func(p *neighbour){
		"it has more":         func(p *neighbour) { p.offer = wire.PongOld },
		"it differs":          func(p *neighbour) { p.diverged = true },
		"it wants all listed": func(p *neighbour) { p.listAll = true },
		"it hasn't said yet":  func(p *neighbour) { p.known = false },
		"it owes an answer":   func(p *neighbour) { p.expect() },
		"it has told of more": func(p *neighbour) { p.hint = hint{hinted: delta.Dot{Origin: 7, Seq: 1}} },
	} {
		c := newCrowd(t, 40, nil)
		c.r.repair.pulls.surveyed, c.r.repair.pulls.lastSurvey = true, time.Duration(c.wall)*time.Millisecond
		do(c.r.neighbours.byID[17])
		c.r.neighbours.byID[17].hint.told = c.now().Mono
		c.wall += RoundMin.Milliseconds()
		c.r.pinger.round(c.now(), false)
		if ids := c.asked(); !slices.Contains(ids, 17) || len(ids) > Fanout+1 {
			t.Errorf("%s, and %v are asked", what, ids)
		}
		for _, p := range c.r.neighbours.byID {
			do(p)
			p.hint.told = c.now().Mono
		}
		c.wall += RoundMin.Milliseconds()
		c.r.pinger.round(c.now(), false)
		if ids := c.asked(); len(ids) > 2*Fanout {
			t.Errorf("all: %s, and %d are asked", what, len(ids))
		}
	}
}

// A node that isn't complete yet asks all that keep it from being so: of hundreds a few would answer in each
// round, and it isn't ready until the last one has.
func TestRoundsAskAllBeforeTheNodeIsComplete(t *testing.T) {
	c := newCrowd(t, 100, nil)
	c.r.standing.ready.complete = false
	for id, p := range c.r.neighbours.byID {
		p.holds = id%2 == 0 // what has come from another one meanwhile
	}
	c.r.pinger.rounds.active = true
	if ids := c.round(); len(ids) < 50 || len(ids) > 50+Fanout {
		t.Errorf("%d of the 50 that may hold more are asked, and some others", len(ids))
	}
	if complete, _, _ := c.r.Synced(); !complete {
		t.Errorf("%d still may hold more", len(c.r.neighbours.holders()))
	}
}

// After a pull some are asked again, and what the others offered is forgotten. Before a full sync of what
// nobody's log has all are asked.
func TestAskAgainAsksAFew(t *testing.T) {
	c := newCrowd(t, 40, nil)
	c.answers = func(uint64) bool { return false }
	near := &c.r.neighbours
	for _, p := range near.byID {
		p.offer = wire.PongLog
	}
	c.r.pinger.askAgain(c.now(), func(p *neighbour) bool { return p.offer != 0 })
	if n := len(c.asked()); n != Fanout {
		t.Errorf("%d are asked", n)
	}
	unknown := near.where(isUnknown)
	if near.exists(func(p *neighbour) bool { return p.offer != 0 }) || len(unknown) != Fanout {
		t.Errorf("%d are waited for, or somebody's offer is left", len(unknown))
	}
	for _, id := range unknown {
		near.byID[id].known = true
	}

	near.byID[9].offer = wire.PongOld
	c.r.repair.advance(c.now())
	if n := len(c.asked()); n != 40 || len(near.where(isUnknown)) != 40 {
		t.Errorf("9 says that no log has something, and %d are asked", n)
	}
}

// Who hasn't answered its last ping isn't asked after each pull, but when it has, as its answer is
// about what this node lacked before; or when it has been silent for long.
func TestAskAgainWaitsForAnAnswer(t *testing.T) {
	c := newCrowd(t, 3, nil)
	p := c.r.neighbours.byID[2]
	c.answers = func(id uint64) bool { return id != 2 }
	pulled := func() []uint64 {
		c.wall += 10
		c.r.pinger.askAgain(c.now(), anyone)
		return c.asked()
	}
	pong := func() {
		const flags = wire.PongContext | wire.PongSynced
		a := wire.Pong{ID: p.pingID, Origin: p.origin, Flags: flags, Wall: c.wall}
		testkit.Must(t, c.r.Receive(c.now(), 2, wire.AppendPong(nil, a)))
	}
	if ids := pulled(); len(ids) != 3 {
		t.Fatalf("%v are asked", ids)
	}
	for range 5 {
		if ids := pulled(); slices.Contains(ids, 2) || len(ids) != 2 {
			t.Fatalf("2 hasn't answered, and %v are asked", ids)
		}
	}

	c.wall += 10
	pong()
	if ids := c.asked(); len(ids) != 1 || ids[0] != 2 || p.known {
		t.Fatalf("2 has answered what is out of date: known %v, and %v are asked", p.known, ids)
	}
	pong()
	if ids := c.asked(); len(ids) != 0 || !p.known {
		t.Fatalf("2 has answered: known %v, and %v are asked", p.known, ids)
	}

	pulled()
	c.wall += RoundMin.Milliseconds()
	if ids := pulled(); !slices.Contains(ids, 2) {
		t.Errorf("the last ping may be lost, and %v are asked", ids)
	}
}

// Who wants to hear from many within the bound asks more than those in each round.
func TestIsolationAsksEnough(t *testing.T) {
	for minPeers, want := range map[int]int{2: Fanout, 20: 30, 60: 60} {
		c := newCrowd(t, 60, func(c *Config) { c.Isolated, c.MinPeers = 10*time.Second, minPeers })
		c.r.Isolation().Watch(c.now())
		c.asked()
		if ids := c.round(); len(ids) != want {
			t.Errorf("MinPeers is %d, and %d are asked", minPeers, len(ids))
		}
	}
}

// Close waits for all neighbours for a moment, and then for as many as a round asks.
func TestCloseSuffices(t *testing.T) {
	c := newCrowd(t, Fanout+2, nil)
	testkit.Must(t, c.r.Set(c.now(), "k", "v", 0))
	q := c.r.Ask(c.now())
	missing := func(want int) {
		t.Helper()
		if ids := q.HandOver(c.now()); len(ids) != want {
			t.Errorf("%v haven't confirmed, want %d", ids, want)
		}
	}
	confirm := func(id uint64) {
		p := c.r.neighbours.byID[id]
		const flags = wire.PongContext | wire.PongSynced | wire.PongWhole
		pong := wire.AppendPong(nil, wire.Pong{ID: p.said.id, Origin: p.origin, To: 1, Flags: flags})
		testkit.Must(t, c.r.Receive(c.now(), id, pong))
	}
	missing(Fanout + 2)
	for id := range uint64(Fanout - 1) {
		confirm(1 + id)
	}
	c.wall += WaitForAll.Milliseconds()
	missing(3)
	confirm(Fanout)
	missing(0)
	c.wall -= 1
	missing(2)
}

// Who has just come, and gets what there is by a full sync, isn't waited for, but isn't among the eight that
// are enough either: from it the others don't get what they lack.
func TestCloseDoesNotSufficeWithNewcomers(t *testing.T) {
	c := newCrowd(t, 2, nil)
	testkit.Must(t, c.r.Set(c.now(), "k", "v", 0))
	for id := range uint64(Fanout) {
		c.r.Joined(c.now(), 11+id, 1011+id)
		p := c.r.neighbours.byID[11+id]
		pong := wire.AppendPong(nil, wire.Pong{ID: p.pingID, Origin: p.origin, Wall: c.wall})
		testkit.Must(t, c.r.Receive(c.now(), 11+id, pong))
	}
	for id := range uint64(2) {
		c.r.neighbours.byID[1+id].whole = true // but for what was written here
	}
	q := c.r.Ask(c.now())
	for range 2 {
		if ids := q.HandOver(c.now()); !slices.Equal(ids, []uint64{1, 2}) {
			t.Errorf("%v haven't confirmed", ids)
		}
		c.wall += WaitForAll.Milliseconds()
	}
}

// A neighbour whose dots were forgotten, as it has written fewer than this node believed, is asked in each
// round until they are there.
func TestRoundsRecall(t *testing.T) {
	c := newCrowd(t, 60, nil)
	const id, origin = 60, 1060
	p, v := c.r.neighbours.byID[id], c.r.state.vector
	p.claim(origin, 2)
	c.r.pings.disbelieve(c.now(), p)
	for range 5 {
		if ids := c.round(); !slices.Contains(ids, id) {
			t.Errorf("%v are asked", ids)
		}
	}
	v.Add(origin, 1, 1, 0)
	v.Add(origin, 2, 2, 0)
	asked := 0
	for range 5 {
		if slices.Contains(c.round(), id) {
			asked++
		}
	}
	if asked > 2 {
		t.Errorf("it is asked %d times, and nothing is missing", asked)
	}
}

// A value is taken as far as its sender says of an origin that it has processed its writes, though nobody
// has heard of the receiver for longer than the last few.
func TestOfferUpTo(t *testing.T) {
	g := newRig(t, 3, nil)
	g.settle()
	filler, other := g.replicas[0], g.replicas[1]
	for i := range 5 * delta.MaxDots {
		g.write(2, "k", func(r *Replica) { testkit.Must(t, r.Delete(g.now(), "k")) })
		if g.wall++; i%2 == 0 {
			g.write(0, "k", func(r *Replica) { testkit.Must(t, r.Delete(g.now(), "k")) })
		}
		for i := range g.replicas { // nobody but who writes sends anything
			g.flush(i)
		}
		for i := range 2 {
			for len(g.pending[i]) > 0 {
				g.deliver(i, 0, false)
			}
		}
	}
	f := filler.Fills.Begin(g.now(), 0, "k")[0]
	if o := filler.Fills.End(g.now(), f, &delta.Record{Key: "k", Val: "v"}, FillForAll); o != FillOffered {
		t.Fatalf("outcome %d", o)
	}
	g.write(2, "j", func(r *Replica) { testkit.Must(t, r.Delete(g.now(), "j")) }) // of another bucket
	offer := func() (o wire.Offer, frame []byte) {
		_, sends := filler.Flush(g.now())
		for _, m := range sends {
			if got, err := wire.DecodeOffer(m.Frame); err == nil && m.To == 1 {
				o, frame = got, m.Frame
			}
		}
		return o, frame
	}
	o, frame := offer()
	if len(o.UpTo) != 2 || len(o.Dots) != delta.MaxDots {
		t.Fatalf("offered %+v", o)
	}
	less := o // as a node of the release before says it
	less.UpTo = nil
	testkit.Must(t, other.Receive(g.now(), 0, wire.AppendOffer(nil, &less)))
	less.UpTo = slices.Clone(o.UpTo)
	for i := range less.UpTo {
		less.UpTo[i].Seq -= delta.MaxDots + 1
	}
	testkit.Must(t, other.Receive(g.now(), 0, wire.AppendOffer(nil, &less)))
	if n := other.Fills.counts; n.ProvisionalAccepted != 0 || n.ProvisionalRefused != 2 {
		t.Errorf("what isn't known to be current is kept: %+v", n)
	}
	testkit.Must(t, other.Receive(g.now(), 0, frame))
	if n := other.Fills.counts; n.ProvisionalAccepted != 1 {
		t.Errorf("it isn't kept: %+v", n)
	}
}

// Where reads lag, the echo that counts is an old one, though the receiver was heard just now: what it may
// have processed since then is said.
func TestOfferUpToWhereReadsLag(t *testing.T) {
	const settle = 20 * time.Second
	g := newRig(t, 3, nil)
	g.settle()
	filler, other := g.replicas[0], g.replicas[1]
	for range 2 * delta.MaxDots {
		g.write(2, "k", func(r *Replica) { testkit.Must(t, r.Delete(g.now(), "k")) })
		g.flush(2)
		for i := range 2 {
			g.deliver(i, 0, false)
		}
		g.wall++
	}
	g.wall += settle.Milliseconds() + 200 // less than clocks may differ by: the fence refuses the fill
	for i := range 2 {
		g.write(1+i, "j", func(r *Replica) { testkit.Must(t, r.Delete(g.now(), "j")) }) // of another bucket
	}
	g.settle()
	g.wall++
	f := filler.Fills.Begin(g.now(), settle, "k")[0]
	if o := filler.Fills.End(g.now(), f, &delta.Record{Key: "k", Val: "v"}, FillForAll); o != FillOffered {
		t.Fatalf("outcome %d", o)
	}
	g.settle()
	if n := other.Fills.counts; n.ProvisionalAccepted != 1 {
		t.Errorf("it isn't kept: %+v", n)
	}
}

// What a ping tells of and doesn't come is asked for soon, once: not while it is on its way, nor for ever.
func TestHint(t *testing.T) {
	const s = time.Second
	v, h := dots.NewVector(1, dots.MaxOrigins), hint{}
	for seq := range uint64(3) {
		v.Add(7, 1+seq, 1, 0)
	}
	entry := func(origin, covered uint64) dots.Entry {
		return dots.Entry{Origin: origin, Set: dots.Set{Covered: covered}}
	}
	has := []dots.Entry{entry(1, 99), entry(7, 5), entry(8, 1)} // the first one is this node's own
	due := func(at time.Duration, want bool) {
		t.Helper()
		if h.due(at, v) != want {
			t.Errorf("at %v: due is %v, %+v", at, !want, h)
		}
	}
	due(10*s, false)
	h.take(10*s, v, []dots.Entry{entry(7, 3)}, 1)
	due(12*s, false)
	h.take(12*s, v, has, 1)
	due(12*s, false)
	due(13*s, true)
	h.take(14*s, v, has, 1)
	due(13*s, true)
	due(17*s, false) // it can't be had
	h.take(18*s, v, has, 1)
	due(20*s, false)
	h.take(73*s, v, has, 1)
	due(74*s, true)
	v.Add(7, 4, 1, 0)
	due(74*s, false)
	h.take(75*s, v, has, 1)
	due(76*s, true) // the next one
}

// A neighbour that others wait for is asked by the next round, and so is cut in the usual time if it is
// frozen.
func TestRoundsAskWhoOwesAnAnswer(t *testing.T) {
	for what, ask := range map[string]func(c *crowd){
		"a confirmation": func(c *crowd) { c.r.Ask(c.now()).Of(c.now(), 17, 1017, time.Time{}) },
		"a report":       func(c *crowd) { c.r.Asked.Ask("k", false, []uint64{17}, func() {}) },
		"a lease": func(c *crowd) {
			leaseLink{&c.r.Leases}.SendLease(17, wire.LeaseMsg{ID: 1, Op: wire.OpWant, Key: "k", Term: 100})
		},
	} {
		c := newCrowd(t, 40, nil)
		for range 10 {
			c.round()
		}
		testkit.Must(t, c.r.Set(c.now(), "k", "v", 0))
		c.answers = func(id uint64) bool { return id != 17 }
		begin := c.wall
		ask(c)
		for c.asked(); len(c.r.TakeCuts()) == 0 && c.wall < begin+60_000; {
			c.round()
		}
		if took := time.Duration(c.wall-begin) * time.Millisecond; took > SilentMost+RoundMin {
			t.Errorf("%s: it is cut after %v", what, took)
		}
	}
}
