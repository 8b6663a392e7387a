package bcache

import (
	"slices"
	"sync/atomic"

	"github.com/weaveworks/mesh"
)

// A frameBatch is what waits for one connection of what one node broadcast. mesh
// hands one and the same batch to the senders of all connections, so a batch never
// changes: Merge makes another one.
type frameBatch struct {
	count  *meshCounters
	own    bool // frames of this node; those of others are only relayed
	frames [][]byte
	size   int

	// The spare capacity of frames belongs to the first merge that asks for it, so
	// that a backlog of n frames takes O(n) and not O(n^2).
	extended atomic.Bool
}

func newFrameBatch(c *meshCounters, frame []byte, own bool) *frameBatch {
	return &frameBatch{count: c, own: own, frames: [][]byte{frame}, size: len(frame)}
}

// Merge implements mesh.GossipData. What is beyond meshMaxPending is dropped: the
// newest, because what waits is closer to being sent.
func (b *frameBatch) Merge(other mesh.GossipData) mesh.GossipData {
	o, ok := other.(*frameBatch)
	if !ok {
		return b
	}
	m := &frameBatch{count: b.count, own: b.own, frames: b.frames, size: b.size}
	if !b.extended.CompareAndSwap(false, true) {
		m.frames = slices.Clip(m.frames)
	}
	for i, f := range o.frames {
		if m.size+len(f) > meshMaxPending {
			b.count.dropped.Add(uint64(len(o.frames) - i))
			break
		}
		m.frames = append(m.frames, f)
		m.size += len(f)
	}
	return m
}

// Encode implements mesh.GossipData. mesh calls it when it sends the batch.
func (b *frameBatch) Encode() [][]byte {
	if b.own {
		b.count.framesOut.Add(uint64(len(b.frames)))
		b.count.bytesOut.Add(uint64(b.size))
	}
	return b.frames
}

// A meshQueue holds what is to be sent to one peer. A worker drains it, because
// mesh writes to the network on its caller, without a deadline; it lives while
// the queue isn't empty, and the queue lives as long as the worker.
type meshQueue struct {
	items []meshItem
	size  int
}

type meshItem struct {
	frame  []byte
	member bool // for the channel of the members
}

// push queues an item for a peer. The caller is inside the gate.
func (t *meshTransport) push(peer uint64, it meshItem) error {
	run := t.run.Load()
	if run == nil || peer == t.cfg.PeerID {
		return errUnknownPeer
	}
	if _, ok := run.router.Routes.UnicastAll(mesh.PeerName(peer)); !ok {
		return errUnknownPeer
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.queues[peer]
	if q == nil {
		q = &meshQueue{}
		t.queues[peer] = q
		t.spawn(func() { t.drain(run, peer, q) })
	}
	if q.size+len(it.frame) > meshMaxPending {
		t.count.dropped.Add(1)
		return errQueueFull
	}
	if it.member { // a question whether a node lives mustn't wait behind data
		q.items = slices.Insert(q.items, 0, it)
	} else {
		q.items = append(q.items, it)
	}
	q.size += len(it.frame)
	return nil
}

// dropQueue empties a peer's queue, and with that ends its worker, unless a write holds
// that up. t.mu is held.
func (t *meshTransport) dropQueue(peer uint64) {
	q := t.queues[peer]
	if q == nil {
		return
	}
	for _, it := range q.items {
		if !it.member {
			t.count.dropped.Add(1)
		}
	}
	q.items, q.size = nil, 0
}

// drain sends what is queued for a peer. What can't be sent is dropped: the peer is
// gone, or its connection is.
func (t *meshTransport) drain(run *meshRun, peer uint64, q *meshQueue) {
	for {
		t.mu.Lock()
		if len(q.items) == 0 || t.ctx.Err() != nil {
			delete(t.queues, peer)
			t.mu.Unlock()
			return
		}
		it := q.items[0]
		q.items[0] = meshItem{}
		q.items = q.items[1:]
		q.size -= len(it.frame)
		t.mu.Unlock()

		channel := run.frames
		if it.member {
			channel = run.members
		}
		err := channel.GossipUnicast(mesh.PeerName(peer), it.frame)
		switch {
		case it.member:
		case err != nil:
			t.count.dropped.Add(1)
		default:
			t.count.framesOut.Add(1)
			t.count.bytesOut.Add(uint64(len(it.frame)))
		}
	}
}
