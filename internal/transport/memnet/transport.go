package memnet

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/iwanbk/bcache/internal/signal"
	"github.com/iwanbk/bcache/transport"
)

// A Transport is a node's place in a Net. It implements transport.Transport.
type Transport struct {
	net        *Net
	id, origin uint64
	h          transport.Handler
	since      time.Time
	gone       map[uint64]time.Time // whose links were cut, and when; under net.mu

	mu     sync.Mutex
	queue  []delivery
	held   bool                    // the queue isn't delivered meanwhile
	failed []transport.DialFailure // what Unreached returns
	closed bool
	more   chan struct{}
	done   chan struct{}
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
		net: n, id: id, origin: origin, gone: map[uint64]time.Time{},
		more: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// Start implements transport.Transport.
func (t *Transport) Start(n transport.Node, h transport.Handler) error {
	if t.id == 0 {
		t.id, t.origin = n.PeerID, n.Origin
	}
	t.h, t.since = h, time.Now()
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
	to.enqueue(n.delay, func() {
		if !n.isCut(l) {
			to.h.Receive(t.id, frame)
		}
	})
	return nil
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

// Stats implements transport.Transport: nothing is counted here.
func (t *Transport) Stats() transport.Stats { return transport.Stats{} }

// Inject has the node receive a frame, as if a peer had sent it.
func (t *Transport) Inject(from uint64, frame []byte) {
	t.enqueue(0, func() { t.h.Receive(from, frame) })
}

// Close implements transport.Transport.
func (t *Transport) Close() error {
	t.net.remove(t)
	t.mu.Lock()
	first := !t.closed
	t.closed = true
	t.mu.Unlock()
	t.wake()
	if first && t.h != nil {
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
