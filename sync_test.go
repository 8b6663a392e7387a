package bcache

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// A wire is a line of replicas driven by hand, for what the simulator meets too rarely:
// messages wait until the test delivers them.
type wire struct {
	t     *testing.T
	now   instant
	nodes map[uint64]*replica
	queue []parcelTo
	lost  func(from, to uint64, frame []byte) bool
}

type parcelTo struct {
	from, to uint64
	frame    []byte
}

func newWire(t *testing.T) *wire {
	return &wire{t: t, now: instant{wall: 1_700_000_000_000}, nodes: map[uint64]*replica{}}
}

// add makes a node; one that is first is synced at once.
func (w *wire) add(id uint64, first bool, edit ...func(*replicaConfig)) *replica {
	c := replicaConfig{
		id: id, origin: 100 + id, maxSkew: 500 * time.Millisecond, logSize: 1024, first: first, syncTimeout: 10 * time.Second,
		wake: func() {}, changed: func(string, kind) {},
		store: storeConfig{maxKeys: 1000, deletionDelay: time.Hour, groupKeys: 4, maxTombstones: 1 << 14, seed: id},
	}
	for _, e := range edit {
		e(&c)
	}
	r := newReplica(c)
	r.ready.aloneSince, r.ready.unsyncedSince = w.now.mono, w.now.mono
	w.nodes[id] = r
	return r
}

func (w *wire) connect(a, b uint64) {
	w.nodes[a].joined(w.now, b, w.nodes[b].origin)
	w.nodes[b].joined(w.now, a, w.nodes[a].origin)
}

// kill takes a node away; what it has sent is lost.
func (w *wire) kill(id uint64) {
	delete(w.nodes, id)
	w.queue = slices.DeleteFunc(w.queue, func(p parcelTo) bool { return p.from == id || p.to == id })
	for _, r := range w.nodes {
		r.left(w.now, id)
	}
}

// flush queues what the nodes want to send.
func (w *wire) flush() {
	for _, id := range w.ids() {
		r := w.nodes[id]
		broadcasts, sends := r.flush(w.now)
		for _, to := range r.neighbours.ids {
			for _, frame := range broadcasts {
				w.send(id, to, frame)
			}
		}
		for _, m := range sends {
			w.send(id, m.to, m.frame)
		}
	}
}

func (w *wire) send(from, to uint64, frame []byte) {
	if w.nodes[to] != nil && (w.lost == nil || !w.lost(from, to, frame)) {
		w.queue = append(w.queue, parcelTo{from, to, frame})
	}
}

