package meshnet

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/transport"
	"go.uber.org/goleak"
)

// wait waits for a condition, which is all that a test on a real network can do.
func wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("timeout: %s", what)
		}
	}
}

// stays checks that a condition holds for a while.
func stays(t testing.TB, what string, d time.Duration, ok func() bool) {
	t.Helper()
	end := time.NewTimer(d)
	defer end.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if !ok() {
			t.Fatalf("no longer: %s", what)
		}
		select {
		case <-tick.C:
		case <-end.C:
			return
		}
	}
}

// leaks checks at the end of the test, after all nodes were closed, that no
// goroutine is left.
func leaks(t testing.TB) { t.Cleanup(func() { goleak.VerifyNone(t) }) }

// meshLog keeps a transport's lines.
type meshLog struct {
	t     testing.TB
	name  string
	mu    sync.Mutex
	lines []string
}

func (l *meshLog) Errorf(f string, v ...interface{}) { l.add("E ", f, v) }
func (l *meshLog) Printf(f string, v ...interface{}) { l.add("P ", f, v) }
func (l *meshLog) Debugf(f string, v ...interface{}) { l.add("D ", f, v) }

func (l *meshLog) add(level, f string, v []any) {
	line := level + fmt.Sprintf(f, v...)
	l.mu.Lock()
	l.lines = append(l.lines, line)
	l.mu.Unlock()
	if testing.Verbose() && os.Getenv("MESH_LOG") != "" {
		fmt.Println(time.Now().Format("05.000"), l.name, line)
	}
}

// count counts the lines of a level that contain a text.
func (l *meshLog) count(level, text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, line := range l.lines {
		if strings.HasPrefix(line, level) && strings.Contains(line, text) {
			n++
		}
	}
	return n
}

type testNode struct {
	*Transport
	h   *testkit.Handler
	log *meshLog
}

