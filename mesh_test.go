package bcache

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

	"go.uber.org/goleak"
)

// meshWait waits for a condition, which is all that a test on a real network can do.
func meshWait(t testing.TB, what string, ok func() bool) {
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

// meshStays checks that a condition holds for a while.
func meshStays(t testing.TB, what string, d time.Duration, ok func() bool) {
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

// meshLeaks checks at the end of the test, after all nodes were closed, that no
// goroutine is left.
func meshLeaks(t testing.TB) { t.Cleanup(func() { goleak.VerifyNone(t) }) }

// meshHandler notes what a transport tells.
type meshHandler struct {
	mu     sync.Mutex
	frames map[string]int // "from:frame", or its length if it is long
	events []string       // "+peer/origin" and "-peer"
	on     func(from uint64, frame []byte)
}

func meshFrameKey(from uint64, frame []byte) string {
	if len(frame) > 64 {
		return fmt.Sprintf("%x:%s:%d", from, frame[:16], len(frame))
	}
	return fmt.Sprintf("%x:%s", from, frame)
}

func (h *meshHandler) Moved(uint64, bool)      {}
func (h *meshHandler) Arriving(uint64, []byte) {}

func (h *meshHandler) Receive(from uint64, frame []byte) {
	h.mu.Lock()
	if h.frames == nil {
		h.frames = make(map[string]int)
	}
	h.frames[meshFrameKey(from, frame)]++
	on := h.on
	h.mu.Unlock()
	if on != nil {
		on(from, frame)
	}
}

func (h *meshHandler) Joined(peer, origin uint64) { h.event(fmt.Sprintf("+%x/%x", peer, origin)) }
func (h *meshHandler) Left(peer uint64)           { h.event(fmt.Sprintf("-%x", peer)) }

func (h *meshHandler) event(e string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

func (h *meshHandler) got(from uint64, frame []byte) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.frames[meshFrameKey(from, frame)] > 0
}

func (h *meshHandler) numFrames() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.frames)
}

// count counts the events with a prefix.
func (h *meshHandler) count(prefix string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, e := range h.events {
		if strings.HasPrefix(e, prefix) {
			n++
		}
	}
	return n
}

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

type meshTestNode struct {
	*meshTransport
	h   *meshHandler
	log *meshLog
}

