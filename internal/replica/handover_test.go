package replica

import (
	"slices"
	"testing"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/wire"
)

// handsOver has a node of a rig close, and calls between until it waits for nobody any more, so many times
// at most. It returns for whom it waits then.
func (g *rig) handsOver(i, times int, between func()) (missing []uint64) {
	r := g.replicas[i]
	r.Close()
	q := r.Ask(g.now())
	defer q.End()
	for range times {
		if missing = q.HandOver(g.now()); len(missing) == 0 {
			break
		}
		between()
		g.wall += AskEvery.Milliseconds()
	}
	return missing
}

// hop delivers what waits, and what is sent now, but not what is sent in answer to that.
func (g *rig) hop() {
	for i := range g.replicas {
		g.flush(i)
	}
	for i := range g.replicas {
		for range len(g.pending[i]) {
			g.deliver(i, 0, false)
		}
	}
}

// apart ends the connection of two nodes of a rig.
func (g *rig) apart(i, j int) {
	g.replicas[i].Left(g.now(), uint64(j))
	g.replicas[j].Left(g.now(), uint64(i))
}

// onlyOnOne makes a rig of three nodes, of which one is gone. What it wrote last, one of the others has; lacks
// hasn't.
func onlyOnOne(t *testing.T, gone, lacks int) *rig {
	g := newRig(t, 3, func(c *Config) { c.First = true })
	g.settle()
	g.write(gone, "k", func(r *Replica) { testkit.Must(t, r.Set(g.now(), "k", "v", 0)) })
	g.flush(gone)
	g.pending[lacks] = nil
	g.settle()
	for i := range g.replicas {
		if i != gone {
			g.apart(gone, i)
		}
	}
	return g
}

// In a rolling restart a node closes whose last write one other node has got, which closes next. The third
// one, which wasn't connected with the first, has it then.
func TestCloseHandsOver(t *testing.T) {
	for what, write := range map[string]func(g *rig){
		"a write of a node that is gone": func(g *rig) {
			g.write(0, "k", func(r *Replica) { testkit.Must(t, r.Set(g.now(), "k", "v", 0)) })
			g.flush(0)
			g.pending[2] = nil
			g.settle()
			g.apart(0, 1)
		},
		"a write of its own": func(g *rig) {
			g.write(1, "k", func(r *Replica) { testkit.Must(t, r.Set(g.now(), "k", "v", 0)) })
			g.flush(1)
			g.pending[2] = nil
		},
	} {
		g := newRig(t, 3, func(c *Config) { c.First = true })
		g.settle()
		g.apart(0, 2)
		write(g)
		if _, ok := g.replicas[2].Store.Peek("k"); ok {
			t.Fatal("it has it")
		}
		missing := g.handsOver(1, 10, g.hop)
		if _, ok := g.replicas[2].Store.Peek("k"); !ok || len(missing) > 0 {
			t.Errorf("%s: the last node has it: %v; waits for %v", what, ok, missing)
		}
	}
}

// Close waits for one that has all else than the writes of this node; for the others only for a moment. It
// doesn't wait for who closes too, or has just come, and those aren't the one either.
func TestCloseNeedsOneThatStays(t *testing.T) {
	const old = wire.PongContext | wire.PongSynced // an earlier version says so
	const whole, behind = old | wire.PongWhole, old | wire.PongBehind
	for what, c := range map[string]struct {
		flags [2]uint64 // of the answers of two neighbours; 0: there is none
		soon  []uint64  // for whom it waits,
		later []uint64  // and when WaitForAll has passed
	}{
		"nobody answers":           {[2]uint64{}, []uint64{1, 2}, []uint64{1, 2}},
		"both have it":             {[2]uint64{whole, whole}, nil, nil},
		"one has it":               {[2]uint64{whole, 0}, []uint64{2}, nil},
		"one lacks something":      {[2]uint64{whole, behind}, []uint64{2}, nil},
		"both lack something":      {[2]uint64{behind, behind}, []uint64{1, 2}, []uint64{1, 2}},
		"one closes too":           {[2]uint64{whole | wire.PongLeaving, 0}, []uint64{2}, []uint64{2}},
		"both close too":           {[2]uint64{whole | wire.PongLeaving, whole | wire.PongLeaving}, nil, nil},
		"one has just come":        {[2]uint64{wire.PongContext, 0}, []uint64{2}, []uint64{2}},
		"old ones don't know":      {[2]uint64{old, old}, nil, nil},
		"an old one isn't enough":  {[2]uint64{old, behind}, []uint64{2}, []uint64{2}},
		"one hasn't looked at all": {[2]uint64{wire.PongSynced, whole}, []uint64{1}, nil},
	} {
		g := newRig(t, 3, nil)
		g.write(0, "k", func(r *Replica) { testkit.Must(t, r.Set(g.now(), "k", "v", 0)) })
		g.settle()
		r := g.replicas[0]
		g.apart(0, 1)
		g.apart(0, 2)
		for id := range uint64(2) { // they haven't said anything since they connected
			r.Joined(g.now(), 1+id, 101+id)
		}
		r.Close()
		q := r.Ask(g.now())
		q.HandOver(g.now())
		for i, flags := range c.flags {
			id := uint64(1 + i)
			p := r.neighbours.byID[id]
			if pong := (wire.Pong{ID: p.said.id, Origin: p.origin, To: 1, Flags: flags}); flags != 0 {
				testkit.Must(t, r.Receive(g.now(), id, wire.AppendPong(nil, pong)))
			} else {
				p.said.answer(g.now(), 0, 1, 1) // it has confirmed what was written here
			}
		}
		if missing := q.HandOver(g.now()); !slices.Equal(missing, c.soon) {
			t.Errorf("%s: waits for %v, want %v", what, missing, c.soon)
		}
		g.wall += WaitForAll.Milliseconds()
		if missing := q.HandOver(g.now()); !slices.Equal(missing, c.later) {
			t.Errorf("%s: waits for %v in the end, want %v", what, missing, c.later)
		}
	}
}

