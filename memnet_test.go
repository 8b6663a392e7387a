package bcache

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A memNet connects nodes within one process: the in-memory twin of the mesh.
// Every link keeps its order; deliver decides what becomes of a frame. Frames are shared
// between the receivers, as mesh shares them, so that aliasing shows.
type memNet struct {
	mu    sync.Mutex
	nodes map[uint64]*memTransport
	links map[memPair]*memLink
	again map[memPair]*time.Timer // links that will be back
	// filter, if set, sees every frame before it is queued; false loses it.
	filter func(from, to uint64, frame []byte) bool
	relink time.Duration // from Disconnect until the link is back
}

// A memPair names two nodes, the smaller first.
type memPair struct{ a, b uint64 }

// A memLink is one connection.
type memLink struct {
	cut bool // what waited for delivery is lost
}

func newMemNet() *memNet {
	return &memNet{
		nodes:  map[uint64]*memTransport{},
		links:  map[memPair]*memLink{},
		again:  map[memPair]*time.Timer{},
		relink: time.Second,
	}
}

func pairOf(a, b uint64) memPair { return memPair{min(a, b), max(a, b)} }

// connect links two nodes and tells them. n.mu is held.
func (n *memNet) connect(a, b *memTransport) {
	n.links[pairOf(a.id, b.id)] = &memLink{}
	a.enqueue(func() { a.h.Joined(b.id, b.origin) })
	b.enqueue(func() { b.h.Joined(a.id, a.origin) })
}

func (n *memNet) isCut(l *memLink) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return l.cut
}

type memTransport struct {
	net        *memNet
	id, origin uint64
	h          transportHandler
	since      time.Time

	mu     sync.Mutex
	queue  []func()
	held   bool          // the queue isn't delivered meanwhile
	failed []dialFailure // what Unreached returns
	closed bool
	more   chan struct{}
	done   chan struct{}
	n      transportStats
}

// transport returns the place of a node in this net.
func (n *memNet) transport(id, origin uint64) *memTransport {
	return &memTransport{net: n, id: id, origin: origin, more: make(chan struct{}, 1), done: make(chan struct{})}
}

func (t *memTransport) Start(h transportHandler) error {
	t.h, t.since = h, time.Now()
	go t.deliver()
	t.net.mu.Lock()
	defer t.net.mu.Unlock()
	for _, o := range t.net.nodes {
		t.net.connect(t, o)
	}
	t.net.nodes[t.id] = t
	return nil
}

func (t *memTransport) Addr() string { return "mem" }

func (t *memTransport) Broadcast(frame []byte) {
	t.net.mu.Lock()
	defer t.net.mu.Unlock()
	for id := range t.net.nodes {
		if id != t.id {
			_ = t.sendLocked(id, frame)
		}
	}
}

// Supersede implements transport: nothing waits here.
func (t *memTransport) Supersede(uint64) {}

func (t *memTransport) Send(peer uint64, frame []byte, _ bool) error {
	t.net.mu.Lock()
	defer t.net.mu.Unlock()
	return t.sendLocked(peer, frame)
}

func (t *memTransport) sendLocked(peer uint64, frame []byte) error {
	to, link := t.net.nodes[peer], t.net.links[pairOf(t.id, peer)]
	if link == nil || t.net.nodes[t.id] != t {
		return errUnknownPeer
	}
	if f := t.net.filter; f != nil && !f(t.id, peer, frame) {
		return nil
	}
	to.enqueue(func() {
		if !t.net.isCut(link) {
			to.h.Receive(t.id, frame)
		}
	})
	return nil
}

// Disconnect implements transport.
func (t *memTransport) Disconnect(peer uint64) {
	n, p := t.net, pairOf(t.id, peer)
	n.mu.Lock()
	defer n.mu.Unlock()
	o, link := n.nodes[peer], n.links[p]
	if link == nil || n.nodes[t.id] != t {
		return
	}
	link.cut = true
	delete(n.links, p)
	t.enqueue(func() { t.h.Left(o.id) })
	o.enqueue(func() { o.h.Left(t.id) })
	var timer *time.Timer
	timer = time.AfterFunc(n.relink, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.again[p] == timer { // otherwise one of them has closed
			delete(n.again, p)
			n.connect(t, o)
		}
	})
	n.again[p] = timer
}

