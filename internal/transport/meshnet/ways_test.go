package meshnet

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
)

// While mesh's routes are being calculated, connected nodes reach each other.
func TestMeshFramesDontWaitForRoutes(t *testing.T) {
	leaks(t)
	a := start(t, 0xa, nil)
	b := start(t, 0xb, meshPeers(a.Addr()))
	linked(t, a, b)
	release := make(chan struct{})
	for _, n := range []*testNode{a, b} {
		blocked := make(chan struct{})
		run := n.router.run.Load()
		go run.guts.routes.Send(reflect.ValueOf(func() {
			close(blocked)
			<-release
		}).Convert(run.guts.routes.Type().Elem()))
		<-blocked
	}
	talk(t, "meanwhile", a, b)
	testkit.Must(t, a.Send(0xb, []byte("for b"), false))
	wait(t, "a message", func() bool { return b.h.Got(0xa, []byte("for b")) })
	close(release)
	closeAll(t, a, b)
}

// Nodes that only one in the middle connects reach each other by it, in whatever size, and what is
// broadcast crosses each line once.
func TestMeshRelays(t *testing.T) {
	leaks(t)
	hub := start(t, 0xf, nil)
	p := proxyTo(t, hub.Addr())
	var leaves []*testNode
	for id := range uint64(5) {
		leaves = append(leaves, start(t, id+1, func(c *Config) {
			c.AdvertiseAddr, c.Peers = "127.0.0.1:1", []string{p.addr()}
		}))
	}
	for _, l := range leaves {
		wait(t, "all leaves know each other", func() bool { return len(l.Members()) == len(leaves) })
	}
	talk(t, "small", append(leaves, hub)...)
	frame := frameOf(800_000, "large by 1 ")
	p.stopAfter(1 << 30)
	leaves[0].Broadcast(frame)
	for _, n := range append(leaves[1:len(leaves):len(leaves)], hub) {
		wait(t, "a large frame", func() bool { return n.h.Got(1, frame) })
		if got := n.h.Times(1, frame); got != 1 {
			t.Errorf("node %x got it %d times", n.cfg.PeerID, got)
		}
	}
	if n, _ := p.passed(); n > 5*len(frame)+200_000 {
		t.Errorf("%d bytes crossed the hub's lines for %d to it and to 4 others", n, len(frame))
	}
	testkit.Must(t, leaves[1].Send(3, []byte("for 3"), false))
	wait(t, "a message", func() bool { return leaves[2].h.Got(2, []byte("for 3")) })
	if hub.h.Got(2, []byte("for 3")) {
		t.Error("the hub takes what isn't for it")
	}
	closeAll(t, append(leaves, hub)...)
}

// A circle of routes comes to an end, and a node takes nothing that it has sent itself.
func TestMeshRelayEnds(t *testing.T) {
	leaks(t)
	a := start(t, 0xa, nil)
	b := start(t, 0xb, meshPeers(a.Addr()))
	linked(t, a, b)
	for n, other := range map[*testNode]uint64{a: 0xb, b: 0xa} {
		n.peers.mu.Lock()
		n.peers.relayed[0xc] = hop{hop: other}
		n.peers.mu.Unlock()
	}
	testkit.Must(t, a.Send(0xc, []byte("for c"), false))
	own := relayMessage{source: 0xa, left: 8, targets: []uint64{0xa}, kind: itemFrame, item: []byte("own")}
	a.overlay.hub.receiver.relay(0xb, encodeRelay(&own))
	a.overlay.hub.receiver.relay(0xb, []byte{0xff})
	talk(t, "after that", a, b)
	if a.h.Got(0xa, []byte("own")) {
		t.Error("its own frame came back")
	}
	closeAll(t, a, b)
}

// The connection breaks in the middle of a large frame and comes back: the frame arrives, once, and what
// had arrived of it isn't sent again.
func TestMeshResumesAfterACut(t *testing.T) {
	for name, key := range map[string][]byte{"open": nil, "encrypted": make([]byte, 32)} {
		t.Run(name, func(t *testing.T) {
			leaks(t)
			p := proxyTo(t, "")
			// b has the greatest ID, so that it waits to be dialled.
			b := start(t, 0xd, func(c *Config) { c.Key, c.AdvertiseAddr = key, p.addr() })
			p.lead(b.Addr())
			a := start(t, 0xa, func(c *Config) { c.Key, c.Peers = key, []string{p.addr()} })
			linked(t, a, b)
			frame := frameOf(1_000_000, "large ")
			p.stopAfter(600_000)
			a.Broadcast(frame)
			wait(t, "the proxy stops", func() bool { _, stopped := p.passed(); return stopped })
			has := 0
			wait(t, "what has come is there", func() bool {
				before := has
				_, has = b.peers.lineTo(0xa).has()
				return has > 400_000 && has == before
			})
			p.refuse(true)
			p.resume()
			wait(t, "Left on both sides", func() bool { return a.h.Count("-d") == 1 && b.h.Count("-a") == 1 })
			p.stopAfter(1 << 30)
			p.refuse(false)
			wait(t, "the frame", func() bool { return b.h.Got(0xa, frame) })
			if n, most := 0, len(frame)-has+50_000; true {
				if n, _ = p.passed(); n > most || b.h.Times(0xa, frame) != 1 {
					t.Errorf("%d bytes had arrived, %d were sent after the cut; it came %d times", has, n,
						b.h.Times(0xa, frame))
				}
			}
			talk(t, "again", a, b)
			closeAll(t, a, b)
		})
	}
}

// Of a node that doesn't come back nothing is kept, and of others not too much.
func TestMeshRests(t *testing.T) {
	rests := newLineRests()
	begin := time.Now()
	for id := range uint64(3 * restMost) {
		rests.keep(id+1, lineRest{origin: id, at: begin.Add(time.Duration(id) * time.Second / 10)})
	}
	if _, ok := rests.byID[3*restMost]; len(rests.byID) != restMost || !ok {
		t.Errorf("%d are kept, the last %v", len(rests.byID), ok)
	}
	rests.expire(begin.Add(restFor + time.Minute))
	if len(rests.byID) > 0 {
		t.Error(fmt.Sprint(len(rests.byID), " are kept for ever"))
	}
}
