package meshnet

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// refused checks that a and b never join, while a keeps its peer ok, and that the
// logs of both name the reason.
func refused(t *testing.T, a, b *testNode, reason string) {
	t.Helper()
	for _, n := range []*testNode{a, b} {
		wait(t, fmt.Sprintf("node %x logs %q", n.cfg.PeerID, reason), func() bool {
			return n.log.count("E", reason) > 0
		})
	}
	if b.h.Count("+") > 0 || b.h.NumFrames() > 0 {
		t.Errorf("b got in: %v", b.h.Events)
	}
	if n := a.log.count("E", "") + b.log.count("E", ""); n > 6 {
		t.Errorf("%d error lines", n)
	}
}

func TestMeshRefusals(t *testing.T) {
	key := bytes.Repeat([]byte{7}, 32)
	named := func(cluster string) func(*Config) {
		return func(c *Config) { c.ClusterName = cluster }
	}
	keyed := func(key []byte) func(*Config) {
		return func(c *Config) { c.Key = key }
	}
	ahead := func(d time.Duration) func(*Config) {
		return func(c *Config) { c.Now = func() time.Time { return time.Now().Add(d) } }
	}
	tests := map[string]struct {
		a, b   func(*Config)
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
			leaks(t)
			a := start(t, 0xa, test.a)
			ok := start(t, 0xc, func(c *Config) {
				if test.a != nil {
					test.a(c)
				}
				c.Peers = []string{a.Addr()}
			})
			linked(t, a, ok)
			b := start(t, 0xb, func(c *Config) {
				if test.b != nil {
					test.b(c)
				}
				c.Peers = []string{a.Addr()}
			})
			a.Broadcast([]byte("secret"))
			if strings.Contains(test.reason, "Secret") {
				// Whoever finds out hangs up, and the other side may only see that.
				refused(t, a, b, "Secret")
				wait(t, "somebody says "+test.reason, func() bool {
					return a.log.count("E", test.reason)+b.log.count("E", test.reason) > 0
				})
			} else {
				refused(t, a, b, test.reason)
			}
			sa, sb := a.Stats(), b.Stats()
			if test.skew && sa.RefusedSkew+sb.RefusedSkew == 0 ||
				!test.skew && sa.RefusedOther+sb.RefusedOther == 0 {
				t.Errorf("stats %+v, %+v", sa, sb)
			}
			talk(t, "still", a, ok)
			closeAll(t, a, b, ok)
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
			leaks(t)
			a := start(t, 0xa, nil)
			c := start(t, 0xc, meshPeers(a.Addr()))
			// Without an address that others can dial, the holder stays behind c.
			holder := start(t, 0xb, func(cfg *Config) {
				cfg.Peers = []string{a.Addr()}
				if relayed {
					cfg.AdvertiseAddr, cfg.Peers = "127.0.0.1:1", []string{c.Addr()}
					cfg.MaxConns = 1
				}
			})
			if relayed {
				wait(t, "a knows b by c", func() bool { return len(a.Members()) == 2 })
			} else {
				linked(t, a, c, holder)
			}
			second := start(t, 0xb, func(cfg *Config) {
				cfg.Origin, cfg.Peers = 0xb02, []string{a.Addr()}
			})
			wait(t, "a refuses", func() bool { return a.log.count("E", "PeerID b is in use") > 0 })
			wait(t, "the second learns why", func() bool {
				return second.log.count("E", "PeerID b is in use") > 0
			})
			talk(t, "still", a, c, holder)
			refused := a.Stats().RefusedOther
			stays(t, "dials back off", 3*time.Second, func() bool {
				return a.Stats().RefusedOther <= refused+5
			})
			if a.h.Count("+b/b02") > 0 || second.h.Count("+") > 0 {
				t.Error("the second joined")
			}
			closeAll(t, second, holder, a, c)
		})
	}
}

