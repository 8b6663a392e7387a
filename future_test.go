package bcache

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// What clocks that are wrong for a moment, and stamps that are forged, leave behind.

// ahead is now on a clock that is an hour ahead.
func (w *wire) ahead() instant {
	return instant{wall: w.now.wall + time.Hour.Milliseconds(), mono: w.now.mono}
}

// part cuts two nodes off from each other.
func (w *wire) part(a, b uint64) {
	w.nodes[a].left(w.now, b)
	w.nodes[b].left(w.now, a)
}

// joins checks that a new node becomes ready within a few seconds.
func (w *wire) joins(id uint64, others ...uint64) {
	w.t.Helper()
	r := w.add(id, false, func(c *replicaConfig) { c.syncTimeout = time.Hour })
	for _, other := range others {
		w.connect(other, id)
	}
	if w.pass(5 * time.Second); !r.ready.synced || r.client.counts.syncsFailed > 0 {
		w.t.Errorf("node %d isn't ready: %s; %d full syncs failed", id, r.unsynced(w.now), r.client.counts.syncsFailed)
	}
}

// A node writes while it is cut off, once of it with a clock that is an hour ahead. What is repaired
// later says how new that is.
func TestFutureNewestOfARepair(t *testing.T) {
	w := newWire(t)
	a, b := w.add(1, true), w.add(2, true)
	w.connect(1, 2)
	w.pass(5 * time.Second)
	w.part(1, 2)
	for i := range 5 {
		w.set(1, fmt.Sprint(i), "v")
	}
	w.pass(5 * time.Second)
	must(t, a.set(w.ahead(), "ahead", "v", 0))
	w.connect(1, 2)
	w.pass(5 * time.Second)
	w.holds(2, "0", "v")
	if newest := b.vector.get(a.origin).newest; b.future(w.now, newest) {
		t.Errorf("newest is %d s ahead", (stampWall(newest)-w.now.wall)/1000)
	}
	w.kill(1)
	w.joins(3, 2)
}

// The same by a frame of 40 bytes, with whatever stamp.
func TestFutureNewestOfAFrame(t *testing.T) {
	w := newWire(t)
	w.add(1, true)
	b := w.add(2, true)
	w.connect(1, 2)
	w.pass(3 * time.Second)
	for i := range uint64(10) {
		rec := record{key: "x", val: "v", version: version{stampOf(w.now.wall), 666 + i}}
		frame := markRepair(appendDelta(nil, 666+i, 1, []record{rec}), maxStamp)
		must(t, b.receive(w.now, 1, frame))
		if newest := b.vector.get(666 + i).newest; newest == 0 || b.future(w.now, newest) {
			t.Fatalf("newest is %x", newest)
		}
	}
	w.joins(3, 2)
	w.joins(4, 1)
}

// Thousands of forged lives move the horizon, but not beyond now: what is written from then on is taken
// again.
func TestFutureHorizon(t *testing.T) {
	w := newWire(t)
	w.add(1, true)
	b := w.add(2, true)
	w.connect(1, 2)
	for i := range uint64(maxOrigins + 100) {
		rec := record{key: "x", val: "v", version: version{stampOf(w.now.wall), 10_000 + i}}
		must(t, b.receive(w.now, 1, markRepair(appendDelta(nil, rec.origin, 1, []record{rec}), maxStamp)))
	}
	if b.vector.horizon == (horizon{}) || b.future(w.now, b.vector.horizon.stamp) {
		t.Fatalf("horizon %x", b.vector.horizon.stamp)
	}
	rec := record{key: "relayed", val: "v", version: version{stampOf(w.now.wall) + 9, 777}}
	must(t, b.receive(w.now, 1, appendDelta(nil, 777, 1, []record{rec})))
	w.holds(2, "relayed", "v")
}

// What a node took over while its own clock was ahead is put right as soon as that is.
func TestFutureOfOnesOwn(t *testing.T) {
	w := newWire(t)
	w.add(1, true)
	b := w.add(2, true)
	w.connect(1, 2)
	w.pass(3 * time.Second)
	rec := record{key: "x", val: "v", version: version{stampOf(w.now.wall), 666}}
	newest := stampOf(w.ahead().wall)
	must(t, b.receive(w.ahead(), 1, markRepair(appendDelta(nil, 666, 1, []record{rec}), newest)))
	print := b.vector.printUpTo(newest - 1)
	poison := pong{id: 1, origin: 101, horizon: horizon{newest - 1, print}}
	must(t, b.receive(w.ahead(), 1, appendPong(nil, poison)))
	if b.vector.get(666).newest != newest || b.vector.horizon.stamp != newest-1 {
		t.Fatalf("newest %x, horizon %x: the test is broken", b.vector.get(666).newest, b.vector.horizon.stamp)
	}
	w.pass(time.Second)
	if b.future(w.now, b.vector.get(666).newest) || b.future(w.now, b.vector.horizon.stamp) {
		t.Errorf("newest %x, horizon %x", b.vector.get(666).newest, b.vector.horizon.stamp)
	}
	w.joins(3, 2)
}

// Whole nodes: one whose clock was ahead for a while, in which frames were lost, is restarted.
func TestFutureOfANodeThatRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemNet()
		var down atomic.Bool
		n.filter = func(_, _ uint64, _ []byte) bool { return !down.Load() }
		var skew atomic.Int64
		a := memNodeAt(t, n, 1, &skew)
		b := memNode(t, n, 2, 0)
		advance(5 * time.Second)
		write := func(d time.Duration) {
			for range d / (50 * time.Millisecond) {
				must(t, a.Set("k", "v", 1000))
				advance(50 * time.Millisecond)
			}
		}
		down.Store(true)
		write(time.Second)
		skew.Store(int64(time.Hour))
		write(time.Second)
		down.Store(false)
		write(14 * time.Second)
		skew.Store(0)
		write(40 * time.Second)
		_ = a.Close() // nobody has what it wrote ahead
		advance(time.Minute)
		again := memNode(t, n, 1, 0, func(c *Config) { c.Peers = []string{"mem:1"} })
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		err := again.WaitSynced(ctx)
		advance(time.Second)
		if n := b.Stats().SyncsServed; err != nil || n != 1 {
			t.Errorf("%v; full syncs served: %d", err, n)
		}
	})
}

