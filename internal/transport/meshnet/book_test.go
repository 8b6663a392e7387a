package meshnet

import (
	"fmt"
	"testing"
	"time"
)

// Addresses of connected nodes are neither forgotten with time nor pushed out by
// what others tell; those of nodes that are gone are, after two hours.
func TestMeshBookKeepsWhoIsHere(t *testing.T) {
	b := newMeshBook()
	now := time.Now()
	b.learn(1, 11, "10.0.0.1:1", now)
	b.learn(2, 22, "10.0.0.2:1", now)
	b.touch([]uint64{1}, now)
	for i := range uint64(2 * maxMembers) {
		b.learn(100+i, i, fmt.Sprintf("10.1.0.1:%d", i+1), now.Add(time.Second))
	}
	if len(b.byID) > maxMembers {
		t.Errorf("%d addresses", len(b.byID))
	}
	if b.addrOf(1) == "" || b.addrOf(2) != "" {
		t.Error("the wrong one was pushed out")
	}
	later := now.Add(23 * time.Hour)
	b.touch([]uint64{1}, later)
	if all := b.dialable(later.Add(meshForget)); len(all) != 1 || all[1].addr != "10.0.0.1:1" {
		t.Errorf("in time %v", all)
	}
	b.touch(nil, later) // it left
	if all := b.dialable(later.Add(meshForget + time.Hour)); len(all) != 0 {
		t.Errorf("hours after it left %v", all)
	}
}

// Of a life that has said that it closes nothing is learnt any more from others, who don't know yet.
func TestMeshBookForgetsWhoClosed(t *testing.T) {
	b := newMeshBook()
	now := time.Now()
	b.learn(1, 11, "10.0.0.1:1", now)
	b.forget(1, 10)
	if b.addrOf(1) == "" {
		t.Error("another life is forgotten")
	}
	b.forget(1, 11)
	b.hear(1, 11, "10.0.0.1:1", now)
	if _, known := b.originOf(1); known || b.addrOf(1) != "" || len(b.dialable(now)) > 0 {
		t.Error("others tell of it, and it is believed")
	}
	b.hear(1, 12, "10.0.0.1:2", now)
	if b.addrOf(1) != "10.0.0.1:2" {
		t.Error("its next life isn't learnt")
	}
	b.forget(1, 12)
	if b.dialable(now.Add(meshForget + time.Second)); len(b.byID) > 0 {
		t.Error("it is remembered for ever")
	}
}

// What waits for a connection dies with it. So another connection is another Joined,
// even if it is to the same life of the node and came at once.
func TestMeshNewConnectionIsANewJoined(t *testing.T) {
	leaks(t)
	a := start(t, 0xa, nil)
	b := start(t, 0xb, meshPeers(a.Addr()))
	linked(t, a, b)
	for round := 2; round < 5; round++ {
		a.Disconnect(0xb)
		for _, n := range []*testNode{a, b} {
			wait(t, "a new Joined on both sides", func() bool { return n.h.Count("+") == round })
			if left := n.h.Count("-"); left != round-1 {
				t.Errorf("%d Left for %d Joined", left, round)
			}
		}
		talk(t, fmt.Sprint("round ", round), a, b)
	}
}
