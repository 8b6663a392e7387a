package replica

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/wire"
)

// What a node is told about others, and what it is asked for: neither is taken at its word, nor makes
// it send much again and again.

// A full sync whose context claims more of a neighbour than that has written: what the neighbour writes
// next is taken all the same.
func TestClaimsOfASync(t *testing.T) {
	for name, pings := range map[string]bool{"it has said how far it is": true, "it says so later": false} {
		t.Run(name, func(t *testing.T) {
			h := newHostileRig(t, nil)
			const honest, honestOrigin = 3, 103
			h.Joined(h.now, honest, honestOrigin)
			if pings {
				testkit.Must(t, h.Receive(h.now, honest, wire.AppendPing(nil, wire.Ping{ID: 1, Origin: honestOrigin, Seq: 4})))
			}
			head := wire.SyncChunk{Groups: 1, Entries: []dots.Entry{
				{Origin: honestOrigin, Set: dots.Set{Covered: 3, Ahead: []dots.Interval{{From: 5, To: 1 << 40}}, Newest: delta.StampOf(testkit.Wall)}},
			}}
			session := h.beSynced(dots.Horizon{})
			for i, c := range []wire.SyncChunk{head, {Flags: wire.ChunkDone | wire.ChunkLast}} {
				c.Session, c.Number = session, uint64(i)
				testkit.Must(t, h.get(wire.AppendChunk(nil, &c)))
			}
			if !h.standing.ready.synced {
				t.Fatal("not synced")
			}
			if s := h.state.vector.Get(honestOrigin); pings && (s.Last() > 4 || s.Covered != 3) {
				t.Errorf("%d dots of 4 are believed to be known", s.Last())
			}
			if !pings {
				h.pass(3 * time.Second) // a round
				id := h.neighbours.byID[honest].pingID
				testkit.Must(t, h.Receive(h.now, honest, wire.AppendPong(nil, wire.Pong{ID: id, Origin: honestOrigin, Seq: 4})))
			}
			rec := delta.Record{Key: "k", Val: "v", Version: delta.Version{Stamp: delta.StampOf(h.now.Wall), Origin: honestOrigin}}
			testkit.Must(t, h.Receive(h.now, honest, wire.AppendDelta(nil, honestOrigin, 7, []delta.Record{rec})))
			if _, ok := h.Store.Peek("k"); !ok {
				t.Error("a write of the neighbour is ignored")
			}
		})
	}
}

// An answer to an older ping proves nothing: what came since may have been written since.
func TestClaimsOfAnOldPong(t *testing.T) {
	h := newHostileRig(t, func(c *Config) { c.First = true })
	old := h.neighbours.byID[hostilePeer].pingID
	rec := delta.Record{Key: "k", Val: "v", Version: delta.Version{Stamp: delta.StampOf(testkit.Wall), Origin: hostileOrigin}}
	testkit.Must(t, h.get(wire.AppendDelta(nil, hostileOrigin, 1, []delta.Record{rec})))
	// It was written after that was sent.
	testkit.Must(t, h.get(wire.AppendPong(nil, wire.Pong{ID: old, Origin: hostileOrigin})))
	if h.pings.counts.disbelieved != 0 {
		t.Error("a ping that left before the write came is taken as a proof")
	}
	h.pass(3 * time.Second)
	testkit.Must(t, h.get(wire.AppendPong(nil, wire.Pong{ID: old, Origin: hostileOrigin})))
	if h.pings.counts.disbelieved != 0 || !h.state.vector.Get(hostileOrigin).Has(1) {
		t.Error("so is the answer to an older one")
	}
	testkit.Must(t, h.get(wire.AppendPong(nil, wire.Pong{ID: h.neighbours.byID[hostilePeer].pingID, Origin: hostileOrigin})))
	if h.pings.counts.disbelieved != 1 || h.state.vector.Get(hostileOrigin).Has(1) {
		t.Error("a proof isn't")
	}
}

