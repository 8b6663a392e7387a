package bcache

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// meshRefused checks that a and b never join, while a keeps its peer ok, and that the
// logs of both name the reason.
func meshRefused(t *testing.T, a, b *meshTestNode, reason string) {
	t.Helper()
	for _, n := range []*meshTestNode{a, b} {
		meshWait(t, fmt.Sprintf("node %x logs %q", n.cfg.PeerID, reason), func() bool {
			return n.log.count("E", reason) > 0
		})
	}
	if b.h.count("+") > 0 || b.h.numFrames() > 0 {
		t.Errorf("b got in: %v", b.h.events)
	}
	if n := a.log.count("E", "") + b.log.count("E", ""); n > 6 {
		t.Errorf("%d error lines", n)
	}
}

func TestMeshRefusals(t *testing.T) {
	key := bytes.Repeat([]byte{7}, 32)
	named := func(cluster string) func(*meshConfig) {
		return func(c *meshConfig) { c.ClusterName = cluster }
	}
	keyed := func(key []byte) func(*meshConfig) {
		return func(c *meshConfig) { c.Key = key }
	}
	ahead := func(d time.Duration) func(*meshConfig) {
		return func(c *meshConfig) { c.Now = func() time.Time { return time.Now().Add(d) } }
	}
	tests := map[string]struct {
		a, b   func(*meshConfig)
		reason string
		skew   bool
	}{
		"cluster":      {nil, named("other"), "cluster names differ: ", false},
		"wrong secret": {keyed(key), keyed(bytes.Repeat([]byte{8}, 32)), "its Secret differs", false},
		"no secret":    {keyed(key), nil, "Secret, this node has", false},
		"no secret 2":  {nil, keyed(key), "Secret, this node has", false},
		"b ahead":      {nil, ahead(time.Minute), "clocks differ by more than 500ms", true},
		"b behind":     {nil, ahead(-time.Second), "clocks differ by more than 500ms", true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			meshLeaks(t)
			a := meshStart(t, 0xa, test.a)
			ok := meshStart(t, 0xc, func(c *meshConfig) {
				if test.a != nil {
					test.a(c)
				}
				c.Peers = []string{a.Addr()}
			})
			meshLinked(t, a, ok)
			b := meshStart(t, 0xb, func(c *meshConfig) {
				if test.b != nil {
					test.b(c)
				}
				c.Peers = []string{a.Addr()}
			})
			a.Broadcast([]byte("secret"))
			if strings.Contains(test.reason, "Secret") {
				// Whoever finds out hangs up, and the other side may only see that.
				meshRefused(t, a, b, "Secret")
				meshWait(t, "somebody says "+test.reason, func() bool {
					return a.log.count("E", test.reason)+b.log.count("E", test.reason) > 0
				})
			} else {
				meshRefused(t, a, b, test.reason)
			}
			sa, sb := a.Stats(), b.Stats()
			if test.skew && sa.refusedSkew+sb.refusedSkew == 0 ||
				!test.skew && sa.refusedOther+sb.refusedOther == 0 {
				t.Errorf("stats %+v, %+v", sa, sb)
			}
			meshTalk(t, "still", a, ok)
			meshCloseAll(t, a, b, ok)
		})
	}
}

