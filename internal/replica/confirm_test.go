package replica

import (
	"slices"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/wire"
)

// pinged takes the pings that wait, of those that ask for confirmation, by whom they are for.
func pinged(t *testing.T, r *Replica, now delta.Instant) map[uint64]wire.Ping {
	t.Helper()
	asked := map[uint64]wire.Ping{}
	_, sends := r.Flush(now)
	for _, m := range sends {
		if p, err := wire.DecodePing(m.Frame); err == nil && p.Flags&wire.PingConfirm != 0 {
			if _, twice := asked[m.To]; twice {
				t.Errorf("node %d is asked twice at once", m.To)
			}
			asked[m.To] = p
		}
	}
	return asked
}

func TestConfirmation(t *testing.T) {
	at := func(ms int64) delta.Instant { return delta.Instant{Mono: time.Duration(ms) * time.Millisecond} }
	c := newConfirmation()
	if !c.due(at(0)) || c.due(at(5)) || !c.due(at(20)) {
		t.Error("it isn't asked at first, or again at once, or never again")
	}
	for _, wrong := range [][2]uint64{{1, 9}, {0, 0}, {0, 11}} { // a gap; nothing; more than there is
		if c.answer(at(21), wrong[0], wrong[1], 10) || c.upTo != 0 || c.due(at(22)) {
			t.Errorf("%v confirms up to %d, or has it asked at once", wrong, c.upTo)
		}
	}
	if !c.answer(at(23), 0, 9, 10) || c.upTo != 9 || c.answer(at(24), 0, 8, 10) || c.upTo != 9 {
		t.Errorf("it has confirmed up to %d", c.upTo)
	}
	if !c.due(at(24)) {
		t.Error("who has answered well isn't asked for more at once")
	}
}

// Who stays silent, or has no news, is asked less and less often, though never rarely; with news that
// begins anew.
func TestConfirmationInVain(t *testing.T) {
	c := newConfirmation()
	asks := func(from, to time.Duration) (n int) {
		for at := from; at < to; at += AskEvery {
			if c.due(delta.Instant{Mono: at}) {
				n++
			}
		}
		return n
	}
	if n := asks(0, 80*time.Millisecond); n != 4 {
		t.Errorf("%d asks at first", n)
	}
	if n := asks(80*time.Millisecond, time.Second); n < 920/80 || n > 16 {
		t.Errorf("%d asks later", n)
	}
	for second := time.Second; second < time.Minute; second += time.Second {
		if n := asks(second, second+time.Second); n < 12 || n > 13 {
			t.Fatalf("%d asks in a second", n)
		}
	}
	c.answer(delta.Instant{Mono: time.Minute}, 0, 7, 9)
	if n := asks(time.Minute, time.Minute+80*time.Millisecond); n != 4 {
		t.Errorf("%d asks after news", n)
	}
}

// A neighbour confirms what it has from the first write on; it is asked about the first that it hasn't
// confirmed, by however many.
func TestConfirmAsksNeighbours(t *testing.T) {
	g := newRig(t, 2, nil)
	r := g.replicas[0]
	for range 3 {
		testkit.Must(t, r.Set(g.now(), "k", "v", 0))
	}
	q, later := r.Ask(g.now()), (*Question)(nil)
	if q.Writes() != 3 || q.Of(g.now(), 1, 101, time.Time{}) != (Verdict{}) {
		t.Error("confirmed unasked")
	}
	testkit.Must(t, r.Set(g.now(), "k", "v", 0))
	later = r.Ask(g.now())
	later.Of(g.now(), 1, 101, time.Time{})
	asked := pinged(t, r, g.now())
	if p := asked[1]; len(asked) != 1 || p.Seq != 1 || p.ID == 0 {
		t.Errorf("asked %+v", asked)
	}
	pong := func(a wire.Pong) {
		t.Helper()
		a.ID = asked[1].ID
		testkit.Must(t, r.Receive(g.now(), 1, wire.AppendPong(nil, a)))
	}
	for _, a := range []wire.Pong{{Origin: 999, To: 3}, {Origin: 101, From: 1, To: 3}, {Origin: 101, To: 5}} {
		pong(a)
		if v := q.Of(g.now(), 1, 101, time.Time{}); v.UpTo > 0 || v.All {
			t.Errorf("%+v confirms", a) // another life; a gap; more than there is
		}
	}
	earlier := wire.AppendPong(nil, wire.Pong{Origin: 101, To: 3}) // it was asked by another life of this node
	if testkit.Must(t, r.Receive(g.now(), 1, earlier)); q.Of(g.now(), 1, 101, time.Time{}).All {
		t.Error("what an earlier life has written is taken for what this one has")
	}
	pong(wire.Pong{Origin: 101, To: 3})
	if v := q.Of(g.now(), 1, 101, time.Time{}); v != (Verdict{3, true, false}) {
		t.Errorf("%+v", v)
	}
	if v := later.Of(g.now(), 1, 101, time.Time{}); v != (Verdict{3, false, false}) {
		t.Errorf("%+v", v)
	}
	if p := pinged(t, r, g.now())[1]; p.Seq != 4 {
		t.Errorf("asked about %d", p.Seq)
	}
	if v := q.Of(g.now(), 1, 102, time.Time{}); v != (Verdict{}) {
		t.Error("another life has said what this one said")
	}
	q.End()
	later.End()
}

