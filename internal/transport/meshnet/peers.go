package meshnet

import (
	"context"
	"slices"
	"sync"
	"time"
)

// A peerTable knows the nodes that are there: which are connected with this node, and which are reached
// through which. Nothing waits under its lock, which comes before mesh's own.
type peerTable struct {
	self uint64           // PeerID
	most int              // nodes that are connected; 0 is no limit
	now  func() time.Time // the wall clock

	mu      sync.Mutex
	byID    map[uint64]*meshPeer
	relayed map[uint64]hop // nodes reached through others
	gone    departures
}

// A hop is the way to a node that isn't directly connected.
type hop struct {
	since time.Time // it is known
	hop   uint64    // the node that leads to it
}

// A meshPeer is a node with a connection to this one. It is under peerTable.mu.
type meshPeer struct {
	conns     []*meshConn   // admitted and not ended, oldest first
	admitting chan struct{} // not nil while a connection is being admitted; closed then

	joined *meshConn // the connection that the handler knows of, or is about to be told of
	told   bool      // the handler knows
}

// current is the connection that carries the traffic, or nil.
func (p *meshPeer) current() *meshConn {
	for _, c := range slices.Backward(p.conns) {
		if c.usable() {
			return c
		}
	}
	return nil
}

func (p *meshPeer) idle() bool { return len(p.conns) == 0 && p.admitting == nil && p.joined == nil }

func newPeerTable(self uint64, most int, now func() time.Time) *peerTable {
	return &peerTable{
		self: self, most: most, now: now,
		byID: make(map[uint64]*meshPeer), relayed: make(map[uint64]hop), gone: make(departures),
	}
}

// beginAdmission waits until no other connection with a node is being admitted.
func (t *peerTable) beginAdmission(ctx context.Context, id uint64) (*meshPeer, error) {
	for {
		t.mu.Lock()
		p := t.byID[id]
		if p == nil {
			p = &meshPeer{}
			t.byID[id] = p
		}
		before := p.admitting
		if before == nil {
			p.admitting = make(chan struct{})
			t.mu.Unlock()
			return p, nil
		}
		t.mu.Unlock()
		select {
		case <-before:
		case <-ctx.Done():
			return nil, errMeshClosing
		}
	}
}

func (t *peerTable) endAdmission(id uint64, p *meshPeer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(p.admitting)
	p.admitting = nil
	t.forgetIdleLocked(id, p)
}

// add registers a connection that has been admitted, unless ctx has ended or there are too many.
func (t *peerTable) add(ctx context.Context, p *meshPeer, c *meshConn) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if ctx.Err() != nil {
		return errMeshClosing
	}
	if len(p.conns) == 0 && t.fullLocked() {
		return refusef("MaxConns is reached: node %x has %d connections already", t.self, t.most)
	}
	c.admitted = time.Now()
	p.conns = append(p.conns, c)
	return nil
}

// drop forgets a connection that has ended, and wakes those that wait for its end. It reports whether
// both sides had wanted the connection.
func (t *peerTable) drop(c *meshConn) (lived bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.byID[c.peer]; p != nil {
		p.conns = slices.DeleteFunc(p.conns, func(o *meshConn) bool { return o == c })
		t.forgetIdleLocked(c.peer, p)
	}
	close(c.done)
	return c.usable()
}

// forgetIdleLocked forgets a node of which nothing is left. t.mu is held.
func (t *peerTable) forgetIdleLocked(id uint64, p *meshPeer) {
	if p.idle() {
		delete(t.byID, id)
	}
}

// confirm notes that mesh has added a connection on our side.
func (t *peerTable) confirm(c *meshConn) {
	t.mu.Lock()
	c.confirmed = true
	t.mu.Unlock()
}

// ready notes that the other side has confirmed a connection.
func (t *peerTable) ready(c *meshConn) {
	t.mu.Lock()
	if c.ready.IsZero() {
		c.ready = time.Now()
	}
	t.mu.Unlock()
}

// settled reports whether a connection is too old for another one to be a dial that crossed it.
func (t *peerTable) settled(c *meshConn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Since(c.admitted) > askFor+settled ||
		!c.ready.IsZero() && time.Since(c.ready) > settled
}

// broke notes why the connection with the other end at remote has ended.
func (t *peerTable) broke(remote, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.byID {
		for _, c := range p.conns {
			if c.remote == remote && c.ended == "" {
				c.ended = why
			}
		}
	}
}

// introduce returns a connection that mesh has added since the last time, or nil. added tells
// whether mesh has.
func (t *peerTable) introduce(added func(*meshConn) bool) *meshConn {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.byID {
		for _, c := range p.conns {
			if !c.introduced && added(c) {
				c.introduced = true
				return c
			}
		}
	}
	return nil
}

// A event is what the handler should know.
type event struct {
	joined       bool
	peer, origin uint64
	addr         string
	why          string // the node left, for people
}

// compare returns what the handler doesn't know yet. relayed says which node leads to which others: to
// one that is being admitted too, until there is a connection.
func (t *peerTable) compare(relayed map[uint64]uint64) (events []event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for id, p := range t.byID {
		// What was pending dies with a connection: another one is another Joined, also
		// when it is to the same life of the node.
		if p.joined != nil && !slices.Contains(p.conns, p.joined) {
			events = append(events, event{
				peer: id, origin: p.joined.origin, addr: p.joined.addr, why: p.joined.farewell(),
			})
			t.gone.note(id, departure{now, p.joined.addr, p.joined.closing.Load()}, false)
			p.joined, p.told = nil, false
		}
		if c := p.current(); c != nil && p.joined == nil {
			p.joined = c
			t.gone.back(id, now, false)
			events = append(events, event{joined: true, peer: id, origin: c.origin, addr: c.addr})
		}
		t.forgetIdleLocked(id, p)
	}
	for id := range t.relayed {
		direct := t.joinedLocked(id)
		if relayed[id] == 0 && !direct {
			t.gone.note(id, departure{at: now}, true)
		}
		if relayed[id] == 0 || direct {
			delete(t.relayed, id)
		}
	}
	for id, hop := range relayed {
		if t.joinedLocked(id) {
			continue
		}
		way, ok := t.relayed[id]
		if way.hop = hop; !ok {
			way.since = t.now()
			t.gone.back(id, now, true)
		}
		t.relayed[id] = way
	}
	return events
}

// farewell notes that a node that is reached through others has said that it closes. They will say that it
// is gone.
func (t *peerTable) farewell(id uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, far := t.relayed[id]; far {
		t.gone.note(id, departure{at: time.Now(), said: true}, false)
	}
}

// joinedLocked reports whether the handler knows that a node is connected, or is about to be told. t.mu
// is held.
func (t *peerTable) joinedLocked(id uint64) bool {
	p := t.byID[id]
	return p != nil && p.joined != nil
}

// told notes that the handler knows that a node has joined.
func (t *peerTable) told(id uint64) {
	t.mu.Lock()
	if p := t.byID[id]; p != nil && p.joined != nil {
		p.told = true
	}
	t.mu.Unlock()
}