// A Clear that can't be applied yet deletes all that was written before it, whatever Clears came
// before; once, however often it comes.
func TestFutureClear(t *testing.T) {
	for _, before := range []uint64{0, 1, 2} { // whose Clear
		t.Run(fmt.Sprint(before), func(t *testing.T) {
			w := newWire(t)
			a, b := w.add(1, true), w.add(2, true)
			w.connect(1, 2)
			w.pass(3 * time.Second)
			if before > 0 {
				must(t, w.nodes[before].clear(w.now))
			}
			w.pass(3 * time.Second)
			w.set(2, "k", "old")
			w.pass(3 * time.Second)
			must(t, a.set(w.ahead(), "other", "v", 0))
			must(t, a.clear(w.now))
			w.settle()
			w.misses(2, "k")

			w.set(2, "k", "new")
			w.pass(time.Minute)
			slot, _ := a.log.get(a.origin, a.seq)
			frame := appendDelta(nil, a.origin, a.seq, []record{{kind: kindClear, version: slot.version}})
			for range 3 {
				if err := b.receive(w.now, 1, frame); err == nil {
					t.Error("it isn't from the future")
				}
			}
			w.holds(2, "k", "new")

			must(t, a.clear(w.now)) // it is another one
			w.settle()
			w.misses(2, "k")
		})
	}
}

// What was issued before a write from the future, or a Clear, and comes after it, isn't served.
func TestFutureOvertakes(t *testing.T) {
	for _, kind := range []kind{kindTombstone, kindClear} {
		w := newWire(t)
		r := w.add(1, true)
		w.pass(3 * time.Second)
		late := record{key: "k", val: "old", version: version{stampOf(w.now.wall + 100), 8}}
		future := record{key: "k", kind: kind, version: version{stampOf(w.ahead().wall), 9}}
		if kind == kindClear {
			future.key = ""
		}
		if err := r.receive(w.now, 2, appendDelta(nil, 9, 1, []record{future})); err == nil {
			t.Fatal("it isn't from the future")
		}
		must(t, r.receive(w.now, 2, appendDelta(nil, 8, 1, []record{late})))
		w.misses(1, "k")
		w.pass(3 * time.Second) // floors stand for it by now
		late.stamp++
		must(t, r.receive(w.now, 2, appendDelta(nil, 8, 2, []record{late})))
		w.misses(1, "k")
		w.set(1, "k", "new")
		w.holds(1, "k", "new")
		later := record{key: "k", val: "newer", version: version{stampOf(w.now.wall + 100), 8}}
		must(t, r.receive(w.now, 2, appendDelta(nil, 8, 3, []record{later})))
		w.holds(1, "k", "newer")
		if len(r.overtaken.written) > 0 {
			t.Errorf("%d buckets are remembered", len(r.overtaken.written))
		}
	}
}

// What is remembered of Clears that can't be applied is bounded.
func TestFutureClearsAreBounded(t *testing.T) {
	w := newWire(t)
	r := w.add(1, true)
	for i := range uint64(1000) {
		rec := record{kind: kindClear, version: version{stampOf(w.ahead().wall) + i, 9}}
		if err := r.receive(w.now, 2, appendDelta(nil, 9, 1+i, []record{rec})); err == nil {
			t.Fatal("it isn't from the future")
		}
	}
	if n := len(r.overtaken.clears); n != maxClears {
		t.Errorf("%d Clears are remembered", n)
	}
}

// Neighbours that say that they are synced and can't serve don't keep a node from being ready.
func TestSyncServersThatCantServe(t *testing.T) {
	for name, answer := range map[string]func(session uint64) []syncChunk{
		"refuse": func(session uint64) []syncChunk {
			return []syncChunk{{session: session, flags: chunkRefused}}
		},
		"busy": func(session uint64) []syncChunk {
			return []syncChunk{{session: session, flags: chunkRefused | chunkBusy}}
		},
		"stall": func(uint64) []syncChunk { return nil },
		"spoil": func(session uint64) []syncChunk {
			late := bucketFloor{0, stampOf(wireWall + time.Hour.Milliseconds())}
			return []syncChunk{
				{session: session, groups: 1},
				{session: session, number: 1, flags: chunkDone | chunkLast, floors: []bucketFloor{late}},
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHostileRig(t, func(c *replicaConfig) { c.syncTimeout = 10 * time.Second })
			h.ready.unsyncedSince = h.now.mono
			began := h.now.mono
			var last uint64
			for !h.ready.synced && h.now.mono < began+time.Hour {
				h.sayHello(horizon{})
				if h.client.session != nil && h.client.session.id != last {
					last = h.client.session.id
					for _, c := range answer(last) {
						if err := h.get(appendChunk(nil, &c)); err != nil {
							t.Fatal(err)
						}
					}
				}
				h.pass(500 * time.Millisecond)
			}
			least := h.ready.aloneLimit
			if name == "busy" {
				least += syncPatience
			}
			if took := h.now.mono - began; took < least || took > least+2*h.ready.aloneLimit || h.store.floorOf(0) != 0 {
				t.Errorf("ready after %v, floor %d", took, h.store.floorOf(0))
			}
		})
	}
}
