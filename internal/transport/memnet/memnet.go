package memnet

import (
	"sync"
	"time"

	"github.com/iwanbk/bcache/internal/signal"
)

// A Net connects nodes within one process: the in-memory twin of the mesh.
// Every link keeps its order; deliver decides what becomes of a frame. Frames are shared
// between the receivers, as mesh shares them, so that aliasing shows.
type Net struct {
	Mu    sync.Mutex
	Nodes map[uint64]*Transport
	links map[pair]*link
	again map[pair]*time.Timer // links that will be back
	// Filter, if set, sees every frame before it is queued; false loses it.
	Filter func(from, to uint64, frame []byte) bool
	Relink time.Duration // from Disconnect until the link is back
}

// A pair names two nodes, the smaller first.
type pair struct{ a, b uint64 }

// A link is one connection.
type link struct {
	cut bool // what waited for delivery is lost
}

func New() *Net {
	return &Net{
		Nodes:  map[uint64]*Transport{},
		links:  map[pair]*link{},
		again:  map[pair]*time.Timer{},
		Relink: time.Second,
	}
}

func pairOf(a, b uint64) pair { return pair{min(a, b), max(a, b)} }

// connect links two nodes and tells them. n.mu is held.
func (n *Net) connect(a, b *Transport) {
	n.links[pairOf(a.id, b.id)] = &link{}
	a.Enqueue(func() { a.H.Joined(b.id, b.origin) })
	b.Enqueue(func() { b.H.Joined(a.id, a.origin) })
}

func (n *Net) isCut(l *link) bool {
	n.Mu.Lock()
	defer n.Mu.Unlock()
	return l.cut
}

// Transport returns the place of a node in this net.
func (n *Net) Transport(id, origin uint64) *Transport {
	return &Transport{net: n, id: id, origin: origin, more: make(chan struct{}, 1), done: make(chan struct{})}
}

// Hold stops the delivery to node id until the returned function is called.
func (n *Net) Hold(id uint64) (release func()) {
	n.Mu.Lock()
	t := n.Nodes[id]
	n.Mu.Unlock()
	set := func(held bool) {
		t.mu.Lock()
		t.held = held
		t.mu.Unlock()
		signal.Notify(t.more)
	}
	set(true)
	return func() { set(false) }
}
