package bcache

import (
	"fmt"
	"strings"
	"testing"
	"time"
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
			h.joined(h.now, honest, honestOrigin)
			if pings {
				must(t, h.receive(h.now, honest, appendPing(nil, ping{id: 1, origin: honestOrigin, seq: 4})))
			}
			head := syncChunk{groups: 1, entries: []vectorEntry{
				{honestOrigin, dotSet{covered: 3, ahead: []interval{{5, 1 << 40}}, newest: stampOf(wireWall)}},
			}}
			session := h.beSynced(horizon{})
			for i, c := range []syncChunk{head, {flags: chunkDone | chunkLast}} {
				c.session, c.number = session, uint64(i)
				must(t, h.get(appendChunk(nil, &c)))
			}
			if !h.ready.synced {
				t.Fatal("not synced")
			}
			if s := h.vector.get(honestOrigin); pings && (s.last() > 4 || s.covered != 3) {
				t.Errorf("%d dots of 4 are believed to be known", s.last())
			}
			if !pings {
				h.pass(3 * time.Second) // a round
				id := h.neighbours.byID[honest].pingID
				must(t, h.receive(h.now, honest, appendPong(nil, pong{id: id, origin: honestOrigin, seq: 4})))
			}
			rec := record{key: "k", val: "v", version: version{stampOf(h.now.wall), honestOrigin}}
			must(t, h.receive(h.now, honest, appendDelta(nil, honestOrigin, 7, []record{rec})))
			if _, ok := h.store.peek("k"); !ok {
				t.Error("a write of the neighbour is ignored")
			}
		})
	}
}

// An answer to an older ping proves nothing: what came since may have been written since.
func TestClaimsOfAnOldPong(t *testing.T) {
	h := newHostileRig(t, func(c *replicaConfig) { c.first = true })
	old := h.neighbours.byID[hostilePeer].pingID
	rec := record{key: "k", val: "v", version: version{stampOf(wireWall), hostileOrigin}}
	must(t, h.get(appendDelta(nil, hostileOrigin, 1, []record{rec})))
	// It was written after that was sent.
	must(t, h.get(appendPong(nil, pong{id: old, origin: hostileOrigin})))
	if h.counts.disbelieved != 0 {
		t.Error("a ping that left before the write came is taken as a proof")
	}
	h.pass(3 * time.Second)
	must(t, h.get(appendPong(nil, pong{id: old, origin: hostileOrigin})))
	if h.counts.disbelieved != 0 || !h.vector.get(hostileOrigin).has(1) {
		t.Error("so is the answer to an older one")
	}
	must(t, h.get(appendPong(nil, pong{id: h.neighbours.byID[hostilePeer].pingID, origin: hostileOrigin})))
	if h.counts.disbelieved != 1 || h.vector.get(hostileOrigin).has(1) {
		t.Error("a proof isn't")
	}
}

// Whole nodes: the neighbour's writes are got again, as after any loss.
func TestClaimsAreGotAgain(t *testing.T) {
	w := newWire(t)
	w.add(1, true)
	b := w.add(2, true)
	for i := range 10 {
		w.set(1, fmt.Sprint(i), "v")
	}
	b.vector.origins[101] = &dotSet{covered: 1 << 40, newest: stampOf(w.now.wall), heard: longAgo}
	w.connect(1, 2)
	w.pass(10 * time.Second)
	for i := range 10 {
		w.holds(2, fmt.Sprint(i), "v")
	}
	if s := b.vector.get(101); s.covered != w.nodes[1].seq || b.counts.disbelieved != 1 {
		t.Errorf("%d dots are known of %d; disbelieved %d times", s.covered, w.nodes[1].seq, b.counts.disbelieved)
	}
}

