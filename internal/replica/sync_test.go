package replica

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/wire"
)

// A network is a line of replicas driven by hand, for what the simulator meets too rarely:
// messages wait until the test delivers them.
type network struct {
	t     *testing.T
	now   delta.Instant
	nodes map[uint64]*Replica
	queue []parcelTo
	lost  func(from, to uint64, frame []byte) bool
}

type parcelTo struct {
	from, to uint64
	frame    []byte
}

func newNetwork(t *testing.T) *network {
	return &network{t: t, now: delta.Instant{Wall: 1_700_000_000_000}, nodes: map[uint64]*Replica{}}
}

// add makes a node; one that is first is synced at once.
func (w *network) add(id uint64, first bool, edit ...func(*Config)) *Replica {
	c := Config{
		ID: id, Origin: 100 + id, MaxSkew: 500 * time.Millisecond, LogSize: 1024, First: first, SyncTimeout: 10 * time.Second,
		Wake: func() {}, Changed: func(string, delta.Kind) {},
		Store: store.Config{MaxKeys: 1000, DeletionDelay: time.Hour, GroupKeys: 4, MaxTombstones: 1 << 14, Seed: id},
	}
	for _, e := range edit {
		e(&c)
	}
	r := New(c)
	r.standing.ready.aloneSince, r.standing.ready.unsyncedSince = w.now.Mono, w.now.Mono
	w.nodes[id] = r
	return r
}

func (w *network) connect(a, b uint64) {
	w.nodes[a].Joined(w.now, b, w.nodes[b].state.Origin)
	w.nodes[b].Joined(w.now, a, w.nodes[a].state.Origin)
}

// kill takes a node away; what it has sent is lost.
func (w *network) kill(id uint64) {
	delete(w.nodes, id)
	w.queue = slices.DeleteFunc(w.queue, func(p parcelTo) bool { return p.from == id || p.to == id })
	for _, r := range w.nodes {
		r.Left(w.now, id)
	}
}

// flush queues what the nodes want to send.
func (w *network) flush() {
	for _, id := range w.ids() {
		r := w.nodes[id]
		broadcasts, sends := r.Flush(w.now)
		for _, to := range r.neighbours.ids {
			for _, frame := range broadcasts {
				w.send(id, to, frame)
			}
		}
		for _, m := range sends {
			w.send(id, m.To, m.Frame)
		}
	}
}

func (w *network) send(from, to uint64, frame []byte) {
	if w.nodes[to] != nil && (w.lost == nil || !w.lost(from, to, frame)) {
		w.queue = append(w.queue, parcelTo{from, to, frame})
	}
}

