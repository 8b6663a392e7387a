package replica

import (
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/wire"
)

// arriveBy makes three connected nodes. Node 1 has written a large value, of which the other two have only
// the first piece, and then a small one, which has arrived.
func arriveBy(t *testing.T) (w *network, large []byte, asked func() int) {
	w = newNetwork(t)
	for id := uint64(1); id <= 3; id++ {
		w.add(id, true)
	}
	w.connect(1, 2)
	w.connect(1, 3)
	w.connect(2, 3)
	w.pass(3 * time.Second)
	pulls := 0
	w.lost = func(_, _ uint64, frame []byte) bool {
		if frame[1] == wire.FrameDelta && len(frame) > 64<<10 { // so it would be bulk
			large = frame
			return true
		}
		if frame[1] == wire.FramePing {
			p, err := wire.DecodePing(frame)
			testkit.Must(t, err)
			if p.Flags&wire.PingPull != 0 {
				pulls++
			}
		}
		return false
	}
	w.set(1, "large", strings.Repeat("x", 500_000))
	w.settle()
	for id := uint64(2); id <= 3; id++ {
		w.nodes[id].Arriving(w.now, 1, large[:60<<10])
	}
	w.set(1, "small", "v")
	w.settle()
	w.holds(2, "small", "v")
	return w, large, func() int { return pulls }
}

// What is on its way isn't asked for: not where it leaves a gap, and not in the rounds.
func TestArrivingIsNotAskedFor(t *testing.T) {
	w, large, asked := arriveBy(t)
	for range 30 { // a slow line
		w.pass(time.Second)
		w.nodes[2].Arriving(w.now, 1, large[:60<<10])
		w.nodes[3].Arriving(w.now, 1, large[:60<<10])
	}
	if n := asked(); n > 0 {
		t.Errorf("it was asked for %d times", n)
	}
	if cuts := len(w.nodes[1].out.cuts) + len(w.nodes[2].out.cuts); cuts > 0 {
		t.Errorf("%d cuts", cuts)
	}
	testkit.Must(t, w.nodes[2].Receive(w.now, 1, large))
	w.settle()
	if v, _ := w.nodes[2].Store.Get("large", nil); len(v) != 500_000 || len(w.nodes[2].vector.Get(w.nodes[1].Origin).Ahead) > 0 {
		t.Errorf("%d bytes, %+v", len(v), w.nodes[2].vector.Get(w.nodes[1].Origin))
	}
	w.pass(5 * time.Second)
	w.nodes[2].dropArrivals(w.now)
	if n := len(w.nodes[2].arrivals); n > 0 {
		t.Errorf("%d arrivals are left", n)
	}
}

// If it doesn't come any more it is, from whoever has it.
func TestArrivingIsGivenUp(t *testing.T) {
	w, large, asked := arriveBy(t)
	testkit.Must(t, w.nodes[3].Receive(w.now, 1, large))
	w.lost = nil
	w.nodes[1].Left(w.now, 2)
	w.nodes[2].Left(w.now, 1)
	w.pass(arriveMost / 2)
	if v, ok := w.nodes[2].Store.Get("large", nil); ok {
		t.Errorf("it came at once: %d bytes", len(v))
	}
	w.pass(arriveMost/2 + 5*time.Second)
	if v, _ := w.nodes[2].Store.Get("large", nil); len(v) != 500_000 {
		t.Errorf("%d bytes", len(v))
	}
	_ = asked
}

// What a node claims in its pings nobody adopts: a joiner that syncs from it gets the value from elsewhere.
func TestArrivingIsNotProcessed(t *testing.T) {
	w, _, _ := arriveBy(t)
	r := w.add(4, false)
	w.connect(2, 4)
	w.pass(5 * time.Second)
	if !r.ready.synced || r.vector.Get(w.nodes[1].Origin).Has(1) {
		t.Errorf("synced %v, %+v", r.ready.synced, r.vector.Get(w.nodes[1].Origin))
	}
	w.lost = nil
	w.connect(1, 4)
	w.pass(5 * time.Second)
	if v, _ := r.Store.Get("large", nil); len(v) != 500_000 {
		t.Errorf("%d bytes", len(v))
	}
}

