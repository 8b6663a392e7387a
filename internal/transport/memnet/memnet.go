// Package memnet is the transport within one process: the in-memory twin of the mesh, for tests.
//
// Its law: it behaves like a network, or worse, and never better. Every link keeps its order; a frame is
// shared between its receivers, as mesh shares it, so that aliasing shows; links can be cut, and
// frames held, delayed and lost. It reads no clock but the runtime's, so that it runs in a bubble of
// testing/synctest.
package memnet

import (
	"math/rand/v2"
	"sync"
	"time"
)

// DefaultRelink is how long a link that was disconnected stays down.
const DefaultRelink = time.Second

// A Net connects the nodes that start on it, each with each.
type Net struct {
	// Relink is how long a link is down after Disconnect. It is set before the nodes start.
	Relink time.Duration

	mu     sync.Mutex
	nodes  map[uint64]*Transport
	links  map[pair]*link
	far    map[pair]bool        // of nodes that reach each other through others
	again  map[pair]*time.Timer // links that will be back
	side   map[uint64]int       // of a partition; without one all are on side 0
	delay  time.Duration
	loss   float64
	filter func(from, to uint64, frame []byte) bool
	rng    *rand.Rand
}

// A pair names two nodes, the smaller first.
type pair struct{ a, b uint64 }

func pairOf(a, b uint64) pair { return pair{min(a, b), max(a, b)} }

// A link is one connection.
type link struct {
	cut   bool      // what waited for delivery is lost
	far   bool      // it leads through others: nobody joins or leaves by it
	since time.Time // it is there
}

// New returns a net without nodes.
func New() *Net {
	return &Net{
		Relink: DefaultRelink,
		nodes:  map[uint64]*Transport{},
		links:  map[pair]*link{},
		far:    map[pair]bool{},
		again:  map[pair]*time.Timer{},
		side:   map[uint64]int{},
		rng:    rand.New(rand.NewPCG(1, 2)),
	}
}

// Filter has f see every frame before it is queued; false loses it. A nil f loses none.
func (n *Net) Filter(f func(from, to uint64, frame []byte) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.filter = f
}

// Node returns a node's place, or nil.
func (n *Net) Node(id uint64) *Transport {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.nodes[id]
}

// Hold stops the delivery to a node until the returned function is called.
func (n *Net) Hold(id uint64) (release func()) {
	t := n.Node(id)
	t.hold(true)
	return func() { t.hold(false) }
}

// Delay has every frame from now on take d to arrive. A frame never passes those before it.
func (n *Net) Delay(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = max(d, 0)
}

// Loss has frames from now on be lost with probability p, of 0 to 1.
func (n *Net) Loss(p float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.loss = p
}

// Partition cuts the links between nodes whose sides differ, and has none come up. A node that isn't
// mentioned is on side 0. Both ends of a link that is cut are told so.
func (n *Net) Partition(side map[uint64]int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.side = side
	for p := range n.links {
		if side[p.a] != side[p.b] {
			n.cut(n.nodes[p.a], n.nodes[p.b])
		}
	}
	n.connectAll()
}

// Relay has two nodes reach each other through others from now on, or directly again: what they send
// arrives, and they are members, but not connected.
func (n *Net) Relay(a, b uint64, far bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := pairOf(a, b)
	n.far[p] = far
	if n.links[p] != nil {
		n.cut(n.nodes[a], n.nodes[b])
		n.connect(n.nodes[a], n.nodes[b])
	}
}

// Heal ends a partition.
func (n *Net) Heal() { n.Partition(map[uint64]int{}) }

// Kill takes a node from the net as if its process had died: nothing it has sent arrives any more, and
// nothing reaches it.
func (n *Net) Kill(id uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.killLocked(id)
}

func (n *Net) killLocked(id uint64) {
	t := n.nodes[id]
	if t == nil {
		return
	}
	for other, o := range n.nodes {
		p := pairOf(id, other)
		if n.links[p] != nil {
			n.cut(t, o)
		}
		n.forgetTimer(p)
	}
	delete(n.nodes, id)
}

// connectAll links all pairs that may be linked and aren't. n.mu is held.
func (n *Net) connectAll() {
	for a, ta := range n.nodes {
		for b, tb := range n.nodes {
			if p := pairOf(a, b); a < b && n.links[p] == nil && n.again[p] == nil {
				n.connect(ta, tb)
			}
		}
	}
}

// connect links two nodes and tells them, unless a partition is between them, or they belong to two
// clusters. n.mu is held.
func (n *Net) connect(a, b *Transport) {
	if n.side[a.id] != n.side[b.id] || a.node.ClusterName != b.node.ClusterName {
		return
	}
	p := pairOf(a.id, b.id)
	n.links[p] = &link{far: n.far[p], since: time.Now()}
	delete(a.gone, b.id)
	delete(b.gone, a.id)
	if n.far[p] {
		return
	}
	a.enqueue(0, func() { a.h.Joined(b.id, b.origin) })
	b.enqueue(0, func() { b.h.Joined(a.id, a.origin) })
}

// cut ends a link and tells both ends. n.mu is held.
func (n *Net) cut(a, b *Transport) {
	p := pairOf(a.id, b.id)
	l := n.links[p]
	l.cut = true
	delete(n.links, p)
	a.gone[b.id], b.gone[a.id] = time.Now(), time.Now()
	if l.far {
		return
	}
	a.enqueue(0, func() { a.h.Left(b.id) })
	b.enqueue(0, func() { b.h.Left(a.id) })
}

// disconnect cuts a link, which is back after Relink.
func (n *Net) disconnect(t *Transport, peer uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := pairOf(t.id, peer)
	o := n.nodes[peer]
	if n.links[p] == nil || n.nodes[t.id] != t {
		return
	}
	n.cut(t, o)
	var timer *time.Timer
	timer = time.AfterFunc(n.Relink, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.again[p] == timer { // otherwise one of them has closed
			delete(n.again, p)
			n.connect(t, o)
		}
	})
	n.again[p] = timer
}

// forgetTimer has a link not be back. n.mu is held.
func (n *Net) forgetTimer(p pair) bool {
	timer := n.again[p]
	if timer == nil {
		return false
	}
	timer.Stop()
	delete(n.again, p)
	return true
}

func (n *Net) add(t *Transport) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.killLocked(t.id) // another life of the node, whose place this is
	for _, o := range n.nodes {
		n.connect(t, o)
	}
	n.nodes[t.id] = t
}

// remove takes a node that closes from the net: what it has sent still arrives.
func (n *Net) remove(t *Transport) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.nodes[t.id] != t {
		return
	}
	delete(n.nodes, t.id)
	for id, o := range n.nodes {
		p := pairOf(t.id, id)
		l := n.links[p]
		if n.forgetTimer(p) || l == nil {
			continue
		}
		delete(n.links, p)
		if l.far {
			continue
		}
		o.enqueue(n.delay, func() { o.h.Left(t.id) })
	}
}

func (n *Net) isCut(l *link) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return l.cut
}

// Linked reports whether two nodes are not kept apart by a partition.
func (n *Net) Linked(a, b uint64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.side[a] == n.side[b]
}
