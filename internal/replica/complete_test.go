package replica

import (
	"fmt"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/wire"
)

// together makes three nodes that start at once. Nodes 2 and 3 hold so many keys each, node 1 none.
func together(t *testing.T, keys int, edit ...func(*Config)) *network {
	w := newNetwork(t)
	for id := uint64(1); id <= 3; id++ {
		w.add(id, false, append(edit, func(c *Config) { c.SyncTimeout = 30 * time.Second })...)
	}
	for i := range keys {
		w.set(2, fmt.Sprint("two", i), "v")
		w.set(3, fmt.Sprint("three", i), "v")
	}
	w.pass(3 * time.Second)
	return w
}

// Of nodes that start together those with data are asked first: none is ready before it has all that the
// others hold, though their logs don't have it any more.
func TestReadyWhenNothingIsLacking(t *testing.T) {
	for _, log := range []int{1024, 64} {
		w := together(t, 300, func(c *Config) { c.LogSize = log })
		w.connect(1, 2)
		w.connect(1, 3)
		w.connect(2, 3)
		w.lost = func(_, _ uint64, frame []byte) bool {
			return frame[1] == wire.FrameChunk || frame[1] == wire.FrameDelta
		}
		w.pass(10 * time.Second) // they know what they lack, and can't get it
		for id, r := range w.nodes {
			if r.standing.ready.complete {
				t.Errorf("log of %d: node %d is ready with %d keys", log, id, r.Store.Len())
			}
		}
		w.lost = nil
		for s := 0; w.nodes[1].Unsynced(w.now) != "" || w.nodes[2].Unsynced(w.now) != "" || w.nodes[3].Unsynced(w.now) != ""; s++ {
			for id, r := range w.nodes {
				if r.standing.ready.complete && r.Store.Len() < 600 {
					t.Errorf("log of %d: node %d is ready after %d s with %d keys", log, id, s, r.Store.Len())
				}
			}
			if s > 60 {
				t.Fatalf("log of %d: not ready after %d s: %q %q %q", log, s, w.nodes[1].Unsynced(w.now), w.nodes[2].Unsynced(w.now), w.nodes[3].Unsynced(w.now))
			}
			w.pass(time.Second)
		}
		if n := w.nodes[1].Store.Len(); n != 600 {
			t.Errorf("log of %d: node 1 is ready with %d keys", log, n)
		}
	}
}

// The node that holds most declares itself, and not the lowest PeerID.
func TestTheFullestServes(t *testing.T) {
	w := together(t, 100, func(c *Config) { c.LogSize = 8 })
	for i := range 50 {
		w.set(3, fmt.Sprint("more", i), "v")
	}
	w.pass(3 * time.Second)
	w.connect(1, 2)
	w.connect(1, 3)
	w.connect(2, 3)
	w.pass(ElectAfter + time.Second)
	if !w.nodes[3].standing.ready.synced || w.nodes[1].server.counts.SyncsServed > 0 {
		t.Errorf("synced: %v %v %v", w.nodes[1].standing.ready.synced, w.nodes[2].standing.ready.synced, w.nodes[3].standing.ready.synced)
	}
	w.pass(5 * time.Second)
	for id, r := range w.nodes {
		if r.Store.Len() != 250 || !r.standing.ready.complete {
			t.Errorf("node %d: %d keys, %q", id, r.Store.Len(), r.Unsynced(w.now))
		}
	}
}

// What can't be had isn't waited for for ever.
func TestReadyWithoutWhatCannotBeHad(t *testing.T) {
	w := together(t, 100, func(c *Config) { c.LogSize, c.SyncTimeout = 8, 10*time.Second })
	w.lost = func(from, _ uint64, frame []byte) bool {
		return from == 2 && frame[1] != wire.FramePing && frame[1] != wire.FramePong
	}
	w.connect(1, 2)
	w.pass(20 * time.Second)
	if r := w.nodes[1]; r.standing.ready.complete {
		t.Errorf("ready after 20 s with %d keys", r.Store.Len())
	}
	w.pass(60 * time.Second)
	if r := w.nodes[1]; !r.standing.ready.complete {
		t.Errorf("after 70 s: %s", r.Unsynced(w.now))
	}
}

// Pings and pongs say how much a node holds, so that all agree on who holds most.
func TestAllKnowWhoHoldsMost(t *testing.T) {
	w := together(t, 10)
	for i := range 200 {
		w.set(3, fmt.Sprint("more", i), "v")
	}
	w.connect(1, 2)
	w.connect(1, 3)
	w.connect(2, 3)
	w.lost = func(_, _ uint64, frame []byte) bool { return frame[1] == wire.FrameDelta }
	w.pass(2 * time.Second)
	for id, r := range w.nodes {
		for other, p := range r.neighbours.byID {
			if n := w.nodes[other].Store.Len(); p.held != uint64(n) {
				t.Errorf("node %d believes that node %d holds %d, not %d", id, other, p.held, n)
			}
		}
		if leads := !r.neighbours.outdone(r.ID, uint64(r.Store.Len())); leads != (id == 3) {
			t.Errorf("node %d leads: %v", id, leads)
		}
	}
}