func (n *meshTestNode) direct() (ids []uint64) {
	for _, m := range n.Members() {
		if m.Direct {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// meshNew makes a node on a free port of the loopback interface, which edit may alter.
func meshNew(t testing.TB, id uint64, edit func(*meshConfig)) *meshTestNode {
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
func meshMake(t testing.TB, id uint64, edit func(*meshConfig)) *meshTestNode {
	t.Helper()
	SkipIfMeshRaces(t)
	n := &meshTestNode{h: &meshHandler{}, log: &meshLog{t: t, name: fmt.Sprintf("%x", id)}}
	cfg := meshConfig{
		PeerID: id, Origin: id<<8 | 1, ListenAddr: "127.0.0.1:0",
		MaxClockSkew: 500 * time.Millisecond, MaxConns: 256, lineAge: time.Minute,
	}
	if edit != nil {
		edit(&cfg)
	}
	cfg.Log = newLineLog(n.log, time.Now)
	tr, err := newMeshTransport(cfg)
	if err != nil {
		t.Fatal(err)
	}
	n.meshTransport = tr
	return n
}

func meshStart(t testing.TB, id uint64, edit func(*meshConfig)) *meshTestNode {
	t.Helper()
	n := meshNew(t, id, edit)
	if err := n.Start(n.h); err != nil {
		t.Fatal(err)
	}
	return n
}

func meshPeers(addrs ...string) func(*meshConfig) {
	return func(c *meshConfig) { c.Peers = addrs }
}

// meshLinked waits until all nodes are connected with each other directly.
func meshLinked(t testing.TB, nodes ...*meshTestNode) {
	t.Helper()
	for _, n := range nodes {
		meshWait(t, fmt.Sprintf("node %x: direct connections, has %x", n.cfg.PeerID, n.direct()), func() bool {
			return len(n.direct()) == len(nodes)-1
		})
	}
}

// meshTalk checks that all nodes reach each other.
func meshTalk(t testing.TB, what string, nodes ...*meshTestNode) {
	t.Helper()
	for _, from := range nodes {
		frame := []byte(fmt.Sprintf("%s by %x", what, from.cfg.PeerID))
		from.Broadcast(frame)
		for _, to := range nodes {
			if to != from {
				meshWait(t, fmt.Sprintf("%s, received by %x", frame, to.cfg.PeerID), func() bool {
					return to.h.got(from.cfg.PeerID, frame)
				})
			}
		}
	}
}

func meshCloseAll(t testing.TB, nodes ...*meshTestNode) {
	t.Helper()
	for _, n := range nodes {
		begin := time.Now()
		if err := n.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if d := time.Since(begin); d > time.Second {
			t.Errorf("Close took %v", d)
		} else {
			t.Logf("Close took %v", d)
		}
	}
}

func TestMeshThreeNodes(t *testing.T) {
	meshLeaks(t)
	a := meshStart(t, 0xa, nil)
	b := meshStart(t, 0xb, meshPeers(a.Addr()))
	c := meshStart(t, 0xc, meshPeers(a.Addr())) // finds b through a
	begin := time.Now()
	meshLinked(t, a, b, c)
	if d := time.Since(begin); d > 10*time.Second {
		t.Errorf("b and c found each other after %v", d)
	}
	meshTalk(t, "broadcast", a, b, c)
	if err := b.Send(0xc, []byte("for c"), false); err != nil {
		t.Fatal(err)
	}
	meshWait(t, "unicast", func() bool { return c.h.got(0xb, []byte("for c")) })
	if err := b.Send(0xd, []byte("x"), false); !errors.Is(err, errUnknownPeer) {
		t.Errorf("Send to nobody: %v", err)
	}
	for _, m := range a.Members() {
		if m.Encrypted || !m.Inbound || m.Addr == "" {
			t.Errorf("a sees %+v", m)
		}
	}

	meshCloseAll(t, a) // the bootstrap node
	meshWait(t, "b sees a leave", func() bool { return b.h.count("-a") == 1 })
	meshTalk(t, "without a", b, c)
	if s := b.Stats(); s.framesOut < 4 || s.framesIn < 3 || s.bytesIn == 0 || s.bytesOut == 0 ||
		s.droppedFrames != 0 {
		t.Errorf("stats %+v", s)
	}

	a = meshStart(t, 0xa, func(cfg *meshConfig) { cfg.ListenAddr, cfg.Origin = a.Addr(), 0xa02 })
	meshLinked(t, a, b, c)
	meshWait(t, "b sees the new life of a", func() bool { return b.h.count("+a/a02") == 1 })
	meshTalk(t, "again", a, b, c)
	meshCloseAll(t, a, b, c)
}

func TestMeshMutualListing(t *testing.T) {
	meshLeaks(t)
	var addrs []string
	for range 4 {
		addrs = append(addrs, meshFreeAddr(t))
	}
	var nodes []*meshTestNode
	for i, addr := range addrs {
		nodes = append(nodes, meshStart(t, uint64(i+1), func(c *meshConfig) {
			c.ListenAddr, c.Peers = addr, addrs
		}))
	}
	begin := time.Now()
	meshLinked(t, nodes...)
	t.Logf("linked after %v", time.Since(begin))
	meshQuiet(t, nodes...)
	for _, n := range nodes {
		if n.log.count("E", "") > 0 {
			t.Errorf("node %x has errors", n.cfg.PeerID)
		}
	}
	meshTalk(t, "mutual", nodes...)
	meshCloseAll(t, nodes...)
}

// meshQuiet checks that there is one connection per pair, and that it stays.
func meshQuiet(t *testing.T, nodes ...*meshTestNode) {
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
	meshWait(t, "one connection per pair, on both sides", func() bool { return len(conns()) == want })
	before := conns()
	meshStays(t, "the same connections", 4*time.Second, func() bool {
		now := conns()
		return len(now) == want && !slices.ContainsFunc(now, func(c *meshConn) bool {
			return !slices.Contains(before, c)
		})
	})
	for _, n := range nodes {
		if len(n.direct()) != len(nodes)-1 || n.h.count("-") > 0 {
			t.Errorf("node %x: %v", n.cfg.PeerID, n.h.events)
		}
	}
}

// A node that is listed under several addresses is connected once.
func TestMeshAliases(t *testing.T) {
	meshLeaks(t)
	b := meshStart(t, 0xb, func(c *meshConfig) { c.ListenAddr = ":0" })
	_, port, err := net.SplitHostPort(b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	a := meshStart(t, 0xa, func(c *meshConfig) {
		c.ListenAddr = ":0"
		for i := range 5 {
			c.Peers = append(c.Peers, fmt.Sprintf("127.0.0.%d:%s", i+1, port))
		}
	})
	meshLinked(t, a, b)
	meshQuiet(t, a, b)
	meshTalk(t, "alias", a, b)
	meshCloseAll(t, a, b)
}

// meshFreeAddr returns an address whose port no dial gets meanwhile: those have ports
// above 32767 on Linux, and above 49151 elsewhere.
func meshFreeAddr(t testing.TB) string {
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
	meshLeaks(t)
	key := bytes.Repeat([]byte{7}, 32)
	a := meshStart(t, 0xa, func(c *meshConfig) { c.Key = key })
	b := meshStart(t, 0xb, func(c *meshConfig) { c.Key = key; c.Peers = []string{a.Addr()} })
	c := meshStart(t, 0xc, func(c *meshConfig) { c.Key = key; c.Peers = []string{a.Addr()} })
	meshLinked(t, a, b, c)
	if ms := a.Members(); !ms[0].Encrypted {
		t.Errorf("not encrypted: %+v", ms[0])
	}
	const n = 12 // below the bound of what may be pending
	frames := make([][]byte, n)
	for i := range frames {
		frames[i] = bytes.Repeat([]byte("x"), 1<<20)
		copy(frames[i], fmt.Sprintf("frame %9d ", i))
	}
	for _, node := range []*meshTestNode{a, b} {
		for _, f := range frames {
			node.Broadcast(f)
		}
	}
	for i, f := range frames {
		meshWait(t, fmt.Sprintf("frame %d", i), func() bool {
			return c.h.got(0xa, f) && c.h.got(0xb, f) && b.h.got(0xa, f)
		})
		if err := c.Send(0xa, f, false); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range frames {
		meshWait(t, "large unicast", func() bool { return a.h.got(0xc, f) })
	}
	if s := a.Stats(); s.droppedFrames != 0 || s.framesOut != 2*n {
		t.Errorf("stats %+v", s)
	}
	meshCloseAll(t, a, b, c)
}

func TestMeshPortInUse(t *testing.T) {
	meshLeaks(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, addr := range []string{l.Addr().String(), "192.0.2.1:7000", "no-such-host.invalid:7000"} {
		n := meshNew(t, 1, func(c *meshConfig) { c.ListenAddr = addr })
		if err := n.Start(n.h); err == nil || !strings.Contains(err.Error(), addr) {
			t.Errorf("Start: %v", err)
		}
		n.Broadcast([]byte("x"))
		meshCloseAll(t, n)
	}
	n := meshNew(t, 1, nil) // never started
	meshCloseAll(t, n)
	if err := n.Start(n.h); !errors.Is(err, ErrClosed) {
		t.Errorf("Start after Close: %v", err)
	}
}