// Who isn't a neighbour confirms by the answer to what it was asked in the way that it is reached, and
// nothing is remembered of it when nobody asks any more.
func TestConfirmAsksBeyond(t *testing.T) {
	g := newRig(t, 2, nil)
	r := g.replicas[0]
	since := time.Unix(1, 0)
	if testkit.Must(t, r.Receive(g.now(), 7, wire.AppendPong(nil, wire.Pong{Origin: 107}))); r.pinger.confirms.beyond != nil {
		t.Error("a stranger is remembered")
	}
	testkit.Must(t, r.Set(g.now(), "k", "v", 0))
	q := r.Ask(g.now())
	q.Of(g.now(), 7, 0, since)
	p := pinged(t, r, g.now())[7]
	pong := func(id uint64) Verdict {
		t.Helper()
		testkit.Must(t, r.Receive(g.now(), 7, wire.AppendPong(nil, wire.Pong{ID: id, Origin: 107, To: 1})))
		return q.Of(g.now(), 7, 0, since)
	}
	if v := pong(p.ID + 1); v != (Verdict{}) {
		t.Errorf("an answer to something else: %+v", v)
	}
	if v := pong(p.ID); v != (Verdict{1, true, false}) {
		t.Errorf("%+v", v)
	}
	since = since.Add(1) // it was gone in between
	if v := pong(p.ID); v != (Verdict{}) {
		t.Errorf("what the life before has said: %+v", v)
	}
	for id := range uint64(3 * maxBeyond) {
		if q.Of(g.now(), 100+id, 0, since); len(r.pinger.confirms.beyond) > maxBeyond {
			t.Fatal("nodes are remembered without a bound")
		}
	}
	if q.End(); r.pinger.confirms.beyond != nil {
		t.Error("what was said is remembered")
	}
}

// Who is asked pulls what it lacks, though it isn't a neighbour of who asks: from another one.
func TestConfirmPullsBeyond(t *testing.T) {
	for _, near := range []bool{true, false} {
		g := newRig(t, 3, func(c *Config) { c.First = true })
		g.settle()
		for i, r := range g.replicas {
			for j := range g.replicas {
				if i+j == 2 && i != j && !near { // the first and the last one aren't connected
					r.Left(g.now(), uint64(j))
				}
			}
		}
		g.settle()
		g.write(0, "k", func(r *Replica) { testkit.Must(t, r.Set(g.now(), "k", "v", 0)) })
		g.flush(0)
		g.pending[2] = nil // lost
		g.settle()
		if _, ok := g.replicas[2].Store.Peek("k"); ok {
			t.Fatal("it wasn't lost")
		}
		q := g.replicas[0].Ask(g.now())
		origin := uint64(102)
		if !near {
			origin = 0
		}
		v := q.Of(g.now(), 2, origin, time.Time{})
		for range 3 {
			g.wall += 20
			g.settle()
			v = q.Of(g.now(), 2, origin, time.Time{})
		}
		if _, ok := g.replicas[2].Store.Peek("k"); !ok || !v.All {
			t.Errorf("neighbours %v: %v, %+v", near, ok, v)
		}
	}
}

// Close asks all its neighbours, and believes what they say since they connected only of those that have
// just come.
func TestConfirmAtClose(t *testing.T) {
	g := newRig(t, 3, nil)
	r := g.replicas[0]
	testkit.Must(t, r.Set(g.now(), "k", "v", 0))
	for id := range uint64(2) {
		r.Joined(g.now(), 1+id, 201+id) // it has processed what was before, or not
	}
	q := r.Ask(g.now())
	if missing := q.HandOver(g.now()); !slices.Equal(missing, []uint64{1, 2}) {
		t.Errorf("unheard: %v", missing)
	}
	pong := func(peer uint64, a wire.Pong) {
		t.Helper()
		a.ID, a.Origin = r.neighbours.byID[peer].said.id, 200+peer
		testkit.Must(t, r.Receive(g.now(), peer, wire.AppendPong(nil, a)))
	}
	pong(1, wire.Pong{Flags: wire.PongSynced})
	pong(2, wire.Pong{})
	if missing := q.HandOver(g.now()); !slices.Equal(missing, []uint64{1}) {
		t.Errorf("the first is synced, the second one not: %v", missing)
	}
	if p := pinged(t, r, g.now())[1]; p.Seq != 1 {
		t.Errorf("asked %+v", p)
	}
	pong(1, wire.Pong{To: 1, Flags: wire.PongContext | wire.PongSynced | wire.PongWhole})
	if missing := q.HandOver(g.now()); len(missing) > 0 {
		t.Errorf("%v", missing)
	}
}