func TestPeekDelta(t *testing.T) {
	rec := delta.Record{Key: "k", Val: strings.Repeat("v", 1000), Version: delta.Version{Stamp: delta.StampOf(7), Origin: 9}}
	frame := wire.AppendDelta(nil, 77, 1<<40, []delta.Record{rec})
	if d, ok := wire.PeekDelta(frame[:100]); !ok || d != (delta.Dot{Origin: 77, Seq: 1 << 40}) {
		t.Error(d, ok)
	}
	for n := range 20 {
		if d, ok := wire.PeekDelta(frame[:n]); ok && d != (delta.Dot{Origin: 77, Seq: 1 << 40}) {
			t.Error(n, d)
		}
	}
	if _, ok := wire.PeekDelta(wire.AppendPing(nil, wire.Ping{Id: 1, Origin: 1})); ok {
		t.Error("a ping")
	}
}

// A full sync goes on when its connection breaks and comes back, and what has come isn't sent again.
func TestSyncSurvivesACut(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		w := newNetwork(t)
		w.add(1, true)
		for i := range 100 {
			w.set(1, strings.Repeat("k", i+1), "v")
		}
		w.pass(3 * time.Second)
		r := w.add(2, false)
		chunks := 0
		w.lost = func(from, _ uint64, frame []byte) bool {
			if from == 1 && frame[1] == wire.FrameChunk {
				chunks++
				return chunks > 10
			}
			return false
		}
		w.connect(1, 2)
		w.pass(time.Second)
		in := r.client.session
		if in == nil || in.next < 5 {
			t.Fatalf("the sync isn't under way: %+v", in)
		}
		next := in.next
		w.nodes[1].Left(w.now, 2)
		r.Left(w.now, 1)
		w.pass(2 * time.Second)
		if restarts {
			r.Joined(w.now, 1, 4711)
			if r.client.session != nil {
				t.Error("another life of the node is asked to go on")
			}
			continue
		}
		again := false
		w.lost = func(from, _ uint64, frame []byte) bool {
			if from == 1 && frame[1] == wire.FrameChunk {
				c, _, err := wire.OpenChunk(frame)
				testkit.Must(t, err)
				again = again || c.Number < next
			}
			return false
		}
		w.connect(1, 2)
		w.pass(3 * time.Second)
		if !r.ready.synced || r.client.counts.SyncsFailed > 0 || again || r.Store.Len() != 100 {
			t.Errorf("synced %v, %d failed, sent again %v, %d keys: %s", r.ready.synced, r.client.counts.SyncsFailed, again, r.Store.Len(), r.client.failure)
		}
	}
}

// A server that doesn't come back is replaced, and a place that a requester has left is free.
func TestSyncServerStaysAway(t *testing.T) {
	w, r := joining(t)
	w.queue = nil
	w.nodes[1].Left(w.now, 3)
	r.Left(w.now, 1)
	w.connect(2, 3)
	w.pass(syncReturn + 3*time.Second)
	if !r.ready.synced || r.client.counts.SyncsFailed != 1 || w.nodes[2].server.counts.SyncsServed != 1 {
		t.Errorf("synced %v, %d failed: %s", r.ready.synced, r.client.counts.SyncsFailed, r.client.failure)
	}
	for id := uint64(5); id < 5+SyncServing; id++ {
		w.nodes[1].server.sessions[id] = &syncOut{moved: w.now.Mono}
	}
	if !w.nodes[1].canServe(w.now, 3) {
		t.Error("nodes that have left keep all places")
	}
}

// A neighbour's writes that don't come are told of, once that has lasted.
func TestLate(t *testing.T) {
	w, large, _ := arriveBy(t)
	r := w.nodes[2]
	for range 4 {
		w.pass(time.Second)
	}
	if l := r.Late(w.now); len(l) > 0 {
		t.Errorf("told after 4 s: %v", l)
	}
	for range 8 {
		w.pass(time.Second)
		r.Arriving(w.now, 1, large[:60<<10])
	}
	if l := r.Late(w.now); len(l) != 1 || l[0].Peer != 1 || l[0].By < lateMost || l[0].By > 13*time.Second {
		t.Errorf("told after 12 s: %v", l)
	}
	w.lost = nil
	w.pass(arriveMost + 5*time.Second)
	if l := r.Late(w.now); len(l) > 0 {
		t.Errorf("told although it has come: %v", l)
	}
}