// Tiny frames that nobody needs, again and again, are answered with something large at most once a
// second.
func TestTinyFramesAreAnsweredWithLittle(t *testing.T) {
	for name, frame := range map[string]func(h *hostileRig, i uint64) []byte{
		"pongs that weren't asked for": func(_ *hostileRig, i uint64) []byte {
			return appendPong(nil, pong{id: i, origin: hostileOrigin, flags: pongContext | pongAll})
		},
		"pongs to lists that want a list": func(h *hostileRig, _ uint64) []byte {
			id := h.neighbours.byID[hostilePeer].pingID
			return appendPong(nil, pong{id: id, origin: hostileOrigin, flags: pongContext | pongAll})
		},
		"full syncs": func(_ *hostileRig, i uint64) []byte { return appendAsk(nil, syncAsk{session: i + 1}) },
		"pulls": func(_ *hostileRig, i uint64) []byte {
			return appendPing(nil, hostilePull(i+1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHostileRig(t, func(c *replicaConfig) { c.first = true; c.logSize = 1 << 16 })
			for i := range uint64(2000) {
				rec := record{key: fmt.Sprint(i), val: "v", version: version{stampOf(wireWall), 1000 + i}}
				must(t, h.get(appendDelta(nil, rec.origin, 1, []record{rec})))
			}
			h.pass(3 * time.Second) // a ping that doesn't list them
			h.flush(h.now)
			large, most := 0, 2 // a list, or a full sync's context and what follows
			if name == "pongs that weren't asked for" {
				most = 0
			}
			for i := range uint64(100) {
				must(t, h.get(frame(h, i)))
				bytes := 0
				_, sends := h.flush(h.now)
				for _, m := range sends {
					bytes += len(m.frame)
				}
				if bytes > 1000 {
					large++
				}
				h.now.mono += 5 * time.Millisecond
			}
			if large > most {
				t.Errorf("%d of 100 in half a second are answered with something large", large)
			}
		})
	}
}

// hostilePull is a pull of a node that has nothing.
func hostilePull(id uint64) ping {
	return ping{id: id, origin: hostileOrigin, flags: pingContext | pingAll | pingPull}
}

// pullAnswer returns what a pull of a node that has nothing is answered with.
func (h *hostileRig) pullAnswer() (records uint64, bytes int, a pong) {
	h.Helper()
	h.now.mono += 2 * time.Second
	must(h.T, h.get(appendPing(nil, hostilePull(5))))
	_, sends := h.flush(h.now)
	_, after := h.flush(h.now)
	for _, m := range append(sends, after...) {
		if m.frame[1] == framePong {
			a, _ = decodePong(m.frame)
		} else if d, err := openDelta(m.frame); err == nil {
			records += d.count
			bytes += len(m.frame)
		}
	}
	return records, bytes, a
}

// An answer to a pull keeps its bound within a block of dots too; a record goes beyond it only by
// itself.
func TestPullAnswerKeepsItsBound(t *testing.T) {
	for _, size := range []int{100, 1000, 100_000, 500_000, MaxRecordSize - 10} {
		h := newHostileRig(t, func(c *replicaConfig) { c.first = true; c.logSize = 1 << 16 })
		for i := range 300 {
			must(t, h.set(h.now, fmt.Sprintf("%03d", i), strings.Repeat("x", size), 0))
		}
		h.flush(h.now)
		records, bytes, a := h.pullAnswer()
		if records == 0 || bytes > defaultPullBytes && records > 1 || bytes > MaxRecordSize+1000 {
			t.Errorf("values of %d bytes: %d records, %d bytes", size, records, bytes)
		}
		if more := a.flags&pongLog != 0; more != (records < 300) {
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
		w := newWire(t)
		w.add(1, true)
		b := w.add(2, true)
		w.connect(1, 2)
		w.pass(3 * time.Second)
		if first { // who has as many gaps as it may is filled from below
			s := &dotSet{}
			for i := range uint64(maxIntervals) {
				s.ahead = append(s.ahead, interval{1000 + 2*i, 1001 + 2*i})
			}
			s.settled, s.recent = s.last(), s.last()
			b.vector.origins[101] = s
		}
		w.lost = func(_, to uint64, frame []byte) bool { return to == 2 && frame[1] == frameDelta }
		for i := range 40 {
			w.set(1, fmt.Sprint(i), strings.Repeat("x", 100_000))
		}
		w.settle()
		w.lost = nil
		w.nodes[1].seq = max(w.nodes[1].seq, b.vector.get(101).last())
		w.pass(20 * time.Second)
		if n := b.store.len(); n != 40 {
			t.Errorf("%d of 40 values are there; %d pulls", n, b.counts.repairsAsked)
		}
	}
}

// Nine neighbours that ask at once are answered one after the other.
func TestPullAnswersTogether(t *testing.T) {
	woken := 0
	h := newHostileRig(t, func(c *replicaConfig) { c.first = true; c.wake = func() { woken++ } })
	for i := range 100 {
		must(t, h.set(h.now, fmt.Sprint(i), strings.Repeat("x", 50_000), 0))
	}
	for i := range uint64(9) {
		h.joined(h.now, 10+i, 110+i)
	}
	h.flush(h.now)
	for i := range uint64(9) {
		q := hostilePull(5)
		q.origin = 110 + i
		must(t, h.receive(h.now, 10+i, appendPing(nil, q)))
	}
	answered := map[uint64]bool{}
	for len(answered) < 9 {
		if woken == 0 {
			t.Fatalf("%d are answered, and flush isn't called again", len(answered))
		}
		woken = 0
		bytes := 0
		_, sends := h.flush(h.now)
		for _, m := range sends {
			bytes += len(m.frame)
			answered[m.to] = answered[m.to] || m.frame[1] == framePong
		}
		if bytes > pullsAtOnce*(defaultPullBytes+1000) {
			t.Errorf("%d bytes at once", bytes)
		}
	}
}