func (w *network) ids() (ids []uint64) {
	for id := range w.nodes {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// step delivers what waits. It returns false if nothing did.
func (w *network) step() bool {
	w.flush()
	queue := w.queue
	w.queue = nil
	for _, p := range queue {
		if r := w.nodes[p.to]; r != nil {
			if err := r.Receive(w.now, p.from, p.frame); err != nil && !errors.Is(err, ErrFuture) {
				w.t.Errorf("node %d: %v", p.to, err)
			}
		}
	}
	return len(queue) > 0
}

func (w *network) settle() {
	for w.step() {
	}
}

// pass lets time pass, with a tick every second.
func (w *network) pass(d time.Duration) {
	for ; d > 0; d -= time.Second {
		w.now.Mono += time.Second
		w.now.Wall += 1000
		for _, id := range w.ids() {
			w.nodes[id].Tick(w.now)
		}
		w.settle()
	}
}

func (w *network) set(id uint64, key, val string) {
	w.t.Helper()
	testkit.Must(w.t, w.nodes[id].Set(w.now, key, val, 0))
	w.now.Wall++
}

func (w *network) holds(id uint64, key, want string) {
	w.t.Helper()
	got, ok := w.nodes[id].Store.Get(key, func() int64 { return w.now.Wall })
	if got != want || ok != (want != "") {
		w.t.Errorf("node %d: %s is %q, want %q", id, key, got, want)
	}
}

// misses checks that a node serves nothing of a key.
func (w *network) misses(id uint64, key string) {
	w.t.Helper()
	if v, ok := w.nodes[id].Store.Get(key, func() int64 { return w.now.Wall }); ok {
		w.t.Errorf("node %d serves %q of %s", id, v, key)
	}
}

// joining has node 3 in the middle of a full sync from node 1: it has got k00, which nobody
// else has, but not all.
func joining(t *testing.T) (w *network, r *Replica) {
	w = newNetwork(t)
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
		if held, ok := r.Store.Peek("k00"); ok && held.Mark != 0 {
			break
		}
		w.step()
	}
	w.holds(3, "k00", "unique")
	if r.standing.ready.synced || r.repair.client.session == nil {
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
	if !r.standing.ready.synced || r.repair.client.unvouched || r.repair.client.counts.SyncsReceived != 1 || r.repair.client.counts.SyncsFailed != 1 {
		t.Errorf("synced %v, unvouched %v, %d syncs, %d given up", r.standing.ready.synced, r.repair.client.unvouched, r.repair.client.counts.SyncsReceived, r.repair.client.counts.SyncsFailed)
	}
	w.holds(2, "k00", "two")
	if held, ok := r.Store.Peek("k00"); ok && held.Val == "unique" {
		t.Error("node 3 holds what only the dead node had")
	}
	for i := 1; i < 64; i++ {
		w.holds(3, fmt.Sprintf("k%02d", i), "two")
	}
}

// A dot that arrives vouches for what a sync brought.
func TestSyncKeepsWhatADotVouchesFor(t *testing.T) {
	w, r := joining(t)
	held, _ := r.Store.Peek("k00")
	frame := wire.AppendDelta(nil, 101, w.nodes[1].state.seq, []delta.Record{held})
	w.kill(1)
	testkit.Must(t, r.Receive(w.now, 1, frame))
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
		if p.to == 3 && p.frame[1] == wire.FrameChunk {
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
	r.repair.client.abort(w.now, "the test wants it")
	r.mu.Unlock()
	w.now.Mono += syncShy
	w.settle()
	w.lost = func(_, _ uint64, frame []byte) bool { return frame[1] == wire.FrameDelta }
	for i := range 64 { // the state that the old chunks tell of is no longer
		testkit.Must(t, w.nodes[1].Delete(w.now, fmt.Sprintf("k%02d", i)))
	}
	r.mu.Lock()
	r.repair.advance(w.now)
	r.mu.Unlock()
	for w.flush(); len(w.queue) > 0; w.flush() { // before every message
		for _, frame := range old {
			testkit.Must(t, r.Receive(w.now, 1, frame))
		}
		p := w.queue[0]
		w.queue = w.queue[1:]
		testkit.Must(t, w.nodes[p.to].Receive(w.now, p.from, p.frame))
	}
	if !r.standing.ready.synced {
		t.Fatal("not synced")
	}
	for i := range 64 {
		w.holds(3, fmt.Sprintf("k%02d", i), "")
	}
	if r.Store.Tombstones() == 0 {
		t.Error("the deletes didn't come")
	}
}

// A node serves only so many others at a time; who is refused tries again.
func TestSyncServesFewAtATime(t *testing.T) {
	w := newNetwork(t)
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
			if n := len(server.server.sessions); n > SyncServing {
				t.Fatalf("%d sessions at a time", n)
			}
			for _, out := range server.server.sessions {
				if len(out.window) > SyncWindow {
					t.Fatalf("%d chunks under way", len(out.window))
				}
			}
		}
		w.pass(time.Second)
	}
	for id := uint64(2); id < 2+joiners; id++ {
		if r := w.nodes[id]; !r.standing.ready.synced || r.Store.Len() != 300 || r.repair.client.counts.SyncsReceived != 1 {
			t.Errorf("node %d: synced %v with %d entries, %d syncs", id, r.standing.ready.synced, r.Store.Len(), r.repair.client.counts.SyncsReceived)
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
		w := newNetwork(t)
		w.add(1, true)
		for i := range 200 {
			w.set(1, fmt.Sprint(i), "v")
		}
		w.pass(3 * time.Second)
		rng := rand.New(rand.NewPCG(seed, 0))
		w.lost = func(_, _ uint64, frame []byte) bool { return frame[1] >= wire.FrameAsk && rng.IntN(10) == 0 }
		r := w.add(2, false)
		w.connect(1, 2)
		w.pass(2 * time.Minute)
		if !r.standing.ready.synced || r.Store.Len() != 200 || r.repair.client.counts.SyncsReceived != 1 {
			t.Errorf("seed %d: synced %v with %d entries, %d syncs, %d failed: %s", seed, r.standing.ready.synced, r.Store.Len(),
				r.repair.client.counts.SyncsReceived, r.repair.client.counts.SyncsFailed, r.repair.client.failure)
		}
	}
}

// A server with wrong clock readings in its state doesn't make others complete.
func TestSyncFromTheFuture(t *testing.T) {
	w := newNetwork(t)
	s := w.add(1, true)
	w.set(1, "k", "v")
	s.Store.RaiseFloor(7, delta.StampOf(w.now.Wall+60_000))
	w.pass(3 * time.Second)
	r := w.add(2, false, func(c *Config) { c.SyncTimeout = time.Hour })
	w.connect(1, 2)
	w.pass(10 * time.Second)
	if r.standing.ready.synced || r.repair.client.counts.SyncsFailed == 0 || r.Store.FloorOf(7) != 0 {
		t.Errorf("synced %v, %d failed, floor %d", r.standing.ready.synced, r.repair.client.counts.SyncsFailed, r.Store.FloorOf(7))
	}
	w.holds(2, "k", "v")
	w.pass(60 * time.Second) // the clocks catch up
	if !r.standing.ready.synced || r.Store.FloorOf(7) == 0 {
		t.Errorf("still not synced: %s", r.Unsynced(w.now))
	}
}

// A server that falls silent in the middle is replaced by another one.
func TestSyncTakesOverFromAStalledServer(t *testing.T) {
	w, r := joining(t)
	w.connect(2, 3)
	w.lost = func(from, _ uint64, frame []byte) bool { return from == 1 && frame[1] == wire.FrameChunk }
	w.queue = nil
	w.pass(SyncStall + 3*time.Second)
	if !r.standing.ready.synced || r.repair.client.counts.SyncsReceived != 1 || r.repair.client.counts.SyncsFailed == 0 || w.nodes[2].server.counts.SyncsServed != 1 {
		t.Errorf("synced %v, %d syncs, %d given up, %d served by the other: %s",
			r.standing.ready.synced, r.repair.client.counts.SyncsReceived, r.repair.client.counts.SyncsFailed, w.nodes[2].server.counts.SyncsServed, r.Unsynced(w.now))
	}
}

// Both sides stay usable, and what is written meanwhile isn't lost.
func TestSyncUnderWrites(t *testing.T) {
	w, r := joining(t)
	for i := 0; !r.standing.ready.synced; i++ {
		w.set(1, fmt.Sprintf("k%02d", i%64), fmt.Sprint("new", i))
		w.set(3, fmt.Sprint("own", i), "v")
		testkit.Must(t, w.nodes[1].Delete(w.now, fmt.Sprintf("k%02d", (i+32)%64)))
		w.step()
		if i > 1000 {
			t.Fatal("it doesn't end")
		}
	}
	w.pass(5 * time.Second)
	if r.repair.client.counts.SyncsReceived != 1 || r.repair.client.counts.SyncsFailed != 0 || w.nodes[1].repair.client.counts.SyncsReceived != 0 {
		t.Errorf("%d syncs, %d given up", r.repair.client.counts.SyncsReceived, r.repair.client.counts.SyncsFailed)
	}
	for i := range 64 {
		key := fmt.Sprintf("k%02d", i)
		want, _ := w.nodes[1].Store.Get(key, func() int64 { return w.now.Wall })
		w.holds(3, key, want)
	}
	w.holds(1, "own0", "v")
}