func (w *wire) ids() (ids []uint64) {
	for id := range w.nodes {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// step delivers what waits. It returns false if nothing did.
func (w *wire) step() bool {
	w.flush()
	queue := w.queue
	w.queue = nil
	for _, p := range queue {
		if r := w.nodes[p.to]; r != nil {
			if err := r.receive(w.now, p.from, p.frame); err != nil && !errors.Is(err, errFuture) {
				w.t.Errorf("node %d: %v", p.to, err)
			}
		}
	}
	return len(queue) > 0
}

func (w *wire) settle() {
	for w.step() {
	}
}

// pass lets time pass, with a tick every second.
func (w *wire) pass(d time.Duration) {
	for ; d > 0; d -= time.Second {
		w.now.mono += time.Second
		w.now.wall += 1000
		for _, id := range w.ids() {
			w.nodes[id].tick(w.now)
		}
		w.settle()
	}
}

func (w *wire) set(id uint64, key, val string) {
	w.t.Helper()
	must(w.t, w.nodes[id].set(w.now, key, val, 0))
	w.now.wall++
}

func (w *wire) holds(id uint64, key, want string) {
	w.t.Helper()
	got, ok := w.nodes[id].store.get(key, func() int64 { return w.now.wall })
	if got != want || ok != (want != "") {
		w.t.Errorf("node %d: %s is %q, want %q", id, key, got, want)
	}
}

// misses checks that a node serves nothing of a key.
func (w *wire) misses(id uint64, key string) {
	w.t.Helper()
	if v, ok := w.nodes[id].store.get(key, func() int64 { return w.now.wall }); ok {
		w.t.Errorf("node %d serves %q of %s", id, v, key)
	}
}

// joining has node 3 in the middle of a full sync from node 1: it has got k00, which nobody
// else has, but not all.
func joining(t *testing.T) (w *wire, r *replica) {
	w = newWire(t)
	w.add(1, true)
	w.add(2, true)
	for i := range 64 {
		w.set(1, fmt.Sprintf("k%02d", i), "one")
		w.set(2, fmt.Sprintf("k%02d", i), "two") // is newer
	}
	w.set(1, "k00", "unique")
	w.pass(3 * time.Second)
	r = w.add(3, false)
	w.connect(1, 3)
	for range 1000 {
		if held, ok := r.store.peek("k00"); ok && held.mark != 0 {
			break
		}
		w.step()
	}
	w.holds(3, "k00", "unique")
	if r.ready.synced || r.client.session == nil {
		t.Fatal("the sync is over already")
	}
	return w, r
}

// What came with a full sync that didn't end may be known to nobody else. If the next server
// doesn't know it either, it goes: otherwise two nodes could hold different values for
// ever.
func TestSyncDropsWhatNobodyVouchesFor(t *testing.T) {
	w, r := joining(t)
	w.kill(1)
	w.connect(2, 3)
	w.pass(5 * time.Second)
	if !r.ready.synced || r.client.unvouched || r.client.counts.syncsReceived != 1 || r.client.counts.syncsFailed != 1 {
		t.Errorf("synced %v, unvouched %v, %d syncs, %d given up", r.ready.synced, r.client.unvouched, r.client.counts.syncsReceived, r.client.counts.syncsFailed)
	}
	w.holds(2, "k00", "two")
	if held, ok := r.store.peek("k00"); ok && held.val == "unique" {
		t.Error("node 3 holds what only the dead node had")
	}
	for i := 1; i < 64; i++ {
		w.holds(3, fmt.Sprintf("k%02d", i), "two")
	}
}

// A dot that arrives vouches for what a sync brought.
func TestSyncKeepsWhatADotVouchesFor(t *testing.T) {
	w, r := joining(t)
	held, _ := r.store.peek("k00")
	frame := appendDelta(nil, 101, w.nodes[1].seq, []record{held})
	w.kill(1)
	must(t, r.receive(w.now, 1, frame))
	w.connect(2, 3)
	w.pass(5 * time.Second)
	w.holds(3, "k00", "unique")
	w.holds(2, "k00", "unique") // by repair
}

// Chunks that belong to a session that was given up are out of date.
func TestSyncIgnoresOtherSessions(t *testing.T) {
	w, r := joining(t)
	var old [][]byte
	w.flush()
	for _, p := range w.queue {
		if p.to == 3 && p.frame[1] == frameChunk {
			old = append(old, p.frame)
		}
	}
	w.queue = nil
	for _, out := range w.nodes[1].server.sessions {
		old = append(old, out.window...)
	}
	if len(old) == 0 {
		t.Fatal("no chunk is under way")
	}
	r.mu.Lock()
	r.client.abort(w.now, "the test wants it")
	r.mu.Unlock()
	w.now.mono += syncShy
	w.settle()
	w.lost = func(_, _ uint64, frame []byte) bool { return frame[1] == frameDelta }
	for i := range 64 { // the state that the old chunks tell of is no longer
		must(t, w.nodes[1].delete(w.now, fmt.Sprintf("k%02d", i)))
	}
	r.mu.Lock()
	r.advance(w.now)
	r.mu.Unlock()
	for w.flush(); len(w.queue) > 0; w.flush() { // before every message
		for _, frame := range old {
			must(t, r.receive(w.now, 1, frame))
		}
		p := w.queue[0]
		w.queue = w.queue[1:]
		must(t, w.nodes[p.to].receive(w.now, p.from, p.frame))
	}
	if !r.ready.synced {
		t.Fatal("not synced")
	}
	for i := range 64 {
		w.holds(3, fmt.Sprintf("k%02d", i), "")
	}
	if r.store.tombstones() == 0 {
		t.Error("the deletes didn't come")
	}
}

// A node serves only so many others at a time; who is refused tries again.
func TestSyncServesFewAtATime(t *testing.T) {
	w := newWire(t)
	server := w.add(1, true)
	for i := range 300 {
		w.set(1, fmt.Sprint(i), "v")
	}
	w.pass(3 * time.Second)
	const joiners = 12
	for id := uint64(2); id < 2+joiners; id++ {
		w.add(id, false)
		w.connect(1, id)
	}
	for range 60 {
		for w.step() {
			if n := len(server.server.sessions); n > syncServing {
				t.Fatalf("%d sessions at a time", n)
			}
			for _, out := range server.server.sessions {
				if len(out.window) > syncWindow {
					t.Fatalf("%d chunks under way", len(out.window))
				}
			}
		}
		w.pass(time.Second)
	}
	for id := uint64(2); id < 2+joiners; id++ {
		if r := w.nodes[id]; !r.ready.synced || r.store.len() != 300 || r.client.counts.syncsReceived != 1 {
			t.Errorf("node %d: synced %v with %d entries, %d syncs", id, r.ready.synced, r.store.len(), r.client.counts.syncsReceived)
		}
	}
	if len(server.server.sessions) > 0 {
		t.Errorf("%d sessions are left", len(server.server.sessions))
	}
}

// A requester that falls silent doesn't keep a session for ever.
func TestSyncForgetsTheSilent(t *testing.T) {
	w, _ := joining(t)
	w.lost = func(from, to uint64, _ []byte) bool { return from == 3 }
	w.pass(syncForget + 2*time.Second)
	if n := len(w.nodes[1].server.sessions); n > 0 {
		t.Errorf("%d sessions are left", n)
	}
}

// Lost chunks and lost acknowledgements are sent again.
func TestSyncOverALossyLine(t *testing.T) {
	for seed := range uint64(20) {
		w := newWire(t)
		w.add(1, true)
		for i := range 200 {
			w.set(1, fmt.Sprint(i), "v")
		}
		w.pass(3 * time.Second)
		rng := rand.New(rand.NewPCG(seed, 0))
		w.lost = func(_, _ uint64, frame []byte) bool { return frame[1] >= frameAsk && rng.IntN(10) == 0 }
		r := w.add(2, false)
		w.connect(1, 2)
		w.pass(2 * time.Minute)
		if !r.ready.synced || r.store.len() != 200 || r.client.counts.syncsReceived != 1 {
			t.Errorf("seed %d: synced %v with %d entries, %d syncs, %d failed: %s", seed, r.ready.synced, r.store.len(),
				r.client.counts.syncsReceived, r.client.counts.syncsFailed, r.client.failure)
		}
	}
}

// A server with wrong clock readings in its state doesn't make others complete.
func TestSyncFromTheFuture(t *testing.T) {
	w := newWire(t)
	s := w.add(1, true)
	w.set(1, "k", "v")
	s.store.raiseFloor(7, stampOf(w.now.wall+60_000))
	w.pass(3 * time.Second)
	r := w.add(2, false, func(c *replicaConfig) { c.syncTimeout = time.Hour })
	w.connect(1, 2)
	w.pass(10 * time.Second)
	if r.ready.synced || r.client.counts.syncsFailed == 0 || r.store.floorOf(7) != 0 {
		t.Errorf("synced %v, %d failed, floor %d", r.ready.synced, r.client.counts.syncsFailed, r.store.floorOf(7))
	}
	w.holds(2, "k", "v")
	w.pass(60 * time.Second) // the clocks catch up
	if !r.ready.synced || r.store.floorOf(7) == 0 {
		t.Errorf("still not synced: %s", r.unsynced(w.now))
	}
}

// A server that falls silent in the middle is replaced by another one.
func TestSyncTakesOverFromAStalledServer(t *testing.T) {
	w, r := joining(t)
	w.connect(2, 3)
	w.lost = func(from, _ uint64, frame []byte) bool { return from == 1 && frame[1] == frameChunk }
	w.queue = nil
	w.pass(syncStall + 3*time.Second)
	if !r.ready.synced || r.client.counts.syncsReceived != 1 || r.client.counts.syncsFailed == 0 || w.nodes[2].server.counts.syncsServed != 1 {
		t.Errorf("synced %v, %d syncs, %d given up, %d served by the other: %s",
			r.ready.synced, r.client.counts.syncsReceived, r.client.counts.syncsFailed, w.nodes[2].server.counts.syncsServed, r.unsynced(w.now))
	}
}

// Both sides stay usable, and what is written meanwhile isn't lost.
func TestSyncUnderWrites(t *testing.T) {
	w, r := joining(t)
	for i := 0; !r.ready.synced; i++ {
		w.set(1, fmt.Sprintf("k%02d", i%64), fmt.Sprint("new", i))
		w.set(3, fmt.Sprint("own", i), "v")
		must(t, w.nodes[1].delete(w.now, fmt.Sprintf("k%02d", (i+32)%64)))
		w.step()
		if i > 1000 {
			t.Fatal("it doesn't end")
		}
	}
	w.pass(5 * time.Second)
	if r.client.counts.syncsReceived != 1 || r.client.counts.syncsFailed != 0 || w.nodes[1].client.counts.syncsReceived != 0 {
		t.Errorf("%d syncs, %d given up", r.client.counts.syncsReceived, r.client.counts.syncsFailed)
	}
	for i := range 64 {
		key := fmt.Sprintf("k%02d", i)
		want, _ := w.nodes[1].store.get(key, func() int64 { return w.now.wall })
		w.holds(3, key, want)
	}
	w.holds(1, "own0", "v")
}
