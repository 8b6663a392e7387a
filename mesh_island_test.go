package bcache

import (
	"fmt"
	"net"
	"testing"
	"time"
)

// meshMerged waits until all nodes are connected, which takes the dials of every peer 3
// seconds at most, and says how long it took.
func meshMerged(t *testing.T, nodes ...*meshTestNode) {
	t.Helper()
	begin := time.Now()
	meshLinked(t, nodes...)
	took := time.Since(begin)
	if took > dialMost+2*time.Second {
		t.Errorf("merged after %v", took)
	}
	t.Logf("merged after %v", took)
	meshTalk(t, fmt.Sprint("merged ", begin), nodes...)
}

// Two pairs of nodes: a node of one knows an address of the other, which can't be
// reached for a while.
func TestMeshIslandsMeetByOneAddress(t *testing.T) {
	meshLeaks(t)
	a := meshStart(t, 0xa, nil)
	b := meshStart(t, 0xb, meshPeers(a.Addr()))
	bridge := meshProxyTo(t, a.Addr())
	bridge.refuse(true)
	c := meshStart(t, 0xc, nil)
	d := meshStart(t, 0xd, meshPeers(c.Addr(), bridge.addr()))
	meshLinked(t, a, b)
	meshLinked(t, c, d)
	meshStays(t, "two islands", time.Second, func() bool {
		return len(a.Members()) == 1 && len(d.Members()) == 1
	})
	bridge.refuse(false)
	meshMerged(t, a, b, c, d)
	meshCloseAll(t, a, b, c, d)
}

// Two pairs of nodes that were connected, and know each other only from that.
func TestMeshIslandsMeetAgain(t *testing.T) {
	meshLeaks(t)
	var proxies []*meshProxy
	var nodes []*meshTestNode
	for i := range 4 {
		p := meshProxyTo(t, "") // what others learn is its address
		n := meshStart(t, uint64(i+1), func(c *meshConfig) {
			c.AdvertiseAddr = p.addr()
			if i%2 == 1 {
				c.Peers = []string{nodes[i-1].Addr()}
			}
		})
		p.lead(n.Addr())
		if i%2 == 1 {
			meshLinked(t, nodes[i-1], n)
		}
		proxies, nodes = append(proxies, p), append(nodes, n)
	}
	introducer := meshStart(t, 0xf, meshPeers(nodes[0].Addr(), nodes[2].Addr()))
	meshLinked(t, append(nodes, introducer)...)
	meshCloseAll(t, introducer)
	for _, n := range nodes {
		meshWait(t, "the introducer is gone", func() bool { return len(n.Members()) == 3 })
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
	meshWait(t, "two islands", apart)
	meshStays(t, "two islands", time.Second, apart)
	for _, p := range proxies {
		p.refuse(false)
	}
	meshMerged(t, nodes...)
	for i, n := range nodes {
		if own := fmt.Sprintf("-%x", nodes[i^1].cfg.PeerID); n.h.count(own) > 0 {
			t.Errorf("node %x lost the node of its own island", n.cfg.PeerID)
		}
	}
	meshCloseAll(t, nodes...)
}

// A name stands for nothing, then for one node, then for another one.
func TestMeshNameIsResolvedAgain(t *testing.T) {
	meshLeaks(t)
	b := meshStart(t, 0xb, nil)
	_, port, err := net.SplitHostPort(b.Addr())
	must(t, err)
	var names meshNames
	a := meshStart(t, 0xa, func(c *meshConfig) {
		c.Resolve, c.Peers = names.resolve, []string{"node:" + port}
	})
	meshWait(t, "a asks", func() bool { return names.count() == 1 })
	names.set("node", "127.0.0.1")
	begin := time.Now()
	meshLinked(t, a, b)
	if took := time.Since(begin); took > dialRound+time.Second {
		t.Errorf("connected after %v", took)
	}
	names.set("node", "127.0.0.2") // the same port, another node
	c := meshNew(t, 0xc, func(c *meshConfig) { c.ListenAddr = "127.0.0.2:" + port })
	if err := c.Start(c.h); err != nil {
		t.Skipf("no second address here: %v", err)
	}
	a.resolver.resolveNow() // it would in 3 seconds, as before
	meshLinked(t, a, b, c)
	meshCloseAll(t, a, b, c)
}
