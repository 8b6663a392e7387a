package replica

import (
	"fmt"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/wire"
)

// What clocks that are wrong for a moment, and stamps that are forged, leave behind.

// ahead is now on a clock that is an hour ahead.
func (w *network) ahead() delta.Instant {
	return delta.Instant{Wall: w.now.Wall + time.Hour.Milliseconds(), Mono: w.now.Mono}
}

// part cuts two nodes off from each other.
func (w *network) part(a, b uint64) {
	w.nodes[a].Left(w.now, b)
	w.nodes[b].Left(w.now, a)
}

// joins checks that a new node becomes ready within a few seconds.
func (w *network) joins(id uint64, others ...uint64) {
	w.t.Helper()
	r := w.add(id, false, func(c *Config) { c.SyncTimeout = time.Hour })
	for _, other := range others {
		w.connect(other, id)
	}
	if w.pass(5 * time.Second); !r.standing.ready.synced || r.repair.client.counts.SyncsFailed > 0 {
		w.t.Errorf("node %d isn't ready: %s; %d full syncs failed", id, r.Unsynced(w.now), r.repair.client.counts.SyncsFailed)
	}
}

// A node writes while it is cut off, once of it with a clock that is an hour ahead. What is repaired
// later says how new that is.
func TestFutureNewestOfARepair(t *testing.T) {
	w := newNetwork(t)
	a, b := w.add(1, true), w.add(2, true)
	w.connect(1, 2)
	w.pass(5 * time.Second)
	w.part(1, 2)
	for i := range 5 {
		w.set(1, fmt.Sprint(i), "v")
	}
	w.pass(5 * time.Second)
	testkit.Must(t, a.Set(w.ahead(), "ahead", "v", 0))
	w.connect(1, 2)
	w.pass(5 * time.Second)
	w.holds(2, "0", "v")
	if newest := b.state.vector.Get(a.state.Origin).Newest; b.state.future(w.now, newest) {
		t.Errorf("newest is %d s ahead", (delta.StampWall(newest)-w.now.Wall)/1000)
	}
	w.kill(1)
	w.joins(3, 2)
}

// The same by a frame of 40 bytes, with whatever stamp.
func TestFutureNewestOfAFrame(t *testing.T) {
	w := newNetwork(t)
	w.add(1, true)
	b := w.add(2, true)
	w.connect(1, 2)
	w.pass(3 * time.Second)
	for i := range uint64(10) {
		rec := delta.Record{Key: "x", Val: "v", Version: delta.Version{Stamp: delta.StampOf(w.now.Wall), Origin: 666 + i}}
		frame := wire.MarkRepair(wire.AppendDelta(nil, 666+i, 1, []delta.Record{rec}), delta.MaxStamp)
		testkit.Must(t, b.Receive(w.now, 1, frame))
		if newest := b.state.vector.Get(666 + i).Newest; newest == 0 || b.state.future(w.now, newest) {
			t.Fatalf("newest is %x", newest)
		}
	}
	w.joins(3, 2)
	w.joins(4, 1)
}

// Thousands of forged lives move the horizon, but not beyond now: what is written from then on is taken
// again.
func TestFutureHorizon(t *testing.T) {
	w := newNetwork(t)
	w.add(1, true)
	b := w.add(2, true)
	w.connect(1, 2)
	for i := range uint64(dots.MaxOrigins + 100) {
		rec := delta.Record{Key: "x", Val: "v", Version: delta.Version{Stamp: delta.StampOf(w.now.Wall), Origin: 10_000 + i}}
		testkit.Must(t, b.Receive(w.now, 1, wire.MarkRepair(wire.AppendDelta(nil, rec.Origin, 1, []delta.Record{rec}), delta.MaxStamp)))
	}
	if b.state.vector.Horizon == (dots.Horizon{}) || b.state.future(w.now, b.state.vector.Horizon.Stamp) {
		t.Fatalf("horizon %x", b.state.vector.Horizon.Stamp)
	}
	rec := delta.Record{Key: "relayed", Val: "v", Version: delta.Version{Stamp: delta.StampOf(w.now.Wall) + 9, Origin: 777}}
	testkit.Must(t, b.Receive(w.now, 1, wire.AppendDelta(nil, 777, 1, []delta.Record{rec})))
	w.holds(2, "relayed", "v")
}