// Whole nodes: the neighbour's writes are got again, as after any loss.
func TestClaimsAreGotAgain(t *testing.T) {
	w := newNetwork(t)
	w.add(1, true)
	b := w.add(2, true)
	for i := range 10 {
		w.set(1, fmt.Sprint(i), "v")
	}
	b.state.vector.Origins[101] = &dots.Set{Covered: 1 << 40, Newest: delta.StampOf(w.now.Wall), Heard: dots.LongAgo}
	w.connect(1, 2)
	w.pass(10 * time.Second)
	for i := range 10 {
		w.holds(2, fmt.Sprint(i), "v")
	}
	if s := b.state.vector.Get(101); s.Covered != w.nodes[1].state.seq || b.pings.counts.disbelieved != 1 {
		t.Errorf("%d dots are known of %d; disbelieved %d times", s.Covered, w.nodes[1].state.seq, b.pings.counts.disbelieved)
	}
}

// Tiny frames that nobody needs, again and again, are answered with something large at most once a
// second.
func TestTinyFramesAreAnsweredWithLittle(t *testing.T) {
	for name, frame := range map[string]func(h *hostileRig, i uint64) []byte{
		"pongs that weren't asked for": func(_ *hostileRig, i uint64) []byte {
			return wire.AppendPong(nil, wire.Pong{ID: i, Origin: hostileOrigin, Flags: wire.PongContext | wire.PongAll})
		},
		"pongs to lists that want a list": func(h *hostileRig, _ uint64) []byte {
			id := h.neighbours.byID[hostilePeer].pingID
			return wire.AppendPong(nil, wire.Pong{ID: id, Origin: hostileOrigin, Flags: wire.PongContext | wire.PongAll})
		},
		"full syncs": func(_ *hostileRig, i uint64) []byte { return wire.AppendAsk(nil, wire.SyncAsk{Session: i + 1}) },
		"pulls": func(_ *hostileRig, i uint64) []byte {
			return wire.AppendPing(nil, hostilePull(i+1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHostileRig(t, func(c *Config) { c.First = true; c.LogSize = 1 << 16 })
			for i := range uint64(2000) {
				rec := delta.Record{Key: fmt.Sprint(i), Val: "v", Version: delta.Version{Stamp: delta.StampOf(testkit.Wall), Origin: 1000 + i}}
				testkit.Must(t, h.get(wire.AppendDelta(nil, rec.Origin, 1, []delta.Record{rec})))
			}
			h.pass(3 * time.Second) // a ping that doesn't list them
			h.Flush(h.now)
			large, most := 0, 2 // a list, or a full sync's context and what follows
			if name == "pongs that weren't asked for" {
				most = 0
			}
			for i := range uint64(100) {
				testkit.Must(t, h.get(frame(h, i)))
				bytes := 0
				_, sends := h.Flush(h.now)
				for _, m := range sends {
					bytes += len(m.Frame)
				}
				if bytes > 1000 {
					large++
				}
				h.now.Mono += 5 * time.Millisecond
			}
			if large > most {
				t.Errorf("%d of 100 in half a second are answered with something large", large)
			}
		})
	}
}

// hostilePull is a pull of a node that has nothing.
func hostilePull(id uint64) wire.Ping {
	return wire.Ping{ID: id, Origin: hostileOrigin, Flags: wire.PingContext | wire.PingAll | wire.PingPull}
}

// pullAnswer returns what a pull of a node that has nothing is answered with.
func (h *hostileRig) pullAnswer() (records uint64, bytes int, a wire.Pong) {
	h.Helper()
	h.now.Mono += 2 * time.Second
	testkit.Must(h.T, h.get(wire.AppendPing(nil, hostilePull(5))))
	_, sends := h.Flush(h.now)
	_, after := h.Flush(h.now)
	for _, m := range append(sends, after...) {
		if m.Frame[1] == wire.FramePong {
			a, _ = wire.DecodePong(m.Frame)
		} else if d, err := wire.OpenDelta(m.Frame); err == nil {
			records += d.Count
			bytes += len(m.Frame)
		}
	}
	return records, bytes, a
}

// An answer to a pull keeps its bound within a block of dots too; a record goes beyond it only by
// itself.
func TestPullAnswerKeepsItsBound(t *testing.T) {
	for _, size := range []int{100, 1000, 100_000, 500_000, delta.MaxRecordSize - 10} {
		h := newHostileRig(t, func(c *Config) { c.First = true; c.LogSize = 1 << 16 })
		for i := range 300 {
			testkit.Must(t, h.Set(h.now, fmt.Sprintf("%03d", i), strings.Repeat("x", size), 0))
		}
		h.Flush(h.now)
		records, bytes, a := h.pullAnswer()
		if records == 0 || bytes > defaultPullBytes && records > 1 || bytes > delta.MaxRecordSize+1000 {
			t.Errorf("values of %d bytes: %d records, %d bytes", size, records, bytes)
		}
		if more := a.Flags&wire.PongLog != 0; more != (records < 300) {
			t.Errorf("values of %d bytes: %d of 300 records are sent, and there is more: %v", size, records, more)
		}
		if size == 100_000 && records < 4 {
			t.Errorf("%d records", records)
		}
	}
}

// What doesn't fit comes with the next pulls, so that in the end everything is there.
func TestPullOfLargeValues(t *testing.T) {
	for _, first := range []bool{false, true} {
		w := newNetwork(t)
		w.add(1, true)
		b := w.add(2, true)
		w.connect(1, 2)
		w.pass(3 * time.Second)
		if first { // who has as many gaps as it may is filled from below
			s := &dots.Set{}
			for i := range uint64(dots.MaxIntervals) {
				s.Ahead = append(s.Ahead, dots.Interval{From: 1000 + 2*i, To: 1001 + 2*i})
			}
			s.Settled, s.Recent = s.Last(), s.Last()
			b.state.vector.Origins[101] = s
		}
		w.lost = func(_, to uint64, frame []byte) bool { return to == 2 && frame[1] == wire.FrameDelta }
		for i := range 40 {
			w.set(1, fmt.Sprint(i), strings.Repeat("x", 100_000))
		}
		w.settle()
		w.lost = nil
		w.nodes[1].state.seq = max(w.nodes[1].state.seq, b.state.vector.Get(101).Last())
		w.pass(20 * time.Second)
		if n := b.Store.Len(); n != 40 {
			t.Errorf("%d of 40 values are there; %d pulls", n, b.repair.counts.RepairsAsked)
		}
	}
}

// Nine neighbours that ask at once are answered one after the other.
func TestPullAnswersTogether(t *testing.T) {
	woken := 0
	h := newHostileRig(t, func(c *Config) { c.First = true; c.Wake = func() { woken++ } })
	for i := range 100 {
		testkit.Must(t, h.Set(h.now, fmt.Sprint(i), strings.Repeat("x", 50_000), 0))
	}
	for i := range uint64(9) {
		h.Joined(h.now, 10+i, 110+i)
	}
	h.Flush(h.now)
	for i := range uint64(9) {
		q := hostilePull(5)
		q.Origin = 110 + i
		testkit.Must(t, h.Receive(h.now, 10+i, wire.AppendPing(nil, q)))
	}
	answered := map[uint64]bool{}
	for len(answered) < 9 {
		if woken == 0 {
			t.Fatalf("%d are answered, and flush isn't called again", len(answered))
		}
		woken = 0
		bytes := 0
		_, sends := h.Flush(h.now)
		for _, m := range sends {
			bytes += len(m.Frame)
			answered[m.To] = answered[m.To] || m.Frame[1] == wire.FramePong
		}
		if bytes > pullsAtOnce*(defaultPullBytes+1000) {
			t.Errorf("%d bytes at once", bytes)
		}
	}
}