func (n *testNode) direct() (ids []uint64) {
	for _, m := range n.Members() {
		if m.Direct {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// meshNew makes a node on a free port of the loopback interface, which edit may alter.
func meshNew(t testing.TB, id uint64, edit func(*Config)) *testNode {
	t.Helper()
	n := meshMake(t, id, edit)
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return n
}

// meshMake is meshNew for tests that close the node themselves.
func meshMake(t testing.TB, id uint64, edit func(*Config)) *testNode {
	t.Helper()
	testkit.SkipIfMeshRaces(t)
	n := &testNode{h: &testkit.Handler{}, log: &meshLog{t: t, name: fmt.Sprintf("%x", id)}}
	cfg := Config{
		PeerID: id, Origin: id<<8 | 1, ListenAddr: "127.0.0.1:0",
		MaxClockSkew: 500 * time.Millisecond, MaxConns: 256, lineAge: time.Minute,
	}
	if edit != nil {
		edit(&cfg)
	}
	cfg.Log = linelog.New(n.log, time.Now)
	tr, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	n.Transport = tr
	return n
}

func start(t testing.TB, id uint64, edit func(*Config)) *testNode {
	t.Helper()
	n := meshNew(t, id, edit)
	if err := n.Start(transport.Node{}, n.h); err != nil {
		t.Fatal(err)
	}
	return n
}

func meshPeers(addrs ...string) func(*Config) {
	return func(c *Config) { c.Peers = addrs }
}

// linked waits until all nodes are connected with each other directly.
func linked(t testing.TB, nodes ...*testNode) {
	t.Helper()
	for _, n := range nodes {
		wait(t, fmt.Sprintf("node %x: direct connections, has %x", n.cfg.PeerID, n.direct()), func() bool {
			return len(n.direct()) == len(nodes)-1
		})
	}
}

// talk checks that all nodes reach each other.
func talk(t testing.TB, what string, nodes ...*testNode) {
	t.Helper()
	for _, from := range nodes {
		frame := []byte(fmt.Sprintf("%s by %x", what, from.cfg.PeerID))
		from.Broadcast(frame)
		for _, to := range nodes {
			if to != from {
				wait(t, fmt.Sprintf("%s, received by %x", frame, to.cfg.PeerID), func() bool {
					return to.h.Got(from.cfg.PeerID, frame)
				})
			}
		}
	}
}

func closeAll(t testing.TB, nodes ...*testNode) {
	t.Helper()
	for _, n := range nodes {
		begin := time.Now()
		if err := n.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if d := time.Since(begin); d > 3*time.Second { // its bound; as a rule it takes milliseconds
			t.Errorf("Close took %v", d)
		} else {
			t.Logf("Close took %v", d)
		}
	}
}

func TestMeshThreeNodes(t *testing.T) {
	leaks(t)
	a := start(t, 0xa, nil)
	b := start(t, 0xb, meshPeers(a.Addr()))
	c := start(t, 0xc, meshPeers(a.Addr())) // finds b through a
	begin := time.Now()
	linked(t, a, b, c)
	if d := time.Since(begin); d > 10*time.Second {
		t.Errorf("b and c found each other after %v", d)
	}
	talk(t, "broadcast", a, b, c)
	if err := b.Send(0xc, []byte("for c"), false); err != nil {
		t.Fatal(err)
	}
	wait(t, "unicast", func() bool { return c.h.Got(0xb, []byte("for c")) })
	if err := b.Send(0xd, []byte("x"), false); !errors.Is(err, transport.ErrUnknownPeer) {
		t.Errorf("Send to nobody: %v", err)
	}
	for _, m := range a.Members() {
		if m.Encrypted || !m.Inbound || m.Addr == "" {
			t.Errorf("a sees %+v", m)
		}
	}

	closeAll(t, a) // the bootstrap node
	wait(t, "b sees a leave", func() bool { return b.h.Count("-a") == 1 })
	talk(t, "without a", b, c)
	if s := b.Stats(); s.FramesOut < 4 || s.FramesIn < 3 || s.BytesIn == 0 || s.BytesOut == 0 ||
		s.DroppedFrames != 0 {
		t.Errorf("stats %+v", s)
	}

	a = start(t, 0xa, func(cfg *Config) { cfg.ListenAddr, cfg.Origin = a.Addr(), 0xa02 })
	linked(t, a, b, c)
	wait(t, "b sees the new life of a", func() bool { return b.h.Count("+a/a02") == 1 })
	talk(t, "again", a, b, c)
	closeAll(t, a, b, c)
}

// mutual starts n nodes, each of which lists all of them, and waits until they are connected.
func mutual(t *testing.T, n int) (nodes []*testNode) {
	t.Helper()
	var addrs []string
	for range n {
		addrs = append(addrs, freeAddr(t))
	}
	for i, addr := range addrs {
		nodes = append(nodes, start(t, uint64(i+1), func(c *Config) {
			c.ListenAddr, c.Peers = addr, addrs
		}))
	}
	begin := time.Now()
	linked(t, nodes...)
	t.Logf("linked after %v", time.Since(begin))
	return nodes
}

func TestMeshMutualListing(t *testing.T) {
	leaks(t)
	nodes := mutual(t, 4)
	quiet(t, nodes...)
	for _, n := range nodes {
		if n.log.count("E", "") > 0 {
			t.Errorf("node %x has errors", n.cfg.PeerID)
		}
	}
	talk(t, "mutual", nodes...)
	closeAll(t, nodes...)
}

// quiet checks that there is one connection per pair, and that it stays.
func quiet(t *testing.T, nodes ...*testNode) {
	t.Helper()
	conns := func() (all []*meshConn) {
		for _, n := range nodes {
			n.peers.mu.Lock()
			for _, p := range n.peers.byID {
				all = append(all, p.conns...)
			}
			n.peers.mu.Unlock()
		}
		return all
	}
	want := len(nodes) * (len(nodes) - 1)
	wait(t, "one connection per pair, on both sides", func() bool { return len(conns()) == want })
	before := conns()
	stays(t, "the same connections", 4*time.Second, func() bool {
		now := conns()
		return len(now) == want && !slices.ContainsFunc(now, func(c *meshConn) bool {
			return !slices.Contains(before, c)
		})
	})
	for _, n := range nodes {
		if len(n.direct()) != len(nodes)-1 || n.h.Count("-") > 0 {
			t.Errorf("node %x: %v", n.cfg.PeerID, n.h.Events)
		}
	}
}

// A node that is listed under several addresses is connected once.
func TestMeshAliases(t *testing.T) {
	leaks(t)
	b := start(t, 0xb, func(c *Config) { c.ListenAddr = ":0" })
	_, port, err := net.SplitHostPort(b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	a := start(t, 0xa, func(c *Config) {
		c.ListenAddr = ":0"
		for i := range 5 {
			c.Peers = append(c.Peers, fmt.Sprintf("127.0.0.%d:%s", i+1, port))
		}
	})
	linked(t, a, b)
	quiet(t, a, b)
	talk(t, "alias", a, b)
	closeAll(t, a, b)
}

// freeAddr returns an address whose port no dial gets meanwhile: those have ports
// above 32767 on Linux, and above 49151 elsewhere.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.N(22_000))
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}

func TestMeshLargeFrames(t *testing.T) {
	leaks(t)
	key := bytes.Repeat([]byte{7}, 32)
	a := start(t, 0xa, func(c *Config) { c.Key = key })
	b := start(t, 0xb, func(c *Config) { c.Key = key; c.Peers = []string{a.Addr()} })
	c := start(t, 0xc, func(c *Config) { c.Key = key; c.Peers = []string{a.Addr()} })
	linked(t, a, b, c)
	if ms := a.Members(); !ms[0].Encrypted {
		t.Errorf("not encrypted: %+v", ms[0])
	}
	const n = 12 // below the bound of what may be pending
	frames := make([][]byte, n)
	for i := range frames {
		frames[i] = bytes.Repeat([]byte("x"), 1<<20)
		copy(frames[i], fmt.Sprintf("frame %9d ", i))
	}
	for _, node := range []*testNode{a, b} {
		for _, f := range frames {
			node.Broadcast(f)
		}
	}
	for i, f := range frames {
		wait(t, fmt.Sprintf("frame %d", i), func() bool {
			return c.h.Got(0xa, f) && c.h.Got(0xb, f) && b.h.Got(0xa, f)
		})
		if err := c.Send(0xa, f, false); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range frames {
		wait(t, "large unicast", func() bool { return a.h.Got(0xc, f) })
	}
	if s := a.Stats(); s.DroppedFrames != 0 || s.FramesOut != 2*n {
		t.Errorf("stats %+v", s)
	}
	closeAll(t, a, b, c)
}

func TestMeshPortInUse(t *testing.T) {
	leaks(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, addr := range []string{l.Addr().String(), "192.0.2.1:7000", "no-such-host.invalid:7000"} {
		n := meshNew(t, 1, func(c *Config) { c.ListenAddr = addr })
		if err := n.Start(transport.Node{}, n.h); err == nil || !strings.Contains(err.Error(), addr) {
			t.Errorf("Start: %v", err)
		}
		n.Broadcast([]byte("x"))
		closeAll(t, n)
	}
	n := meshNew(t, 1, nil) // never started
	closeAll(t, n)
	if err := n.Start(transport.Node{}, n.h); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("Start after Close: %v", err)
	}
}