func (t *memTransport) Members() (m []Member) {
	t.net.mu.Lock()
	defer t.net.mu.Unlock()
	for id, o := range t.net.nodes {
		if t.net.links[pairOf(t.id, id)] != nil {
			m = append(m, Member{ID: id, Addr: o.Addr(), Since: o.since, Direct: true})
		}
	}
	slices.SortFunc(m, func(a, b Member) int { return int(int64(a.ID) - int64(b.ID)) })
	return m
}

// Unreached implements transport. Only a test can say what fails: see unreachable.
func (t *memTransport) Unreached() []dialFailure {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.failed)
}

// unreachable sets what Unreached returns.
func (t *memTransport) unreachable(fs ...dialFailure) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = fs
}

func (t *memTransport) Stats() transportStats { return t.n }

func (t *memTransport) Close() error {
	t.net.mu.Lock()
	if t.net.nodes[t.id] == t {
		delete(t.net.nodes, t.id)
		for id, o := range t.net.nodes {
			p := pairOf(t.id, id)
			if timer := t.net.again[p]; timer != nil {
				timer.Stop()
				delete(t.net.again, p)
				continue
			}
			delete(t.net.links, p) // what is under way still arrives
			o.enqueue(func() { o.h.Left(t.id) })
		}
	}
	t.net.mu.Unlock()
	t.mu.Lock()
	first := !t.closed
	t.closed = true
	t.mu.Unlock()
	notify(t.more)
	if first && t.h != nil {
		<-t.done
	}
	return nil
}

// hold stops the delivery to node id until the returned function is called.
func (n *memNet) hold(id uint64) (release func()) {
	n.mu.Lock()
	t := n.nodes[id]
	n.mu.Unlock()
	set := func(held bool) {
		t.mu.Lock()
		t.held = held
		t.mu.Unlock()
		notify(t.more)
	}
	set(true)
	return func() { set(false) }
}

func (t *memTransport) enqueue(f func()) {
	t.mu.Lock()
	t.queue = append(t.queue, f)
	t.mu.Unlock()
	notify(t.more)
}

func (t *memTransport) deliver() {
	defer close(t.done)
	for range t.more {
		for {
			t.mu.Lock()
			if t.closed {
				t.mu.Unlock()
				return
			}
			if t.held || len(t.queue) == 0 {
				t.mu.Unlock()
				break
			}
			f := t.queue[0]
			t.queue[0] = nil // its frame goes now, not with the queue
			t.queue = t.queue[1:]
			t.mu.Unlock()
			f()
		}
	}
}

// memNode starts a node of the net with PeerID id whose clock is off by skew.
func memNode(t *testing.T, n *memNet, id uint64, skew time.Duration, edit ...func(*Config)) *Bcache {
	t.Helper()
	var by atomic.Int64
	by.Store(int64(skew))
	return memNodeAt(t, n, id, &by, edit...)
}

// memNodeAt is memNode with a clock that can be set.
func memNodeAt(t *testing.T, n *memNet, id uint64, skew *atomic.Int64, edit ...func(*Config)) *Bcache {
	t.Helper()
	cfg := Config{PeerID: id, ListenAddr: "mem:1", MaxKeys: 1000}
	for _, e := range edit {
		e(&cfg)
	}
	now := func() time.Time { return time.Now().Add(time.Duration(skew.Load())) }
	b, err := newBcache(cfg.withDefaults(), onNet(n, now))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// onNet is the outside of a node of the net.
func onNet(n *memNet, now func() time.Time) env {
	return env{now: now, transport: func(id, origin uint64, _ *lineLog) (transport, error) {
		return n.transport(id, origin), nil
	}}
}

// advance lets d pass. It is for synctest bubbles, where that takes no time.
func advance(d time.Duration) { <-time.After(d) }
