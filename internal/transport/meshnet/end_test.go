package meshnet

import (
	"bytes"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/transport"
	"github.com/weaveworks/mesh"
)

// stuck stops a node, overloads the connection that a has with it, disconnects, and
// has the node go on. Meanwhile c gets what a broadcasts.
func stuck(t *testing.T, a, c *testNode, stuck uint64, stop, resume func()) {
	t.Helper()
	before := meshHeap()
	stop()
	unicast := make([]byte, 1<<20)
	for a.Send(stuck, unicast, false) == nil {
	}
	frames := 4 * a.cfg.MaxPending >> 20
	var slowest, latest time.Duration
	for i := range frames {
		frame := make([]byte, 1<<20)
		copy(frame, fmt.Sprintf("frame %9d ", i))
		begin := time.Now()
		a.Broadcast(frame)
		slowest = max(slowest, time.Since(begin))
		wait(t, "c gets a broadcast", func() bool { return c.h.Got(a.cfg.PeerID, frame) })
		latest = max(latest, time.Since(begin))
	}
	if slowest > 500*time.Millisecond || latest > 2*time.Second {
		t.Errorf("a Broadcast took %v, and arrived after %v", slowest, latest)
	}
	grown := meshHeap() - before
	if most := a.cfg.MaxPending + 24<<20; grown > most {
		t.Errorf("%d MiB are kept for the peer", grown>>20)
	}
	blockActor(t, a, stuck)
	queued := a.waits(stuck)
	if queued == 0 || a.h.Count("-") > 0 {
		t.Fatalf("%d bytes are queued, a was told %v", queued, a.h.Events)
	}

	begin := time.Now()
	a.Disconnect(stuck)
	a.Disconnect(stuck)
	call := time.Since(begin)
	gone := fmt.Sprintf("-%x", stuck)
	wait(t, "Left", func() bool { return a.h.Count(gone) == 1 })
	left := time.Since(begin)
	if call > 50*time.Millisecond || left > time.Second {
		t.Errorf("Disconnect took %v, Left came after %v", call, left)
	}
	wait(t, "the line and its worker are gone", func() bool { return a.peers.lineTo(stuck) == nil })
	kept := meshHeap() - before
	if kept > a.cfg.MaxPending {
		t.Errorf("%d MiB are still kept", kept>>20)
	}
	talk(t, "meanwhile", a, c)

	begin = time.Now()
	resume()
	again := fmt.Sprintf("+%x", stuck)
	wait(t, "Joined again", func() bool { return a.h.Count(again) == 2 })
	back := time.Since(begin)
	if back > 5*time.Second {
		t.Errorf("the peer was back after %v", back)
	}
	t.Logf("Broadcast took at most %v and arrived after %v; %d MiB pending, %d MiB later; "+
		"Left after %v, back after %v",
		slowest, latest, grown>>20, kept>>20, left, back)
}

// meshHeap is what is in use.
func meshHeap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// blockActor has mesh send heartbeats, as many as it can, until the connection takes no more and one is
// stuck: it is still there whenever one looks.
func blockActor(t *testing.T, n *testNode, peer uint64) {
	t.Helper()
	conn, ok := n.router.run.Load().router.Ourself.ConnectionTo(mesh.PeerName(peer))
	if !ok {
		t.Fatal("no connection")
	}
	f, err := field(conn, "heartbeatTCP", reflect.TypeFor[*time.Ticker]())
	if err != nil {
		t.Fatal(err)
	}
	f.Interface().(*time.Ticker).Reset(time.Microsecond)
	buf, seen := make([]byte, 1<<20), 0
	wait(t, "the actor is stuck", func() bool {
		if seen++; !strings.Contains(string(buf[:runtime.Stack(buf, true)]), "sendSimpleProtocolMsg") {
			seen = 0
		}
		return seen == 10
	})
}

func TestMeshDisconnectStuck(t *testing.T) {
	for name, key := range map[string][]byte{"open": nil, "encrypted": bytes.Repeat([]byte{7}, 32)} {
		t.Run(name, func(t *testing.T) {
			leaks(t)
			p := proxyTo(t, "")
			// b has the greatest ID, so that it waits to be dialled.
			b := start(t, 0xd, func(c *Config) { c.Key, c.AdvertiseAddr = key, p.addr() })
			p.lead(b.Addr())
			a := start(t, 0xa, func(c *Config) {
				c.Key, c.Peers, c.MaxPending = key, []string{p.addr()}, 8<<20
			})
			c := start(t, 0xc, func(c *Config) { c.Key, c.Peers = key, []string{a.Addr(), p.addr()} })
			linked(t, a, b, c)
			for _, m := range b.Members() {
				if !m.Inbound {
					t.Fatalf("b has passed the proxy by: %+v", m)
				}
			}
			stuck(t, a, c, 0xd, p.stop, p.resume)
			wait(t, "b was told too", func() bool { return b.h.Count("-a") == 1 && b.h.Count("+a") == 2 })
			talk(t, "after that", a, b, c)
			closeAll(t, a, b, c)
		})
	}
}

// A connection that is fine ends too, on both sides, and is there again soon.
func TestMeshDisconnect(t *testing.T) {
	leaks(t)
	a := meshNew(t, 0xa, nil)
	a.Disconnect(0xb) // before Start
	if err := a.Start(transport.Node{}, a.h); err != nil {
		t.Fatal(err)
	}
	b := start(t, 0xb, meshPeers(a.Addr()))
	c := start(t, 0xc, meshPeers(a.Addr()))
	linked(t, a, b, c)
	b.Disconnect(0xb)
	b.Disconnect(0xdead)
	begin := time.Now()
	b.Disconnect(0xa)
	wait(t, "Left and Joined on both sides", func() bool {
		return a.h.Count("-b") == 1 && a.h.Count("+b") == 2 && b.h.Count("-a") == 1 && b.h.Count("+a") == 2
	})
	t.Logf("back after %v", time.Since(begin))
	if a.h.Count("-c")+b.h.Count("-c") > 0 || c.h.Count("-") > 0 {
		t.Error("c was disconnected")
	}
	talk(t, "again", a, b, c)
	closeAll(t, a, b, c)
	a.Disconnect(0xb) // after Close
}

// What waits dies with its connection, and with no other.
func TestMeshQueueDiesWithItsConnection(t *testing.T) {
	n := meshNew(t, 0xa, nil)
	conn := func() *meshConn {
		c := &meshConn{
			hub: n.overlay.hub, greeting: greeting{peer: 0xb},
			done: make(chan struct{}), errs: make(chan error, 1),
		}
		c.line = newMeshLine(c.write, func(func()) {}, c.done, n.count, &n.overlay.transfers, maxPending)
		return c
	}
	used, spare := conn(), conn()
	testkit.Must(t, used.line.push(lineItem{kind: itemFrame, bytes: []byte("data"), own: true}, laneFirst))
	testkit.Must(t, used.line.push(lineItem{kind: itemMember, bytes: []byte("ping")}, laneFirst))
	n.peers.byID[0xb] = &meshPeer{conns: []*meshConn{used, spare}, joined: used}
	spare.drop()
	if used.line.queue.bytes != 8 {
		t.Errorf("another connection has ended: %d bytes", used.line.queue.bytes)
	}
	used.drop()
	if used.line.queue.bytes != 0 || n.Stats().DroppedFrames != 1 {
		t.Errorf("%d bytes, %d dropped", used.line.queue.bytes, n.Stats().DroppedFrames)
	}
}

// waits returns how many bytes wait for a node.
func (n *testNode) waits(peer uint64) int {
	l := n.peers.lineTo(peer)
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queue.bytes
}
