package bcache

import (
	"fmt"
	"reflect"
	"testing"
	"time"
)

// While mesh's routes are being calculated, connected nodes reach each other.
func TestMeshFramesDontWaitForRoutes(t *testing.T) {
	meshLeaks(t)
	a := meshStart(t, 0xa, nil)
	b := meshStart(t, 0xb, meshPeers(a.Addr()))
	meshLinked(t, a, b)
	release := make(chan struct{})
	for _, n := range []*meshTestNode{a, b} {
		blocked := make(chan struct{})
		run := n.router.run.Load()
		go run.guts.routes.Send(reflect.ValueOf(func() {
			close(blocked)
			<-release
		}).Convert(run.guts.routes.Type().Elem()))
		<-blocked
	}
	meshTalk(t, "meanwhile", a, b)
	must(t, a.Send(0xb, []byte("for b"), false))
	meshWait(t, "a message", func() bool { return b.h.got(0xa, []byte("for b")) })
	close(release)
	meshCloseAll(t, a, b)
}

// Nodes that only one in the middle connects reach each other by it, in whatever size, and what is
// broadcast crosses each line once.
func TestMeshRelays(t *testing.T) {
	meshLeaks(t)
	hub := meshStart(t, 0xf, nil)
	p := meshProxyTo(t, hub.Addr())
	var leaves []*meshTestNode
	for id := range uint64(5) {
		leaves = append(leaves, meshStart(t, id+1, func(c *meshConfig) {
			c.AdvertiseAddr, c.Peers = "127.0.0.1:1", []string{p.addr()}
		}))
	}
	for _, l := range leaves {
		meshWait(t, "all leaves know each other", func() bool { return len(l.Members()) == len(leaves) })
	}
	meshTalk(t, "small", append(leaves, hub)...)
	frame := frameOf(800_000, "large by 1 ")
	p.stopAfter(1 << 30)
	leaves[0].Broadcast(frame)
	for _, n := range append(leaves[1:len(leaves):len(leaves)], hub) {
		meshWait(t, "a large frame", func() bool { return n.h.got(1, frame) })
		if got := n.h.times(1, frame); got != 1 {
			t.Errorf("node %x got it %d times", n.cfg.PeerID, got)
		}
	}
	if n, _ := p.passed(); n > 5*len(frame)+200_000 {
		t.Errorf("%d bytes crossed the hub's lines for %d to it and to 4 others", n, len(frame))
	}
	must(t, leaves[1].Send(3, []byte("for 3"), false))
	meshWait(t, "a message", func() bool { return leaves[2].h.got(2, []byte("for 3")) })
	if hub.h.got(2, []byte("for 3")) {
		t.Error("the hub takes what isn't for it")
	}
	meshCloseAll(t, append(leaves, hub)...)
}

// times returns how often a frame has come.
func (h *meshHandler) times(from uint64, frame []byte) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.frames[meshFrameKey(from, frame)]
}

// A circle of routes comes to an end, and a node takes nothing that it has sent itself.
func TestMeshRelayEnds(t *testing.T) {
	meshLeaks(t)
	a := meshStart(t, 0xa, nil)
	b := meshStart(t, 0xb, meshPeers(a.Addr()))
	meshLinked(t, a, b)
	for n, other := range map[*meshTestNode]uint64{a: 0xb, b: 0xa} {
		n.peers.mu.Lock()
		n.peers.relayed[0xc] = meshHop{hop: other}
		n.peers.mu.Unlock()
	}
	must(t, a.Send(0xc, []byte("for c"), false))
	own := relayMessage{source: 0xa, left: 8, targets: []uint64{0xa}, kind: itemFrame, item: []byte("own")}
	a.overlay.hub.receiver.relay(0xb, encodeRelay(&own))
	a.overlay.hub.receiver.relay(0xb, []byte{0xff})
	meshTalk(t, "after that", a, b)
	if a.h.got(0xa, []byte("own")) {
		t.Error("its own frame came back")
	}
	meshCloseAll(t, a, b)
}

// The connection breaks in the middle of a large frame and comes back: the frame arrives, once, and what
// had arrived of it isn't sent again.
func TestMeshResumesAfterACut(t *testing.T) {
	for name, key := range map[string][]byte{"open": nil, "encrypted": make([]byte, 32)} {
		t.Run(name, func(t *testing.T) {
			meshLeaks(t)
			p := meshProxyTo(t, "")
			// b has the greatest ID, so that it waits to be dialled.
			b := meshStart(t, 0xd, func(c *meshConfig) { c.Key, c.AdvertiseAddr = key, p.addr() })
			p.lead(b.Addr())
			a := meshStart(t, 0xa, func(c *meshConfig) { c.Key, c.Peers = key, []string{p.addr()} })
			meshLinked(t, a, b)
			frame := frameOf(1_000_000, "large ")
			p.stopAfter(600_000)
			a.Broadcast(frame)
			meshWait(t, "the proxy stops", func() bool { _, stopped := p.passed(); return stopped })
			has := 0
			meshWait(t, "what has come is there", func() bool {
				before := has
				_, has = b.peers.lineTo(0xa).has()
				return has > 400_000 && has == before
			})
			p.refuse(true)
			p.resume()
			meshWait(t, "Left on both sides", func() bool { return a.h.count("-d") == 1 && b.h.count("-a") == 1 })
			p.stopAfter(1 << 30)
			p.refuse(false)
			meshWait(t, "the frame", func() bool { return b.h.got(0xa, frame) })
			if n, most := 0, len(frame)-has+50_000; true {
				if n, _ = p.passed(); n > most || b.h.times(0xa, frame) != 1 {
					t.Errorf("%d bytes had arrived, %d were sent after the cut; it came %d times", has, n,
						b.h.times(0xa, frame))
				}
			}
			meshTalk(t, "again", a, b)
			meshCloseAll(t, a, b)
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
