package replica

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/lease"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/wire"
)

// A replica's part in leases: who may grant them, and the frames that tell of them.

// replicaWithPeer makes node 1, which is synced and connected with another one that is.
func replicaWithPeer(peer uint64) *Replica {
	r := New(Config{ID: 1, Origin: 1, MaxSkew: time.Second, LogSize: 10, First: true,
		Wake: func() {}, Changed: func(string, delta.Kind) {}, Store: store.Config{MaxKeys: 10}})
	r.Joined(delta.Instant{}, peer, peer)
	r.neighbours.byID[peer].synced = true
	r.Flush(delta.Instant{})
	return r
}

// All nodes choose the same one; keys are spread evenly; and if a node leaves, only its keys move.
func TestLeaseGranterIsChosenByRendezvous(t *testing.T) {
	const keys = 3000
	replicas := map[uint64]*Replica{}
	for id := uint64(1); id <= 5; id++ {
		r := New(Config{ID: id, Origin: id, MaxSkew: time.Second, LogSize: 10, First: true,
			Wake: func() {}, Changed: func(string, delta.Kind) {}, Store: store.Config{MaxKeys: 10}})
		for other := uint64(1); other <= 5; other++ {
			if other != id {
				r.Joined(delta.Instant{}, other, other)
				r.neighbours.byID[other].synced = true
			}
		}
		replicas[id] = r
	}
	before := map[string]uint64{}
	share := map[uint64]int{}
	for i := range keys {
		key := fmt.Sprint(i)
		for id, r := range replicas {
			got := r.Leases.Granter(key)
			if before[key] == 0 {
				before[key] = got
				share[got]++
			}
			if got == 0 || got != before[key] {
				t.Fatalf("%s: node %d chooses %d, another one %d", key, id, got, before[key])
			}
		}
	}
	for id, n := range share {
		if n < keys/5*8/10 || n > keys/5*12/10 {
			t.Errorf("node %d grants %d of %d leases", id, n, keys)
		}
	}
	replicas[1].Left(delta.Instant{}, 3)
	replicas[1].neighbours.byID[4].synced = false // it may be
	for key, was := range before {
		if got := replicas[1].Leases.Granter(key); (got != was) != (was == 3 || was == 4) {
			t.Errorf("%s moves from %d to %d", key, was, got)
		}
	}
}

// What two nodes say to each other about leases arrives, with the echoes that go with most frames; who
// isn't connected is neither heard nor asked.
func TestLeaseFrames(t *testing.T) {
	r := replicaWithPeer(2)
	sent := func() []byte {
		t.Helper()
		_, sends := r.Flush(delta.Instant{})
		if len(sends) != 1 || sends[0].To != 2 || sends[0].Bulk || sends[0].Answer {
			t.Fatalf("sent %+v", sends)
		}
		return sends[0].Frame
	}
	want := wire.LeaseMsg{ID: 20, Op: wire.OpWant, Key: "k", Term: 1000}
	testkit.Must(t, r.Receive(delta.Instant{}, 7, wire.AppendLease(nil, want)))
	if _, sends := r.Flush(delta.Instant{}); len(sends) > 0 || holds(r) {
		t.Errorf("who isn't connected is told %v", sends)
	}
	testkit.Must(t, r.Receive(delta.Instant{}, 2, wire.AppendLease(nil, want)))
	granted := wire.TurnMsg{ID: 20, Op: wire.TurnGranted, Key: "k", Term: 1000, Origin: 1, Echo: r.state.touches.Echo()}
	if m, err := wire.DecodeTurn(sent()); m != granted || err != nil {
		t.Errorf("told %+v, %v", m, err)
	}

	key := "x"
	for r.Leases.Granter(key) != 2 {
		key += "x"
	}
	testkit.Must(t, r.Set(delta.Instant{Wall: 1000}, key, "v", 0))
	held, _ := r.Store.Peek(key)
	r.Flush(delta.Instant{})
	woke := false
	a := r.Leases.Ask(delta.Instant{Wall: 2000}, key, true, time.Second, func() { woke = true })
	asked := wire.LeaseMsg{ID: a.Want.ID, Op: wire.OpWantOld, Key: key, Stamp: held.Stamp, Wall: 2000, Term: 1000,
		Origin: 1, Echo: r.state.touches.Echo()}
	if m, err := wire.DecodeLease(sent()); m != asked || err != nil {
		t.Errorf("asked %+v, %v", m, err)
	}
	turn := wire.AppendTurn(nil, wire.TurnMsg{ID: a.Want.ID, Op: wire.TurnGranted, Key: key, Term: 1000})
	testkit.Must(t, r.Receive(delta.Instant{}, 7, turn))
	if got, _ := r.Leases.TurnOf(delta.Instant{}, a); got != lease.Unheard || woke {
		t.Errorf("by who isn't connected it is told %d", got)
	}
	testkit.Must(t, r.Receive(delta.Instant{}, 2, turn))
	if got, _ := r.Leases.TurnOf(delta.Instant{}, a); got != lease.Granted || !woke {
		t.Errorf("turn %d, woken %v", got, woke)
	}
	r.Leases.End(delta.Instant{}, a, lease.Outcome{End: lease.TryFailed, Retry: 1500 * time.Microsecond})
	failed := wire.LeaseMsg{ID: a.Want.ID, Op: wire.OpFailed, Key: key, Term: 2, Origin: 1, Echo: r.state.touches.Echo()}
	if m, err := wire.DecodeLease(sent()); m != failed || err != nil {
		t.Errorf("said %+v, %v", m, err)
	}
	if n, _ := r.Stats(delta.Instant{}); n.LeasesGranted != 1 || n.LeasesMissed != 0 {
		t.Errorf("%d granted, %d missed", n.LeasesGranted, n.LeasesMissed)
	}
}

// The queue of what is said about leases is bounded, and who isn't heard fills for itself at once. Pings
// have theirs.
func TestLeaseQueueIsBounded(t *testing.T) {
	r := replicaWithPeer(2)
	var now delta.Instant
	long := strings.Repeat("x", wire.MaxLeaseKey-100)
	for i := 0; ; i++ {
		key := fmt.Sprint(long, i)
		if r.Leases.Granter(key) != 2 {
			continue
		}
		a := r.Leases.Ask(now, key, false, time.Second, func() {})
		if a.Heard == wire.TurnAlone {
			break
		}
		if i > 2*lease.MaxSends {
			t.Fatal("there is no bound")
		}
	}
	q := r.Leases.sends
	if q.Bytes > lease.MaxSendBytes || len(q.Frames) > lease.MaxSends || r.Leases.asks.Missed != 1 ||
		r.out.counts.DroppedSends != 1 {
		t.Errorf("%d bytes, %d messages, %d missed", q.Bytes, len(q.Frames), r.Leases.asks.Missed)
	}
	for range lease.MaxSends + 1 {
		q.Put(lease.Frame{To: 2, Frame: []byte{1}})
	}
	if len(q.Frames) > lease.MaxSends {
		t.Errorf("%d messages", len(q.Frames))
	}
	r.mu.Lock()
	r.pinger.ping(now, 2, 0)
	r.mu.Unlock()
	if r.out.counts.DroppedSends != 1 {
		t.Error("a ping is dropped")
	}
	_, sends := r.Flush(now)
	if len(sends) < 2 || sends[0].Frame[1] != wire.FramePing || r.Leases.sends.Bytes != 0 {
		t.Errorf("%d messages are sent", len(sends))
	}
}

// holds reports whether somebody has the lease of "k".
func holds(r *Replica) bool {
	_, ok := r.Leases.table.Holder("k")
	return ok
}
