package bcache

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A replica's part in leases: who may grant them, and the frames that tell of them.

// replicaWithPeer makes node 1, which is synced and connected with another one that is.
func replicaWithPeer(peer uint64) *replica {
	r := newReplica(replicaConfig{id: 1, origin: 1, maxSkew: time.Second, logSize: 10, first: true,
		wake: func() {}, changed: func(string, kind) {}, store: storeConfig{maxKeys: 10}})
	r.joined(instant{}, peer, peer)
	r.neighbours.byID[peer].synced = true
	r.flush(instant{})
	return r
}

// All nodes choose the same one; keys are spread evenly; and if a node leaves, only its keys move.
func TestLeaseGranterIsChosenByRendezvous(t *testing.T) {
	const keys = 3000
	replicas := map[uint64]*replica{}
	for id := uint64(1); id <= 5; id++ {
		r := newReplica(replicaConfig{id: id, origin: id, maxSkew: time.Second, logSize: 10, first: true,
			wake: func() {}, changed: func(string, kind) {}, store: storeConfig{maxKeys: 10}})
		for other := uint64(1); other <= 5; other++ {
			if other != id {
				r.joined(instant{}, other, other)
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
			got := r.granter(key)
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
	replicas[1].left(instant{}, 3)
	replicas[1].neighbours.byID[4].synced = false // it may be
	for key, was := range before {
		if got := replicas[1].granter(key); (got != was) != (was == 3 || was == 4) {
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
		_, sends := r.flush(instant{})
		if len(sends) != 1 || sends[0].to != 2 || sends[0].bulk || sends[0].answer {
			t.Fatalf("sent %+v", sends)
		}
		return sends[0].frame
	}
	want := leaseMsg{id: 20, op: opWant, key: "k", term: 1000}
	must(t, r.receive(instant{}, 7, appendLease(nil, want)))
	if _, sends := r.flush(instant{}); len(sends) > 0 || r.leases.byKey["k"] != nil {
		t.Errorf("who isn't connected is told %v", sends)
	}
	must(t, r.receive(instant{}, 2, appendLease(nil, want)))
	granted := turnMsg{id: 20, op: turnGranted, key: "k", term: 1000, origin: 1, echo: r.touches.echo()}
	if m, err := decodeTurn(sent()); m != granted || err != nil {
		t.Errorf("told %+v, %v", m, err)
	}

	key := "x"
	for r.granter(key) != 2 {
		key += "x"
	}
	must(t, r.set(instant{wall: 1000}, key, "v", 0))
	held, _ := r.store.peek(key)
	r.flush(instant{})
	woke := false
	a := r.askLease(instant{wall: 2000}, key, true, time.Second, func() { woke = true })
	asked := leaseMsg{id: a.want.id, op: opWantOld, key: key, stamp: held.stamp, wall: 2000, term: 1000,
		origin: 1, echo: r.touches.echo()}
	if m, err := decodeLease(sent()); m != asked || err != nil {
		t.Errorf("asked %+v, %v", m, err)
	}
	turn := appendTurn(nil, turnMsg{id: a.want.id, op: turnGranted, key: key, term: 1000})
	must(t, r.receive(instant{}, 7, turn))
	if got, _ := r.turnOf(instant{}, a); got != leaseUnheard || woke {
		t.Errorf("by who isn't connected it is told %d", got)
	}
	must(t, r.receive(instant{}, 2, turn))
	if got, _ := r.turnOf(instant{}, a); got != leaseGranted || !woke {
		t.Errorf("turn %d, woken %v", got, woke)
	}
	r.endLease(instant{}, a, leaseOutcome{end: tryFailed, retry: 1500 * time.Microsecond})
	failed := leaseMsg{id: a.want.id, op: opFailed, key: key, term: 2, origin: 1, echo: r.touches.echo()}
	if m, err := decodeLease(sent()); m != failed || err != nil {
		t.Errorf("said %+v, %v", m, err)
	}
	if n, _ := r.stats(instant{}); n.leasesGranted != 1 || n.leasesMissed != 0 {
		t.Errorf("%d granted, %d missed", n.leasesGranted, n.leasesMissed)
	}
}

// The queue of what is said about leases is bounded, and who isn't heard fills for itself at once. Pings
// have theirs.
func TestLeaseQueueIsBounded(t *testing.T) {
	r := replicaWithPeer(2)
	var now instant
	long := strings.Repeat("x", maxLeaseKey-100)
	for i := 0; ; i++ {
		key := fmt.Sprint(long, i)
		if r.granter(key) != 2 {
			continue
		}
		a := r.askLease(now, key, false, time.Second, func() {})
		if a.heard == turnAlone {
			break
		}
		if i > 2*maxLeaseSends {
			t.Fatal("there is no bound")
		}
	}
	q := r.leaseSends
	if q.bytes > maxLeaseSendBytes || len(q.frames) > maxLeaseSends || r.asks.missed != 1 ||
		r.out.counts.droppedSends != 1 {
		t.Errorf("%d bytes, %d messages, %d missed", q.bytes, len(q.frames), r.asks.missed)
	}
	for range maxLeaseSends + 1 {
		q.put(leaseFrame{2, []byte{1}})
	}
	if len(q.frames) > maxLeaseSends {
		t.Errorf("%d messages", len(q.frames))
	}
	r.mu.Lock()
	r.ping(now, 2, 0)
	r.mu.Unlock()
	if r.out.counts.droppedSends != 1 {
		t.Error("a ping is dropped")
	}
	_, sends := r.flush(now)
	if len(sends) < 2 || sends[0].frame[1] != framePing || r.leaseSends.bytes != 0 {
		t.Errorf("%d messages are sent", len(sends))
	}
}