func TestMeshClockDiffers(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	at := func(d time.Duration) time.Time { return now.Add(d) }
	const bound = 500 * time.Millisecond
	tests := []struct {
		name     string
		clock    time.Duration
		waited   time.Duration
		outbound bool
		want     bool
	}{
		{"equal", 0, 0, true, false},
		{"ahead", 600 * time.Millisecond, 0, true, true},
		{"ahead, it dialled", 600 * time.Millisecond, 0, false, true},
		{"behind", -600 * time.Millisecond, 0, true, true},
		{"behind, or it waited: the other side knows", -600 * time.Millisecond, 0, false, false},
		{"behind, or it waited long to be accepted", -600 * time.Millisecond, time.Second, true, false},
		{"behind by more than it waited", -1600 * time.Millisecond, time.Second, true, true},
		{"ahead, though it waited", 600 * time.Millisecond, time.Second, true, true},
		{"at the bound", bound, 0, true, false},
		{"cut to milliseconds", -bound - 999*time.Microsecond, 0, true, false},
	}
	for _, test := range tests {
		if got := clockDiffers(at(test.clock), at(-test.waited), now, test.outbound, bound); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

// A second holder of a PeerID is refused by whoever knows the first one.
func TestMeshDuplicatePeerID(t *testing.T) {
	for _, relayed := range []bool{false, true} {
		t.Run(fmt.Sprintf("relayed=%v", relayed), func(t *testing.T) {
			meshLeaks(t)
			a := meshStart(t, 0xa, nil)
			c := meshStart(t, 0xc, meshPeers(a.Addr()))
			// Without an address that others can dial, the holder stays behind c.
			holder := meshStart(t, 0xb, func(cfg *meshConfig) {
				cfg.Peers = []string{a.Addr()}
				if relayed {
					cfg.AdvertiseAddr, cfg.Peers = "127.0.0.1:1", []string{c.Addr()}
					cfg.MaxConns = 1
				}
			})
			if relayed {
				meshWait(t, "a knows b by c", func() bool { return len(a.Members()) == 2 })
			} else {
				meshLinked(t, a, c, holder)
			}
			second := meshStart(t, 0xb, func(cfg *meshConfig) {
				cfg.Origin, cfg.Peers = 0xb02, []string{a.Addr()}
			})
			meshWait(t, "a refuses", func() bool { return a.log.count("E", "PeerID b is in use") > 0 })
			meshWait(t, "the second learns why", func() bool {
				return second.log.count("E", "PeerID b is in use") > 0
			})
			meshTalk(t, "still", a, c, holder)
			refused := a.Stats().refusedOther
			meshStays(t, "dials back off", 3*time.Second, func() bool {
				return a.Stats().refusedOther <= refused+5
			})
			if a.h.count("+b/b02") > 0 || second.h.count("+") > 0 {
				t.Error("the second joined")
			}
			meshCloseAll(t, second, holder, a, c)
		})
	}
}

// The second one dials the first one itself.
func TestMeshDuplicateDialsHolder(t *testing.T) {
	meshLeaks(t)
	a := meshStart(t, 0xa, nil)
	b := meshStart(t, 0xa, func(c *meshConfig) { c.Origin = 0xa02; c.Peers = []string{a.Addr()} })
	meshRefused(t, a, b, "another node uses the PeerID of this one, a")
	meshCloseAll(t, a, b)
}

// The second one replaces a first one that is gone, or that doesn't answer.
func TestMeshReplacedPeerID(t *testing.T) {
	meshLeaks(t)
	a := meshStart(t, 0xa, nil)
	block := make(chan struct{})
	old := meshStart(t, 0xb, meshPeers(a.Addr()))
	meshLinked(t, a, old)
	old.h.on = func(uint64, []byte) { <-block } // holds up what it receives: it answers nothing
	a.Broadcast([]byte("stuck"))
	meshWait(t, "stuck", func() bool { return old.h.numFrames() == 1 })

	second := meshStart(t, 0xb, func(c *meshConfig) { c.Origin, c.Peers = 0xb02, []string{a.Addr()} })
	meshWait(t, "a took the second", func() bool { return a.h.count("+b/b02") == 1 })
	if a.h.count("-b") != 1 {
		t.Errorf("events %v", a.h.events)
	}
	meshTalk(t, "second", a, second)
	close(block)
	meshCloseAll(t, old, second, a)
}

func TestMeshOwnAddress(t *testing.T) {
	meshLeaks(t)
	addr := meshFreeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	proxy, err := net.Listen("tcp", "127.0.0.1:0") // leads here, under another address
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	var dials atomic.Int64
	go meshForward(proxy, addr, &dials)

	a := meshStart(t, 0xa, func(c *meshConfig) {
		c.ListenAddr = addr
		c.Peers = []string{addr, "localhost:" + port, proxy.Addr().String()}
	})
	b := meshStart(t, 0xb, func(c *meshConfig) { c.Peers = []string{addr}; c.ListenAddr = ":0" })
	meshLinked(t, a, b)
	meshWait(t, "it met itself", func() bool {
		a.targets.mu.Lock()
		defer a.targets.mu.Unlock()
		g := a.targets.byAddr[proxy.Addr().(*net.TCPAddr).AddrPort()]
		return g != nil && g.own()
	})
	meshTalk(t, "own", a, b)
	before := dials.Load()
	meshStays(t, "no further dials", 4*time.Second, func() bool { return dials.Load() == before })
	if n := a.log.count("E", ""); n > 0 {
		t.Errorf("%d error lines", n)
	}
	meshCloseAll(t, a, b)
}

// meshForward is a TCP proxy.
func meshForward(l net.Listener, to string, count *atomic.Int64) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		count.Add(1)
		out, err := net.Dial("tcp", to)
		if err != nil {
			in.Close()
			continue
		}
		pump := func(dst, src net.Conn) {
			buf := make([]byte, 4096)
			for {
				n, err := src.Read(buf)
				if n > 0 {
					_, _ = dst.Write(buf[:n])
				}
				if err != nil {
					dst.Close()
					src.Close()
					return
				}
			}
		}
		go pump(in, out)
		go pump(out, in)
	}
}