// The second one dials the first one itself.
func TestMeshDuplicateDialsHolder(t *testing.T) {
	leaks(t)
	a := start(t, 0xa, nil)
	b := start(t, 0xa, func(c *Config) { c.Origin = 0xa02; c.Peers = []string{a.Addr()} })
	refused(t, a, b, "another node uses the PeerID of this one, a")
	closeAll(t, a, b)
}

// The second one replaces a first one that is gone, or that doesn't answer.
func TestMeshReplacedPeerID(t *testing.T) {
	leaks(t)
	a := start(t, 0xa, nil)
	block := make(chan struct{})
	old := start(t, 0xb, meshPeers(a.Addr()))
	linked(t, a, old)
	old.h.On = func(uint64, []byte) { <-block } // holds up what it receives: it answers nothing
	a.Broadcast([]byte("stuck"))
	wait(t, "stuck", func() bool { return old.h.NumFrames() == 1 })

	second := start(t, 0xb, func(c *Config) { c.Origin, c.Peers = 0xb02, []string{a.Addr()} })
	wait(t, "a took the second", func() bool { return a.h.Count("+b/b02") == 1 })
	if a.h.Count("-b") != 1 {
		t.Errorf("events %v", a.h.Events)
	}
	talk(t, "second", a, second)
	close(block)
	closeAll(t, old, second, a)
}

func TestMeshOwnAddress(t *testing.T) {
	leaks(t)
	addr := freeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	proxy, err := net.Listen("tcp", "127.0.0.1:0") // leads here, under another address
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	var dials atomic.Int64
	go forward(proxy, addr, &dials)

	a := start(t, 0xa, func(c *Config) {
		c.ListenAddr = addr
		c.Peers = []string{addr, "localhost:" + port, proxy.Addr().String()}
	})
	b := start(t, 0xb, func(c *Config) { c.Peers = []string{addr}; c.ListenAddr = ":0" })
	linked(t, a, b)
	wait(t, "it met itself", func() bool {
		a.targets.mu.Lock()
		defer a.targets.mu.Unlock()
		g := a.targets.byAddr[proxy.Addr().(*net.TCPAddr).AddrPort()]
		return g != nil && g.own()
	})
	talk(t, "own", a, b)
	before := dials.Load()
	stays(t, "no further dials", 4*time.Second, func() bool { return dials.Load() == before })
	if n := a.log.count("E", ""); n > 0 {
		t.Errorf("%d error lines", n)
	}
	closeAll(t, a, b)
}

// forward is a TCP proxy.
func forward(l net.Listener, to string, count *atomic.Int64) {
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
	leaks(t)
	six := func(c *Config) { c.ListenAddr = "[::1]:0" }
	a := start(t, 0xa, six)
	b := start(t, 0xb, func(c *Config) { six(c); c.Peers = []string{a.Addr()} })
	c := start(t, 0xc, func(c *Config) { c.ListenAddr = ":0"; c.Peers = []string{a.Addr()} })
	linked(t, a, b, c)
	talk(t, "six", a, b, c)
	closeAll(t, a)
	talk(t, "without a", b, c)
	closeAll(t, b, c)
}

func TestMeshGarbage(t *testing.T) {
	leaks(t)
	a := start(t, 0xa, nil)
	b := start(t, 0xb, meshPeers(a.Addr()))
	linked(t, a, b)
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
	talk(t, "beside garbage", a, b)
	for range 200 {
		dial()
	}
	talk(t, "beside idle strangers", a, b)
	if a.h.Count("-")+b.h.Count("-") > 0 {
		t.Error("the connection was lost")
	}
	closeAll(t, a, b)
}

// What answers at a configured address may be anything.
func TestMeshDialsOther(t *testing.T) {
	leaks(t)
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
	a := start(t, 0xa, meshPeers(l.Addr().String(), silent.Addr().String(), "192.0.2.1:7000"))
	b := start(t, 0xb, meshPeers(a.Addr()))
	wait(t, "an error", func() bool { return a.log.count("E", "isn't a bcache node") > 0 })
	linked(t, a, b)
	talk(t, "still", a, b)
	closeAll(t, a, b)
	if a.log.count("", "panic") > 0 {
		t.Error("panic")
	}
}
