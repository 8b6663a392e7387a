package replica

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/wire"
)

// edge is a moment for tests that drive a replica by hand, and so many milliseconds later.
func edge(ms int) delta.Instant {
	return delta.Instant{Wall: 1_700_000_000_000 + int64(ms), Mono: 10*time.Second + time.Duration(ms)*time.Millisecond}
}

// Who read the clock first may take the lock second: the time of the last touch doesn't go back.
func TestTouchTimesNeverFall(t *testing.T) {
	const settle = 50 * time.Millisecond
	tombstone := delta.Record{Key: "k", Kind: delta.KindTombstone, Version: delta.Version{Stamp: 5 << delta.StampShift, Origin: 9}}
	del := func(at int) func(r *Replica) {
		return func(r *Replica) { testkit.Must(t, r.Delete(edge(at), "k")) }
	}
	for name, touch := range map[string]struct{ newer, older func(r *Replica) }{
		"a Delete": {del(60), del(0)},
		"a record": {del(60), func(r *Replica) {
			testkit.Must(t, r.Receive(edge(0), 1, wire.AppendDelta(nil, 9, 1, []delta.Record{tombstone})))
		}},
		"all keys": {
			func(r *Replica) { testkit.Must(t, r.Clear(edge(60), "")) },
			func(r *Replica) { r.state.touchAll(edge(0), delta.Dot{}) },
		},
		"only newer": {del(60), func(r *Replica) {}},
	} {
		for _, local := range []bool{false, true} {
			r := newRig(t, 2, func(c *Config) { c.Local = local }).replicas[0]
			touch.newer(r) // a replica of the database that is 50 ms behind shows it at 110
			if touch.older(r); local && name == "a record" {
				continue
			}
			f := r.Fills.Begin(edge(65), settle, "k")[0]
			if o := r.Fills.End(edge(70), f, &delta.Record{Key: "k", Val: "old"}, FillForAll); o != FillRefused {
				t.Errorf("%s, local %v: outcome %d", name, local, o)
			}
		}
	}
}

// A write that can't be applied leaves no stamp for the fence to compare. What a fill has read before it
// isn't written either.
func TestFillDuringAWriteThatIsGivenUp(t *testing.T) {
	give := func(r *Replica, seq uint64, rec delta.Record) {
		_ = r.Receive(edge(10), 1, wire.AppendDelta(nil, 9, seq, []delta.Record{rec}))
	}
	at := func(ms int64) delta.Version { return delta.Version{Stamp: delta.StampOf(edge(0).Wall + ms), Origin: 9} }
	for name, write := range map[string]func(r *Replica){
		"at the bound of gaps": func(r *Replica) {
			seq := uint64(2)
			for ; r.state.counts.DroppedIntervals == 0; seq += 2 {
				give(r, seq, delta.Record{Key: "x", Kind: delta.KindTombstone, Version: at(-10_000)})
			}
			give(r, seq+2, delta.Record{Key: "k", Kind: delta.KindTombstone, Version: at(0)})
		},
		"from the future": func(r *Replica) { give(r, 1, delta.Record{Key: "k", Kind: delta.KindTombstone, Version: at(900)}) },
		"a Clear from the future": func(r *Replica) {
			give(r, 1, delta.Record{Kind: delta.KindClear, Version: at(900)})
		},
	} {
		r := newRig(t, 2, nil).replicas[0]
		if strings.HasPrefix(name, "a Clear") {
			give(r, 7, delta.Record{Kind: delta.KindClear, Version: at(800)}) // not the first one of that node
		}
		f := r.Fills.Begin(edge(5), 0, "k")[0]
		write(r)
		o := r.Fills.End(edge(20), f, &delta.Record{Key: "k", Val: "old"}, FillForAll)
		if val, ok := r.Store.Get("k", func() int64 { return edge(20).Wall }); ok {
			t.Errorf("%s: outcome %d, %q is served", name, o, val)
		}
	}
}

// On a local node nothing makes up for a clock that is set forward, but that times of touches don't jump.
func TestFillLocalSettleClockIsSetForward(t *testing.T) {
	r := newRig(t, 1, func(c *Config) { c.Local = true }).replicas[0]
	testkit.Must(t, r.Set(edge(0), "k", "old", 0))
	testkit.Must(t, r.Delete(edge(0), "k"))
	now := edge(10)
	now.Wall += 1000
	f := r.Fills.Begin(now, 50*time.Millisecond, "k")[0]
	if o := r.Fills.End(now, f, &delta.Record{Key: "k", Val: "old"}, FillForAll); o != FillRefused {
		t.Errorf("outcome %d", o)
	}
}

// full returns a replica whose store is full of small entries.
func full(t *testing.T, maxBytes int64) *Replica {
	t.Helper()
	r := newRig(t, 2, func(c *Config) { c.Store.MaxKeys, c.Store.MaxBytes = 100_000, maxBytes }).replicas[0]
	for i := 0; r.Store.Stats().Evictions == 0; i++ {
		testkit.Must(t, r.Set(edge(0), fmt.Sprint("small", i), "v", 0))
	}
	return r
}

