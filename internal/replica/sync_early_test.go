package replica

import (
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/wire"
)

// meetLate connects two nodes: b notices when everything that a has sent has come.
func (w *network) meetLate(a, b uint64) {
	w.nodes[a].Joined(w.now, b, w.nodes[b].state.Origin)
	w.settle()
	w.nodes[b].Joined(w.now, a, w.nodes[a].state.Origin)
}

// A node that asks for a full sync before the other one has noticed the connection gets it at once.
func TestSyncAskBeforeJoined(t *testing.T) {
	w := newNetwork(t)
	w.add(1, true)
	for i := range 50 {
		w.set(1, string(rune('a'+i)), "v")
	}
	r := w.add(2, false)
	w.meetLate(2, 1)
	if r.standing.ready.synced || r.repair.client.session == nil {
		t.Fatal("node 2 hasn't asked, or is synced already")
	}
	w.settle()
	if synced := r.standing.ready.synced; !synced || r.Store.Len() != 50 {
		t.Errorf("synced %v, with %d entries, and no time has passed", synced, r.Store.Len())
	}
	n, waiting := r.repair.client.counts, len(w.nodes[1].server.early)
	if n.SyncsReceived != 1 || n.SyncsFailed != 0 || waiting != 0 {
		t.Errorf("%+v, %d Asks wait", n, waiting)
	}
}

// A full sync that goes on after a cut does so although the other node notices later that the requester
// is back.
func TestSyncGoesOnBeforeJoined(t *testing.T) {
	w, r := joining(t)
	w.queue = nil
	w.nodes[1].Left(w.now, 3)
	r.Left(w.now, 1)
	w.meetLate(3, 1)
	if w.settle(); !r.standing.ready.synced || r.repair.client.counts.SyncsFailed != 0 {
		t.Errorf("synced %v, %d failed", r.standing.ready.synced, r.repair.client.counts.SyncsFailed)
	}
}

// A node that isn't connected at the moment may still say that it can't go on with a full sync.
func TestSyncIsRefusedByWhoHasLeft(t *testing.T) {
	w, r := joining(t)
	w.queue = nil
	session := r.repair.client.session.id
	r.Left(w.now, 1)
	for range 2 {
		no := wire.SyncChunk{Session: session, Flags: wire.ChunkRefused}
		testkit.Must(t, r.Receive(w.now, 1, wire.AppendChunk(nil, &no)))
	}
	if r.repair.client.session != nil {
		t.Error("the session goes on")
	}
	w.nodes[1].Left(w.now, 3)
	w.connect(1, 3)
	w.pass(3 * time.Second)
	if !r.standing.ready.synced {
		t.Errorf("not synced: %s", r.Unsynced(w.now))
	}
}

// What waits is bounded, in number and in time, and what isn't wanted any more doesn't wait.
func TestSyncEarlyAsks(t *testing.T) {
	var e earlyAsks
	at := func(d time.Duration) delta.Instant { return delta.Instant{Mono: d} }
	for from := range uint64(earlyMost + 3) {
		e.keep(at(0), from, wire.SyncAsk{Session: from})
	}
	e.keep(at(time.Millisecond), 7, wire.SyncAsk{Session: 8, Next: 3})
	if len(e) != earlyMost {
		t.Errorf("%d wait", len(e))
	}
	for from, want := range map[uint64]uint64{0: 0, 2: 0, 3: 3, 7: 8, earlyMost + 2: earlyMost + 2} {
		a, ok := e.take(at(time.Second), from)
		if ok != (want != 0) || a.Session != want {
			t.Errorf("node %d: session %d, %v", from, a.Session, ok)
		}
		if _, again := e.take(at(time.Second), from); again {
			t.Errorf("node %d: it is there twice", from)
		}
	}
	e.keep(at(0), 9, wire.SyncAsk{Session: 10, Flags: wire.AskCancel}) // of another one
	e.keep(at(0), 10, wire.SyncAsk{Session: 10, Flags: wire.AskCancel})
	if _, ok := e.take(at(0), 9); !ok {
		t.Error("it is cancelled by what cancels another session")
	}
	if _, ok := e.take(at(0), 10); ok {
		t.Error("it isn't cancelled")
	}
	if _, ok := e.take(at(earlyFor), 11); ok {
		t.Error("it has waited for too long")
	}
}

// An Ask of a life that has ended holds up nobody for longer than a repeated one does, and takes no
// place for long.
func TestSyncEarlyAskOfAnotherLife(t *testing.T) {
	w := newNetwork(t)
	server := w.add(1, true)
	w.set(1, "k", "v")
	testkit.Must(t, server.Receive(w.now, 2, wire.AppendAsk(nil, wire.SyncAsk{Session: 99})))
	r := w.add(2, false)
	w.connect(1, 2)
	w.settle()
	w.pass(2 * time.Second)
	n, left := r.repair.client.counts.SyncsReceived, len(server.server.sessions)
	if !r.standing.ready.synced || n != 1 || left != 0 {
		t.Errorf("%d full syncs, %d sessions are left: %s", n, left, r.Unsynced(w.now))
	}
	for id := range uint64(1000) { // who never joins
		testkit.Must(t, server.Receive(w.now, 1000+id, wire.AppendAsk(nil, wire.SyncAsk{Session: id})))
	}
	if n, f := len(server.server.early), len(server.server.sessions); n != earlyMost || f != 0 {
		t.Errorf("%d Asks wait, %d sessions", n, f)
	}
}
