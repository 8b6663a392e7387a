package meshnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/weaveworks/mesh"
)

// Nodes that all list each other and start at once are connected once, and for good.
func TestMeshAllAtOnce(t *testing.T) {
	leaks(t)
	const n = 12
	nodes := mutual(t, n)
	for _, node := range nodes {
		if joined, left := node.h.Count("+"), node.h.Count("-"); joined != n-1 || left > 0 {
			t.Errorf("node %x: %d joined, %d left", node.cfg.PeerID, joined, left)
		}
	}
	talk(t, "all", nodes[0], nodes[n/2], nodes[n-1])
	closeAll(t, nodes...)
}

// Of two connections that crossed, the smaller ID keeps the first one. The greater ID takes
// the second one if the first one ends, and not otherwise.
func TestMeshCrossing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := &meshConn{done: make(chan struct{})}
		smaller, greater := meshMake(t, 0xa, nil), meshMake(t, 0xb, nil)
		begin := time.Now()
		err := smaller.overlay.admission.judgeCrossing(&meshConn{greeting: greeting{peer: 0xb}}, first)
		if took := time.Since(begin); !errors.Is(err, errMeshHave) || took > 0 {
			t.Errorf("the smaller ID says %v after %v", err, took)
		}
		second := &meshConn{greeting: greeting{peer: 0xa}}
		if err := greater.overlay.admission.judgeCrossing(second, first); !errors.Is(err, errMeshHave) {
			t.Errorf("while the first one lives, the greater ID says %v", err)
		}
		time.AfterFunc(crossing/2, func() { close(first.done) })
		if err := greater.overlay.admission.judgeCrossing(second, first); err != nil {
			t.Errorf("when the first one has ended, the greater ID says %v", err)
		}
	})
}

// A connection in use stays, whoever has dialled it, when another one comes just after it.
func TestMeshSecondDial(t *testing.T) {
	leaks(t)
	a := start(t, 0xa, nil)
	b := start(t, 0xb, nil)
	testkit.Must(t, b.dials.hand(netip.MustParseAddrPort(a.Addr())))
	linked(t, a, b)
	if err := a.dials.hand(netip.MustParseAddrPort(b.Addr())); !errors.Is(err, errMeshHave) {
		t.Errorf("a second connection: %v", err)
	}
	talk(t, "still", a, b)
	if a.h.Count("-")+b.h.Count("-") > 0 {
		t.Errorf("the first connection has ended: %v, %v", a.h.Events, b.h.Events)
	}
	closeAll(t, a, b)
}

// A node that mesh has heard of by others isn't asked who it is when it connects: it would
// answer over the connection that waits to be admitted. Another life of it is.
func TestMeshMeetsWhoItHeardOf(t *testing.T) {
	leaks(t)
	between := start(t, 0xf, nil)
	aside := func(c *Config) { c.AdvertiseAddr, c.Peers = "127.0.0.1:1", []string{between.Addr()} }
	a, b := start(t, 0xa, aside), start(t, 0xb, aside)
	heard := func(life *mesh.Router) bool {
		return a.router.run.Load().heardOf(mesh.OverlayConnectionParams{
			RemotePeer: a.router.run.Load().router.Peers.Fetch(0xb),
			Features:   map[string]string{"UID": fmt.Sprint(uint64(life.Ourself.UID))},
		})
	}
	wait(t, "a hears of b", func() bool {
		return a.router.run.Load().router.Peers.Fetch(0xb) != nil && heard(b.router.run.Load().router)
	})
	if heard(between.router.run.Load().router) {
		t.Error("another life passes as b")
	}
	judge := func(g greeting) error {
		return a.overlay.admission.judgeRelayed(&meshConn{greeting: g})
	}
	const other = 0xb02
	wait(t, "another one is refused", func() bool {
		err := judge(greeting{peer: 0xb, origin: other})
		return err != nil && strings.Contains(err.Error(), "in use")
	})
	if err := judge(greeting{peer: 0xb, origin: other, heard: true}); err != nil {
		t.Errorf("the one it heard of: %v", err)
	}
	closeAll(t, a, b, between)
}

// While a dial waits for an answer, the node may have come by itself.
func TestMeshDialIsTooLate(t *testing.T) {
	leaks(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	testkit.Must(t, err)
	defer l.Close()
	var dials atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			dials.Add(1)
			_, _ = c.Write([]byte(mesh.Protocol))
			c.Close()
		}
	}()
	ap := netip.MustParseAddrPort(l.Addr().String())
	n := start(t, 0xa, nil)
	for _, came := range []bool{true, false} {
		n.targets.mu.Lock()
		n.targets.byAddr[ap] = &dialTarget{configured: true, peer: 0xb, busy: true}
		n.targets.mu.Unlock()
		n.peers.mu.Lock()
		if came {
			n.peers.byID[0xb] = &meshPeer{conns: []*meshConn{{}}}
		} else {
			delete(n.peers.byID, 0xb)
		}
		n.peers.mu.Unlock()
		before := dials.Load()
		n.dials.dial(ap, true)
		if got, want := dials.Load()-before, map[bool]int64{true: 1, false: 2}[came]; got != want {
			t.Errorf("came: %v, %d connections", came, got)
		}
	}
	closeAll(t, n)
}

// The more addresses there are, the more their first dials are spread.
func TestMeshFirstDials(t *testing.T) {
	n := meshMake(t, 0xb, nil)
	longest := func(from dialName, throng int) (d time.Duration) {
		for range 200 {
			d = max(d, time.Until(n.targets.firstDial(from, throng)))
		}
		return d
	}
	if d := longest(dialName{configured: true}, 1); d > 2*dialSpread {
		t.Errorf("a single address waits for %v", d)
	}
	if d := longest(dialName{configured: true}, 100); d < 50*dialSpread || d > 101*dialSpread {
		t.Errorf("100 addresses wait for up to %v", d)
	}
	if d := longest(dialName{peer: 0xa}, 1); d < time.Second/2 {
		t.Errorf("the greater ID waits for %v", d)
	}
}

// A connection is reset in the middle of a write: the worker that is stuck in it ends, and
// what is queued is freed.
func TestMeshResetInAWrite(t *testing.T) {
	leaks(t)
	p := proxyTo(t, "")
	b := start(t, 0xd, func(c *Config) { c.AdvertiseAddr = p.addr() })
	p.lead(b.Addr())
	a := start(t, 0xa, meshPeers(p.addr()))
	linked(t, a, b)
	p.stop()
	frame := make([]byte, 1<<20)
	for a.Send(0xd, frame, false) == nil {
	}
	for i := range 3 {
		a.Broadcast([]byte(fmt.Sprint("lost ", i)))
	}
	p.refuse(true)
	begin := time.Now()
	wait(t, "Left, and nothing is queued", func() bool {
		return a.h.Count("-d") == 1 && a.peers.lineTo(0xd) == nil
	})
	t.Logf("gone after %v", time.Since(begin))
	p.resume()
	p.refuse(false)
	linked(t, a, b)
	talk(t, "again", a, b)
	closeAll(t, a, b)
}