// Bytes that move are a sign of life, though no frame comes whole; without them the neighbour is cut.
func TestMovedIsASignOfLife(t *testing.T) {
	for _, moves := range []bool{true, false} {
		w := newNetwork(t)
		w.add(1, true)
		r := w.add(2, true)
		w.connect(1, 2)
		w.pass(3 * time.Second)
		w.lost = func(from, _ uint64, _ []byte) bool { return from == 1 }
		for range 30 {
			w.set(2, "k", "v")
			w.pass(time.Second)
			if moves {
				r.Moved(w.now, 1, false)
			}
		}
		if cut := len(r.out.cuts) > 0; cut == moves {
			t.Errorf("moves %v: cut %v", moves, cut)
		}
	}
}

// The first frame of an answer to a pull says that it has what was broadcast before.
func TestPullAnswerSupersedes(t *testing.T) {
	w := newNetwork(t)
	s := w.add(1, true)
	r := w.add(2, true)
	w.connect(1, 2)
	w.pass(3 * time.Second)
	w.lost = func(_, _ uint64, frame []byte) bool { return frame[1] == wire.FrameDelta }
	for range 10 {
		w.set(1, "k", "v")
	}
	w.pass(time.Second)
	r.mu.Lock()
	r.pullFrom(w.now, 1)
	r.mu.Unlock()
	_, asks := r.Flush(w.now)
	for _, m := range asks {
		testkit.Must(t, s.Receive(w.now, 2, m.Frame))
	}
	_, sends := s.Flush(w.now)
	n := 0
	for i, m := range sends {
		if m.Frame[1] != wire.FrameDelta {
			continue
		}
		if m.Answer != (n == 0) || !m.Bulk {
			t.Errorf("message %d: answer %v, bulk %v", i, m.Answer, m.Bulk)
		}
		n++
	}
	if n == 0 {
		t.Error("there is no answer")
	}
}

// Only pieces of the very frame show that it comes: not other bytes, nor another life of its sender, nor when it
// has come and was refused.
func TestArrivingEnds(t *testing.T) {
	for name, after := range map[string]func(w *network, large []byte){
		"other bytes move": func(w *network, _ []byte) {},
		"it has restarted": func(w *network, _ []byte) {
			w.nodes[2].Left(w.now, 1)
			w.nodes[2].Joined(w.now, 1, 4711)
		},
		"it was refused": func(w *network, large []byte) {
			skewed := w.now
			skewed.Wall -= 3_600_000
			_ = w.nodes[2].Receive(skewed, 1, large)
		},
		"another frame comes": func(w *network, _ []byte) {
			w.nodes[2].Arriving(w.now, 1, wire.AppendChunk(nil, &wire.SyncChunk{Session: 1, Number: 1, Flags: wire.ChunkDone}))
		},
	} {
		w, large, _ := arriveBy(t)
		r := w.nodes[2]
		after(w, large)
		for range 12 {
			w.pass(time.Second)
			r.Moved(w.now, 1, true)
		}
		if n := len(r.arrivals); n > 0 {
			t.Errorf("%s: %+v", name, r.arrivals)
		}
	}
}

// Bytes of something else don't keep an answer alive that is lost.
func TestLostAnswerIsAskedForAgain(t *testing.T) {
	w, _, _ := arriveBy(t)
	r := w.nodes[2]
	r.mu.Lock()
	r.pullFrom(w.now, 1)
	r.mu.Unlock()
	w.lost = func(from, _ uint64, frame []byte) bool { return from == 1 }
	for range 4 {
		w.pass(time.Second)
		r.Moved(w.now, 1, true)
	}
	if r.pulls.current != nil && w.now.Mono-r.pulls.current.began > 3*time.Second {
		t.Errorf("the pull of %v ago is still waited for", w.now.Mono-r.pulls.current.began)
	}
}
