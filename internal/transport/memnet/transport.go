package memnet

import (
	"slices"
	"sync"
	"time"

	"github.com/iwanbk/bcache/internal/signal"
	"github.com/iwanbk/bcache/internal/transport"
)

type Transport struct {
	net        *Net
	id, origin uint64
	H          transport.Handler
	since      time.Time

	mu     sync.Mutex
	queue  []func()
	held   bool                    // the queue isn't delivered meanwhile
	failed []transport.DialFailure // what Unreached returns
	closed bool
	more   chan struct{}
	done   chan struct{}
	n      transport.Stats
}

func (t *Transport) Start(h transport.Handler) error {
	t.H, t.since = h, time.Now()
	go t.deliver()
	t.net.Mu.Lock()
	defer t.net.Mu.Unlock()
	for _, o := range t.net.Nodes {
		t.net.connect(t, o)
	}
	t.net.Nodes[t.id] = t
	return nil
}

func (t *Transport) Addr() string { return "mem" }

func (t *Transport) Broadcast(frame []byte) {
	t.net.Mu.Lock()
	defer t.net.Mu.Unlock()
	for id := range t.net.Nodes {
		if id != t.id {
			_ = t.sendLocked(id, frame)
		}
	}
}

// Supersede implements transport: nothing waits here.
func (t *Transport) Supersede(uint64) {}

func (t *Transport) Send(peer uint64, frame []byte, _ bool) error {
	t.net.Mu.Lock()
	defer t.net.Mu.Unlock()
	return t.sendLocked(peer, frame)
}

func (t *Transport) sendLocked(peer uint64, frame []byte) error {
	to, link := t.net.Nodes[peer], t.net.links[pairOf(t.id, peer)]
	if link == nil || t.net.Nodes[t.id] != t {
		return transport.ErrUnknownPeer
	}
	if f := t.net.Filter; f != nil && !f(t.id, peer, frame) {
		return nil
	}
	to.Enqueue(func() {
		if !t.net.isCut(link) {
			to.H.Receive(t.id, frame)
		}
	})
	return nil
}

// Disconnect implements transport.
func (t *Transport) Disconnect(peer uint64) {
	n, p := t.net, pairOf(t.id, peer)
	n.Mu.Lock()
	defer n.Mu.Unlock()
	o, link := n.Nodes[peer], n.links[p]
	if link == nil || n.Nodes[t.id] != t {
		return
	}
	link.cut = true
	delete(n.links, p)
	t.Enqueue(func() { t.H.Left(o.id) })
	o.Enqueue(func() { o.H.Left(t.id) })
	var timer *time.Timer
	timer = time.AfterFunc(n.Relink, func() {
		n.Mu.Lock()
		defer n.Mu.Unlock()
		if n.again[p] == timer { // otherwise one of them has closed
			delete(n.again, p)
			n.connect(t, o)
		}
	})
	n.again[p] = timer
}

func (t *Transport) Members() (m []transport.Member) {
	t.net.Mu.Lock()
	defer t.net.Mu.Unlock()
	for id, o := range t.net.Nodes {
		if t.net.links[pairOf(t.id, id)] != nil {
			m = append(m, transport.Member{ID: id, Addr: o.Addr(), Since: o.since, Direct: true})
		}
	}
	slices.SortFunc(m, func(a, b transport.Member) int { return int(int64(a.ID) - int64(b.ID)) })
	return m
}

// Unreached implements transport. Only a test can say what fails: see unreachable.
func (t *Transport) Unreached() []transport.DialFailure {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.failed)
}

// SetUnreached sets what Unreached returns.
func (t *Transport) SetUnreached(fs ...transport.DialFailure) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = fs
}

func (t *Transport) Stats() transport.Stats { return t.n }

func (t *Transport) Close() error {
	t.net.Mu.Lock()
	if t.net.Nodes[t.id] == t {
		delete(t.net.Nodes, t.id)
		for id, o := range t.net.Nodes {
			p := pairOf(t.id, id)
			if timer := t.net.again[p]; timer != nil {
				timer.Stop()
				delete(t.net.again, p)
				continue
			}
			delete(t.net.links, p) // what is under way still arrives
			o.Enqueue(func() { o.H.Left(t.id) })
		}
	}
	t.net.Mu.Unlock()
	t.mu.Lock()
	first := !t.closed
	t.closed = true
	t.mu.Unlock()
	signal.Notify(t.more)
	if first && t.H != nil {
		<-t.done
	}
	return nil
}

func (t *Transport) Enqueue(f func()) {
	t.mu.Lock()
	t.queue = append(t.queue, f)
	t.mu.Unlock()
	signal.Notify(t.more)
}

func (t *Transport) deliver() {
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