// What a node took over while its own clock was ahead is put right as soon as that is.
func TestFutureOfOnesOwn(t *testing.T) {
	w := newNetwork(t)
	w.add(1, true)
	b := w.add(2, true)
	w.connect(1, 2)
	w.pass(3 * time.Second)
	rec := delta.Record{Key: "x", Val: "v", Version: delta.Version{Stamp: delta.StampOf(w.now.Wall), Origin: 666}}
	newest := delta.StampOf(w.ahead().Wall)
	testkit.Must(t, b.Receive(w.ahead(), 1, wire.MarkRepair(wire.AppendDelta(nil, 666, 1, []delta.Record{rec}), newest)))
	sum := b.state.vector.PrintUpTo(newest - 1)
	poison := wire.Pong{ID: 1, Origin: 101, Horizon: dots.Horizon{Stamp: newest - 1, Print: sum}}
	testkit.Must(t, b.Receive(w.ahead(), 1, wire.AppendPong(nil, poison)))
	if b.state.vector.Get(666).Newest != newest || b.state.vector.Horizon.Stamp != newest-1 {
		t.Fatalf("newest %x, horizon %x: the test is broken", b.state.vector.Get(666).Newest, b.state.vector.Horizon.Stamp)
	}
	w.pass(time.Second)
	if b.state.future(w.now, b.state.vector.Get(666).Newest) || b.state.future(w.now, b.state.vector.Horizon.Stamp) {
		t.Errorf("newest %x, horizon %x", b.state.vector.Get(666).Newest, b.state.vector.Horizon.Stamp)
	}
	w.joins(3, 2)
}

// A Clear that can't be applied yet deletes all that was written before it, whatever Clears came
// before; once, however often it comes.
func TestFutureClear(t *testing.T) {
	for _, before := range []uint64{0, 1, 2} { // whose Clear
		t.Run(fmt.Sprint(before), func(t *testing.T) {
			w := newNetwork(t)
			a, b := w.add(1, true), w.add(2, true)
			w.connect(1, 2)
			w.pass(3 * time.Second)
			if before > 0 {
				testkit.Must(t, w.nodes[before].Clear(w.now, ""))
			}
			w.pass(3 * time.Second)
			w.set(2, "k", "old")
			w.pass(3 * time.Second)
			testkit.Must(t, a.Set(w.ahead(), "other", "v", 0))
			testkit.Must(t, a.Clear(w.now, ""))
			w.settle()
			w.misses(2, "k")

			w.set(2, "k", "new")
			w.pass(time.Minute)
			slot, _ := a.state.log.Get(a.state.Origin, a.state.seq)
			frame := wire.AppendDelta(nil, a.state.Origin, a.state.seq, []delta.Record{{Kind: delta.KindClear, Version: slot.Version}})
			for range 3 {
				if err := b.Receive(w.now, 1, frame); err == nil {
					t.Error("it isn't from the future")
				}
			}
			w.holds(2, "k", "new")

			testkit.Must(t, a.Clear(w.now, "")) // it is another one
			w.settle()
			w.misses(2, "k")
		})
	}
}

// What was issued before a write from the future, or a Clear, and comes after it, isn't served.
func TestFutureOvertakes(t *testing.T) {
	for _, kind := range []delta.Kind{delta.KindTombstone, delta.KindClear} {
		w := newNetwork(t)
		r := w.add(1, true)
		w.pass(3 * time.Second)
		late := delta.Record{Key: "k", Val: "old", Version: delta.Version{Stamp: delta.StampOf(w.now.Wall + 100), Origin: 8}}
		future := delta.Record{Key: "k", Kind: kind, Version: delta.Version{Stamp: delta.StampOf(w.ahead().Wall), Origin: 9}}
		if kind == delta.KindClear {
			future.Key = ""
		}
		if err := r.Receive(w.now, 2, wire.AppendDelta(nil, 9, 1, []delta.Record{future})); err == nil {
			t.Fatal("it isn't from the future")
		}
		testkit.Must(t, r.Receive(w.now, 2, wire.AppendDelta(nil, 8, 1, []delta.Record{late})))
		w.misses(1, "k")
		w.pass(3 * time.Second) // floors stand for it by now
		late.Stamp++
		testkit.Must(t, r.Receive(w.now, 2, wire.AppendDelta(nil, 8, 2, []delta.Record{late})))
		w.misses(1, "k")
		w.set(1, "k", "new")
		w.holds(1, "k", "new")
		later := delta.Record{Key: "k", Val: "newer", Version: delta.Version{Stamp: delta.StampOf(w.now.Wall + 100), Origin: 8}}
		testkit.Must(t, r.Receive(w.now, 2, wire.AppendDelta(nil, 8, 3, []delta.Record{later})))
		w.holds(1, "k", "newer")
		if len(r.state.overtaken.written) > 0 {
			t.Errorf("%d buckets are remembered", len(r.state.overtaken.written))
		}
	}
}

