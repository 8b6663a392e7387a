package meshnet

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/transport"
)

// merged waits until all nodes are connected, which takes the dials of every peer 3
// seconds at most, and says how long it took.
func merged(t *testing.T, nodes ...*testNode) {
	t.Helper()
	begin := time.Now()
	linked(t, nodes...)
	took := time.Since(begin)
	if took > dialMost+2*time.Second {
		t.Errorf("merged after %v", took)
	}
	t.Logf("merged after %v", took)
	talk(t, fmt.Sprint("merged ", begin), nodes...)
}

// Two pairs of nodes: a node of one knows an address of the other, which can't be
// reached for a while.
func TestMeshIslandsMeetByOneAddress(t *testing.T) {
	leaks(t)
	a := start(t, 0xa, nil)
	b := start(t, 0xb, meshPeers(a.Addr()))
	bridge := proxyTo(t, a.Addr())
	bridge.refuse(true)
	c := start(t, 0xc, nil)
	d := start(t, 0xd, meshPeers(c.Addr(), bridge.addr()))
	linked(t, a, b)
	linked(t, c, d)
	stays(t, "two islands", time.Second, func() bool {
		return len(a.Members()) == 1 && len(d.Members()) == 1
	})
	bridge.refuse(false)
	merged(t, a, b, c, d)
	closeAll(t, a, b, c, d)
}

// Two pairs of nodes that were connected, and know each other only from that.
func TestMeshIslandsMeetAgain(t *testing.T) {
	leaks(t)
	var proxies []*proxy
	var nodes []*testNode
	for i := range 4 {
		p := proxyTo(t, "") // what others learn is its address
		n := start(t, uint64(i+1), func(c *Config) {
			c.AdvertiseAddr = p.addr()
			if i%2 == 1 {
				c.Peers = []string{nodes[i-1].Addr()}
			}
		})
		p.lead(n.Addr())
		if i%2 == 1 {
			linked(t, nodes[i-1], n)
		}
		proxies, nodes = append(proxies, p), append(nodes, n)
	}
	introducer := start(t, 0xf, meshPeers(nodes[0].Addr(), nodes[2].Addr()))
	linked(t, append(nodes, introducer)...)
	closeAll(t, introducer)
	for _, n := range nodes {
		wait(t, "the introducer is gone", func() bool { return len(n.Members()) == 3 })
	}

	for _, p := range proxies {
		p.refuse(true)
	}
	apart := func() bool {
		for _, n := range nodes {
			if len(n.direct()) != 1 {
				return false
			}
		}
		return true
	}
	wait(t, "two islands", apart)
	stays(t, "two islands", time.Second, apart)
	for _, p := range proxies {
		p.refuse(false)
	}
	merged(t, nodes...)
	for i, n := range nodes {
		if own := fmt.Sprintf("-%x", nodes[i^1].cfg.PeerID); n.h.Count(own) > 0 {
			t.Errorf("node %x lost the node of its own island", n.cfg.PeerID)
		}
	}
	closeAll(t, nodes...)
}

// A name stands for nothing, then for one node, then for another one.
func TestMeshNameIsResolvedAgain(t *testing.T) {
	leaks(t)
	b := start(t, 0xb, nil)
	_, port, err := net.SplitHostPort(b.Addr())
	testkit.Must(t, err)
	var names names
	a := start(t, 0xa, func(c *Config) {
		c.Resolve, c.Peers = names.resolve, []string{"node:" + port}
	})
	wait(t, "a asks", func() bool { return names.count() == 1 })
	names.set("node", "127.0.0.1")
	begin := time.Now()
	linked(t, a, b)
	if took := time.Since(begin); took > dialRound+time.Second {
		t.Errorf("connected after %v", took)
	}
	names.set("node", "127.0.0.2") // the same port, another node
	c := meshNew(t, 0xc, func(c *Config) { c.ListenAddr = "127.0.0.2:" + port })
	if err := c.Start(transport.Node{}, c.h); err != nil {
		t.Skipf("no second address here: %v", err)
	}
	a.resolver.resolveNow() // it would in 3 seconds, as before
	linked(t, a, b, c)
	closeAll(t, a, b, c)
}