func TestMeshIPv6(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 here: %v", err)
	}
	l.Close()
	meshLeaks(t)
	six := func(c *meshConfig) { c.ListenAddr = "[::1]:0" }
	a := meshStart(t, 0xa, six)
	b := meshStart(t, 0xb, func(c *meshConfig) { six(c); c.Peers = []string{a.Addr()} })
	c := meshStart(t, 0xc, func(c *meshConfig) { c.ListenAddr = ":0"; c.Peers = []string{a.Addr()} })
	meshLinked(t, a, b, c)
	meshTalk(t, "six", a, b, c)
	meshCloseAll(t, a)
	meshTalk(t, "without a", b, c)
	meshCloseAll(t, b, c)
}

func TestMeshGarbage(t *testing.T) {
	meshLeaks(t)
	a := meshStart(t, 0xa, nil)
	b := meshStart(t, 0xb, meshPeers(a.Addr()))
	meshLinked(t, a, b)
	random := make([]byte, 4096)
	for i := range random {
		random[i] = byte(i*i*31 + i>>3)
	}
	half := append([]byte("weave\x01\x02"), 0)
	inputs := [][]byte{random, []byte("weave\x00\x00"), []byte("weave"), half,
		append(half, 0xff, 0xff, 0xff, 0xff), append(half, 0, 0, 0, 4, 1, 2, 3, 4),
		[]byte("GET / HTTP/1.1\r\n\r\n")}
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", a.Addr())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		return c
	}
	for _, in := range inputs {
		if _, err := dial().Write(in); err != nil {
			t.Error(err)
		}
	}
	meshTalk(t, "beside garbage", a, b)
	for range 200 {
		dial()
	}
	meshTalk(t, "beside idle strangers", a, b)
	if a.h.count("-")+b.h.count("-") > 0 {
		t.Error("the connection was lost")
	}
	meshCloseAll(t, a, b)
}

// What answers at a configured address may be anything.
func TestMeshDialsOther(t *testing.T) {
	meshLeaks(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("SSH-2.0-Other\r\n"))
			c.Close()
		}
	}()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, in the kernel, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	a := meshStart(t, 0xa, meshPeers(l.Addr().String(), silent.Addr().String(), "192.0.2.1:7000"))
	b := meshStart(t, 0xb, meshPeers(a.Addr()))
	meshWait(t, "an error", func() bool { return a.log.count("E", "isn't a bcache node") > 0 })
	meshLinked(t, a, b)
	meshTalk(t, "still", a, b)
	meshCloseAll(t, a, b)
	if a.log.count("", "panic") > 0 {
		t.Error("panic")
	}
}