// Two nodes that close at once don't wait for each other, though each has what the other lacks.
func TestCloseBothAtOnce(t *testing.T) {
	g := newRig(t, 2, func(c *Config) { c.First = true })
	g.settle()
	for i := range 2 {
		g.write(i, "k", func(r *Replica) { testkit.Must(t, r.Set(g.now(), "k", "v", 0)) })
		g.flush(i)
	}
	g.pending[0], g.pending[1] = nil, nil
	g.replicas[1].Close()
	if missing := g.handsOver(0, 2, g.settle); len(missing) > 0 {
		t.Errorf("waits for %v", missing)
	}
}

// Who doesn't take the node that closes for a neighbour, as connections are noticed at different times, says
// whether it lacks something all the same.
func TestCloseIsToldByWhoIsNoNeighbour(t *testing.T) {
	g := onlyOnOne(t, 2, 1)
	g.replicas[1].Left(g.now(), 0)
	if missing := g.handsOver(0, 5, g.settle); !slices.Equal(missing, []uint64{1}) {
		t.Errorf("waits for %v", missing)
	}
}

// A node that has processed nothing asks nobody, and one whose neighbours have all asks once.
func TestCloseAsksLittle(t *testing.T) {
	g := newRig(t, 2, func(c *Config) { c.First = true })
	g.settle()
	if missing := g.handsOver(0, 1, nil); len(missing) > 0 {
		t.Errorf("a node that knows nothing waits for %v", missing)
	}

	g = newRig(t, 2, func(c *Config) { c.First = true })
	g.write(1, "k", func(r *Replica) { testkit.Must(t, r.Set(g.now(), "k", "v", 0)) })
	g.settle()
	asked := 0
	missing := g.handsOver(0, 3, func() {
		g.flush(0)
		asked += len(g.pending[1])
		g.settle()
	})
	if len(missing) > 0 || asked != 1 {
		t.Errorf("it asks %d times, and waits for %v", asked, missing)
	}
}

// A neighbour that is synced again, as a full sync to it broke off, hasn't just come: it is waited for.
func TestCloseWaitsForWhoSyncsAgain(t *testing.T) {
	g := onlyOnOne(t, 0, 2)
	last := g.replicas[2]
	last.repair.client.unvouched = true
	last.neighbours.byID[1].retryAt = 1 << 62 // it doesn't begin anew yet
	last.pinger.ping(g.now(), 1, 0)
	g.settle()
	if missing := g.handsOver(1, 100, g.hop); !slices.Equal(missing, []uint64{2}) {
		t.Errorf("waits for %v", missing)
	}
}

// What is on its way isn't pulled at once.
func TestCloseLetsComeWhatIsOnItsWay(t *testing.T) {
	g := newRig(t, 3, func(c *Config) { c.First = true })
	g.settle()
	g.write(0, "k", func(r *Replica) { testkit.Must(t, r.Set(g.now(), "k", "v", 0)) })
	g.flush(0)
	for len(g.pending[1]) > 0 {
		g.deliver(1, 0, false)
	}
	late := g.pending[2]
	g.pending[2] = nil
	r := g.replicas[1]
	r.Close()
	q := r.Ask(g.now())
	ask := func() (pulls uint64) {
		before := g.replicas[2].allCounts().RepairsAsked
		q.HandOver(g.now())
		g.hop()
		g.wall += AskEvery.Milliseconds()
		return g.replicas[2].allCounts().RepairsAsked - before
	}
	if ask() != 0 {
		t.Error("it is pulled at once")
	}
	if ask() != 1 {
		t.Error("it isn't pulled")
	}
	g.pending[2] = append(late, g.pending[2]...)
	g.settle()
	if missing := q.HandOver(g.now()); len(missing) > 0 {
		g.settle()
		if g.wall += AskEvery.Milliseconds(); len(q.HandOver(g.now())) > 0 {
			t.Errorf("waits for %v", missing)
		}
	}
}

// A long list is told less often.
func TestCloseTellsManyOriginsRarely(t *testing.T) {
	for origins, want := range map[uint64]int{10: 2, manyOrigins + 10: 1} {
		g := newRig(t, 2, func(c *Config) { c.First = true })
		g.settle()
		r := g.replicas[0]
		for o := range origins {
			r.state.vector.Add(1000+o, 1, 1+o, 0)
		}
		r.Close()
		q := r.Ask(g.now())
		asked := 0
		for range 2 {
			q.HandOver(g.now())
			asked += len(pinged(t, r, g.now()))
			g.wall += AskEvery.Milliseconds()
		}
		if asked != want {
			t.Errorf("%d origins: told %d times", origins, asked)
		}
	}
}