// Room is made only for what is kept, only as much as it takes, and in steps.
func TestProvisionalMakesRoom(t *testing.T) {
	big := strings.Repeat("x", 200_000)
	fl := func(r *Replica, ms int) FillOutcome {
		f := r.Fills.Begin(edge(ms), 0, "k")[0]
		return r.Fills.End(edge(ms+1), f, &delta.Record{Key: "k", Val: big}, FillForAll)
	}
	evicts := func(r *Replica, what string, most uint64, do func()) {
		t.Helper()
		before := r.Store.Stats().Evictions
		do()
		if n := r.Store.Stats().Evictions - before; n > most {
			t.Errorf("%s: %d of %d entries were evicted", what, n, r.Store.Len())
		}
	}
	r := full(t, 1_000_000)
	testkit.Must(t, r.Delete(edge(0), "k"))
	if o := fl(r, 10); o != FillKept {
		t.Fatal(o)
	}
	testkit.Must(t, r.Set(edge(12), "more", "v", 0))
	evicts(r, "a value in place of one of its length", 1, func() { fl(r, 20) })

	r = full(t, 1_000_000)
	testkit.Must(t, r.Set(edge(0), "k", "live", 0))
	o := wire.Offer{Origin: 101, To: r.state.Origin, Seen: r.state.touches.Echo(), Rec: delta.Record{Key: "k", Val: big}}
	evicts(r, "an offer that isn't wanted", 0, func() { r.Fills.receiveOffer(edge(1), 1, o) })

	r = full(t, 2_000_000)
	huge := strings.Repeat("x", 900_000)
	testkit.Must(t, r.Set(edge(0), "k", huge, 0))
	r.Fills.Begin(edge(1), 0, "k")
	if !r.Store.Fills.EvictFor(edge(2), &delta.Record{Key: "k", Val: huge}, evictBatch) {
		t.Error("room for a value beside one isn't made in steps")
	}
}

// What came from other nodes and wasn't read here stays in probation when another offer takes its place.
func TestProvisionalOfferIsNoUse(t *testing.T) {
	r := newRig(t, 2, nil).replicas[0]
	for i, ms := range []int{0, 10} {
		val := delta.Record{Key: "k", Val: fmt.Sprint(i), Deadline: edge(ms + 5).Wall}
		r.Fills.receiveOffer(edge(ms), 1, wire.Offer{Origin: 101, To: r.state.Origin, Seen: r.state.touches.Echo(), Rec: val})
		if r.Store.Stats().Probation != 1 || r.Fills.counts.ProvisionalAccepted != uint64(i+1) {
			t.Errorf("offer %d: %d in probation, %d accepted", i, r.Store.Stats().Probation, r.Fills.counts.ProvisionalAccepted)
		}
	}
}

// An offer that was meant for an earlier life of a node isn't accepted, nor does what that life has
// said count: another life counts its touches anew.
func TestProvisionalOfAnotherLife(t *testing.T) {
	g := newRig(t, 2, nil)
	a, b := g.replicas[0], g.replicas[1]
	g.settle()
	for range 3 {
		g.write(1, "k", func(r *Replica) { testkit.Must(t, r.Delete(g.now(), "k")) })
	}
	g.settle()
	if got := a.neighbours.byID[1].echoes[0].count; got != b.state.touches.Echo() {
		t.Fatalf("the echo of the other node is %d, and it has counted %d touches", got, b.state.touches.Count)
	}
	f := a.Fills.Begin(g.now(), 0, "k")[0]
	if outcome := a.Fills.End(g.now(), f, &delta.Record{Key: "k", Val: "v"}, FillForAll); outcome != FillOffered {
		t.Fatal(outcome)
	}
	_, sends := a.Flush(g.now())
	if len(sends) != 1 {
		t.Fatalf("%d offers", len(sends))
	}

	// Node 1 begins another life, which knows of a Delete that the fill didn't see.
	other := newRig(t, 2, func(c *Config) { c.Origin += 1000 }).replicas[1]
	testkit.Must(t, other.Delete(g.now(), "k"))
	testkit.Must(t, other.Receive(g.now(), 0, sends[0].Frame))
	if _, ok := other.Store.Fills.Peek("k"); ok || other.Fills.counts.ProvisionalRefused != 1 {
		t.Error("an offer for another life was accepted")
	}

	a.Left(g.now(), 1)
	a.Joined(g.now(), 1, other.state.Origin)
	late := wire.AppendPing(nil, wire.Ping{Origin: b.state.Origin, Wall: g.wall, Echo: 1 << 30})
	testkit.Must(t, a.Receive(g.now(), 1, late))
	if got := a.neighbours.byID[1].echoes[0].count; got != 0 {
		t.Errorf("the echo %d of another life counts", got)
	}
}
