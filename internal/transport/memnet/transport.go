package memnet

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache/internal/signal"
	"github.com/iwanbk/bcache/transport"
)

// A Transport is a node's place in a Net. It implements transport.Transport.
type Transport struct {
	net        *Net
	id, origin uint64
	node       transport.Node // that Start was called with
	h          transport.Handler
	since      time.Time
	gone       map[uint64]time.Time // whose links were cut, and when; under net.mu
	count      counters

	life  sync.Mutex // Start, against Close
	ended bool       // Close was called

	mu     sync.Mutex
	queue  []delivery
	waits  map[uint64]int          // bytes of frames in the queue, by the node that sent them
	held   bool                    // the queue isn't delivered meanwhile
	failed []transport.DialFailure // what Unreached returns
	closed bool
	more   chan struct{}
	done   chan struct{}
}

// counters are those of transport.Stats.
type counters struct {
	framesIn, framesOut, bytesIn, bytesOut, dropped atomic.Uint64
}

// A delivery is something that a node is told, not before its time.
type delivery struct {
	at time.Time
	f  func()
}

// Place is Transport for a node that it will learn about when it starts.
func (n *Net) Place() *Transport { return n.Transport(0, 0) }

// Transport returns the place of a node: its PeerID, and the identity of this life.
func (n *Net) Transport(id, origin uint64) *Transport {
	return &Transport{
		net: n, id: id, origin: origin, gone: map[uint64]time.Time{}, waits: map[uint64]int{},
		more: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// Start implements transport.Transport.
func (t *Transport) Start(n transport.Node, h transport.Handler) error {
	t.life.Lock()
	defer t.life.Unlock()
	switch {
	case t.ended:
		return transport.ErrClosed
	case t.h != nil:
		return errors.New("bcache: the transport was started before")
	}
	if t.id == 0 {
		t.id, t.origin = n.PeerID, n.Origin
	}
	t.node, t.h, t.since = n, h, time.Now()
	go t.deliver()
	t.net.add(t)
	return nil
}

// Expects implements transport.Transport: others to wait for are those that are on the net already.
func (t *Transport) Expects() bool {
	t.net.mu.Lock()
	defer t.net.mu.Unlock()
	return len(t.net.nodes) > 0
}

// Addr implements transport.Transport.
func (t *Transport) Addr() string { return "mem" }

// Broadcast implements transport.Transport.
func (t *Transport) Broadcast(frame []byte) {
	t.net.mu.Lock()
	defer t.net.mu.Unlock()
	for id := range t.net.nodes {
		if id != t.id {
			_ = t.sendLocked(id, frame)
		}
	}
}

// Supersede implements transport.Transport: nothing waits here.
func (t *Transport) Supersede(uint64) {}

// Send implements transport.Transport.
func (t *Transport) Send(peer uint64, frame []byte, _ bool) error {
	t.net.mu.Lock()
	defer t.net.mu.Unlock()
	return t.sendLocked(peer, frame)
}

func (t *Transport) sendLocked(peer uint64, frame []byte) error {
	n := t.net
	to, l := n.nodes[peer], n.links[pairOf(t.id, peer)]
	if l == nil || n.nodes[t.id] != t {
		return transport.ErrUnknownPeer
	}
	if n.filter != nil && !n.filter(t.id, peer, frame) || n.loss > 0 && n.rng.Float64() < n.loss {
		return nil
	}
	if !to.reserve(t.id, len(frame), t.node.MaxPending) {
		t.count.dropped.Add(1)
		return transport.ErrQueueFull
	}
	t.count.framesOut.Add(1)
	t.count.bytesOut.Add(uint64(len(frame)))
	to.enqueue(n.delay, func() {
		to.reserve(t.id, -len(frame), 0)
		if !n.isCut(l) {
			to.count.framesIn.Add(1)
			to.count.bytesIn.Add(uint64(len(frame)))
			to.h.Receive(t.id, frame)
		}
	})
	return nil
}

// reserve adds to the bytes of a node that wait here, unless there would be more than most; 0 is no
// limit.
func (t *Transport) reserve(from uint64, bytes, most int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := t.waits[from] + bytes
	if most > 0 && sum > most {
		return false
	}
	if t.waits[from] = sum; sum == 0 {
		delete(t.waits, from)
	}
	return true
}

// Disconnect implements transport.Transport.
func (t *Transport) Disconnect(peer uint64) { t.net.disconnect(t, peer) }

// Members implements transport.Transport.
func (t *Transport) Members() (m []transport.Member) {
	t.net.mu.Lock()
	defer t.net.mu.Unlock()
	for id, o := range t.net.nodes {
		if l := t.net.links[pairOf(t.id, id)]; l != nil {
			m = append(m, transport.Member{ID: id, Addr: o.Addr(), Since: o.since, Direct: !l.far})
		}
	}
	slices.SortFunc(m, func(a, b transport.Member) int { return cmp.Compare(a.ID, b.ID) })
	return m
}

// Everybody implements transport.Transport.
func (t *Transport) Everybody(within time.Duration) (all []transport.Presence) {
	t.net.mu.Lock()
	defer t.net.mu.Unlock()
	for id, o := range t.net.nodes {
		if l := t.net.links[pairOf(t.id, id)]; l != nil {
			one := transport.Presence{ID: id, Addr: o.Addr(), Since: l.since}
			if !l.far {
				one.Origin = o.origin
			}
			all = append(all, one)
		}
	}
	for id, at := range t.gone {
		if time.Since(at) < within {
			all = append(all, transport.Presence{ID: id, Addr: t.Addr(), Since: at, Gone: true})
		}
	}
	slices.SortFunc(all, func(a, b transport.Presence) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// Unreached implements transport.Transport: it returns what was given to SetUnreached.
func (t *Transport) Unreached() []transport.DialFailure {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.failed)
}

// SetUnreached sets what Unreached returns.
func (t *Transport) SetUnreached(failed ...transport.DialFailure) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = failed
}

// Stats implements transport.Transport. What a link loses isn't dropped.
func (t *Transport) Stats() transport.Stats {
	return transport.Stats{
		FramesIn: t.count.framesIn.Load(), FramesOut: t.count.framesOut.Load(),
		BytesIn: t.count.bytesIn.Load(), BytesOut: t.count.bytesOut.Load(),
		DroppedFrames: t.count.dropped.Load(),
	}
}

// Inject has the node receive a frame, as if a peer had sent it.
func (t *Transport) Inject(from uint64, frame []byte) {
	t.enqueue(0, func() { t.h.Receive(from, frame) })
}

// Close implements transport.Transport.
func (t *Transport) Close() error {
	t.life.Lock()
	started := t.h != nil
	if !t.ended {
		t.ended = true
		t.net.remove(t)
		t.mu.Lock()
		t.closed = true
		t.mu.Unlock()
		t.wake()
	}
	t.life.Unlock()
	if started {
		<-t.done
	}
	return nil
}

func (t *Transport) hold(held bool) {
	t.mu.Lock()
	t.held = held
	t.mu.Unlock()
	t.wake()
}

func (t *Transport) enqueue(delay time.Duration, f func()) {
	t.mu.Lock()
	d := delivery{f: f}
	if delay > 0 {
		d.at = time.Now().Add(delay)
	}
	t.queue = append(t.queue, d)
	t.mu.Unlock()
	t.wake()
}

func (t *Transport) wake() { signal.Notify(t.more) }

// deliver hands out the queue, one by one, until the node closes.
func (t *Transport) deliver() {
	defer close(t.done)
	for range t.more {
		for {
			f, wait, closed := t.next()
			if closed {
				return
			}
			if wait > 0 {
				time.AfterFunc(wait, t.wake)
			}
			if f == nil {
				break
			}
			f()
		}
	}
}

// next takes what is due, or says for how long nothing is; 0 if nothing is known to come.
func (t *Transport) next() (f func(), wait time.Duration, closed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
		return nil, 0, true
	case t.held || len(t.queue) == 0:
		return nil, 0, false
	}
	head := t.queue[0]
	if !head.at.IsZero() {
		if wait = time.Until(head.at); wait > 0 {
			return nil, wait, false
		}
	}
	t.queue[0] = delivery{} // its frame goes now, not with the queue
	t.queue = t.queue[1:]
	return head.f, 0, false
}