// A fill that begins when a write from the future has been given up may read what was before that: it isn't
// written. One that begins later than any such read could be passes.
func TestFutureOvertakesFills(t *testing.T) {
	w := newNetwork(t)
	r := w.add(1, true)
	w.pass(3 * time.Second)
	future := delta.Record{Key: "k", Kind: delta.KindTombstone, Version: delta.Version{Stamp: delta.StampOf(w.ahead().Wall), Origin: 9}}
	if err := r.Receive(w.now, 2, wire.AppendDelta(nil, 9, 1, []delta.Record{future})); err == nil {
		t.Fatal("it isn't from the future")
	}
	for _, want := range []FillOutcome{FillRefused, FillWritten} {
		rec := delta.Record{Key: "k", Val: "read"}
		f := r.Fills.Begin(w.now, 0, "k")[0]
		if got := r.Fills.End(w.now, f, &rec, FillForAll); (got == FillWritten) != (want == FillWritten) {
			t.Errorf("the outcome is %v, want %v", got, want)
		}
		w.pass(time.Minute)
	}
}

// What is remembered of Clears that can't be applied is bounded.
func TestFutureClearsAreBounded(t *testing.T) {
	w := newNetwork(t)
	r := w.add(1, true)
	for i := range uint64(1000) {
		rec := delta.Record{Kind: delta.KindClear, Version: delta.Version{Stamp: delta.StampOf(w.ahead().Wall) + i, Origin: 9}}
		if err := r.Receive(w.now, 2, wire.AppendDelta(nil, 9, 1+i, []delta.Record{rec})); err == nil {
			t.Fatal("it isn't from the future")
		}
	}
	if n := len(r.state.overtaken.clears); n != maxClears {
		t.Errorf("%d Clears are remembered", n)
	}
}

// Neighbours that say that they are synced and can't serve don't keep a node from being ready.
func TestSyncServersThatCantServe(t *testing.T) {
	for name, answer := range map[string]func(session uint64) []wire.SyncChunk{
		"refuse": func(session uint64) []wire.SyncChunk {
			return []wire.SyncChunk{{Session: session, Flags: wire.ChunkRefused}}
		},
		"busy": func(session uint64) []wire.SyncChunk {
			return []wire.SyncChunk{{Session: session, Flags: wire.ChunkRefused | wire.ChunkBusy}}
		},
		"stall": func(uint64) []wire.SyncChunk { return nil },
		"spoil": func(session uint64) []wire.SyncChunk {
			late := delta.BucketFloor{Bucket: 0, Stamp: delta.StampOf(testkit.Wall + time.Hour.Milliseconds())}
			return []wire.SyncChunk{
				{Session: session, Groups: 1},
				{Session: session, Number: 1, Flags: wire.ChunkDone | wire.ChunkLast, Floors: []delta.BucketFloor{late}},
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHostileRig(t, func(c *Config) { c.SyncTimeout = 10 * time.Second })
			h.standing.ready.unsyncedSince = h.now.Mono
			began := h.now.Mono
			var last uint64
			for !h.standing.ready.synced && h.now.Mono < began+time.Hour {
				h.sayHello(dots.Horizon{})
				if h.repair.client.session != nil && h.repair.client.session.id != last {
					last = h.repair.client.session.id
					for _, c := range answer(last) {
						if err := h.get(wire.AppendChunk(nil, &c)); err != nil {
							t.Fatal(err)
						}
					}
				}
				h.pass(500 * time.Millisecond)
			}
			least := h.standing.ready.aloneLimit
			if name == "busy" {
				least += syncPatience
			}
			if took := h.now.Mono - began; took < least || took > least+2*h.standing.ready.aloneLimit || h.Store.FloorOf(0) != 0 {
				t.Errorf("ready after %v, floor %d", took, h.Store.FloorOf(0))
			}
		})
	}
}
