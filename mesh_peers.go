package bcache

import (
	"context"
	"slices"
	"sync"
	"time"
)

// A peerTable knows the nodes that are there: who is connected with this node, and who is reached through
// whom. Nothing waits under its lock, which comes before mesh's own.
type peerTable struct {
	self uint64           // PeerID
	most int              // nodes that are connected; 0 is no limit
	now  func() time.Time // the wall clock

	mu      sync.Mutex
	byID    map[uint64]*meshPeer
	relayed map[uint64]meshHop // nodes reached through others
}

// A meshHop is the way to a node that isn't directly connected.
type meshHop struct {
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
		byID: make(map[uint64]*meshPeer), relayed: make(map[uint64]meshHop),
	}
}

// beginAdmission waits until no other connection with a node is being admitted.
func (m *peerTable) beginAdmission(ctx context.Context, id uint64) (*meshPeer, error) {
	for {
		m.mu.Lock()
		p := m.byID[id]
		if p == nil {
			p = &meshPeer{}
			m.byID[id] = p
		}
		before := p.admitting
		if before == nil {
			p.admitting = make(chan struct{})
			m.mu.Unlock()
			return p, nil
		}
		m.mu.Unlock()
		select {
		case <-before:
		case <-ctx.Done():
			return nil, errMeshClosing
		}
	}
}

func (m *peerTable) endAdmission(id uint64, p *meshPeer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(p.admitting)
	p.admitting = nil
	m.forgetIdle(id, p)
}

// add registers a connection that has been admitted, unless ctx has ended or there are too many.
func (m *peerTable) add(ctx context.Context, p *meshPeer, c *meshConn) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return errMeshClosing
	}
	if len(p.conns) == 0 && m.fullLocked() {
		return refusef("MaxConns is reached: node %x has %d connections already", m.self, m.most)
	}
	c.admitted = time.Now()
	p.conns = append(p.conns, c)
	return nil
}

// drop forgets a connection that has ended, and tells who waits for that. It reports whether both
// sides had wanted the connection.
func (m *peerTable) drop(c *meshConn) (lived bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.byID[c.peer]; p != nil {
		p.conns = slices.DeleteFunc(p.conns, func(o *meshConn) bool { return o == c })
		m.forgetIdle(c.peer, p)
	}
	close(c.done)
	return c.usable()
}

// forgetIdle forgets a node of which nothing is left. m.mu is held.
func (m *peerTable) forgetIdle(id uint64, p *meshPeer) {
	if p.idle() {
		delete(m.byID, id)
	}
}

// confirm notes that mesh has added a connection on our side.
func (m *peerTable) confirm(c *meshConn) {
	m.mu.Lock()
	c.confirmed = true
	m.mu.Unlock()
}

// ready notes that the other side has confirmed a connection.
func (m *peerTable) ready(c *meshConn) {
	m.mu.Lock()
	if c.ready.IsZero() {
		c.ready = time.Now()
	}
	m.mu.Unlock()
}

// settled reports whether a connection is too old for another one to be a dial that crossed it.
func (m *peerTable) settled(c *meshConn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Since(c.admitted) > meshAskFor+meshSettled ||
		!c.ready.IsZero() && time.Since(c.ready) > meshSettled
}

// broke notes why the connection with the other end at remote has ended.
func (m *peerTable) broke(remote, why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.byID {
		for _, c := range p.conns {
			if c.remote == remote && c.ended == "" {
				c.ended = why
			}
		}
	}
}

// introduce returns a connection that mesh has added since the last time, or nil. added tells
// whether mesh has.
func (m *peerTable) introduce(added func(*meshConn) bool) *meshConn {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.byID {
		for _, c := range p.conns {
			if !c.introduced && added(c) {
				c.introduced = true
				return c
			}
		}
	}
	return nil
}

// A meshEvent is what the handler should know.
type meshEvent struct {
	joined       bool
	peer, origin uint64
	addr         string
	why          string // of one that left, for people
}

// compare compares who is there with what the handler knows, and takes over who is relayed by whom.
func (m *peerTable) compare(relayed map[uint64]uint64) (events []meshEvent) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, p := range m.byID {
		// What was pending dies with a connection: another one is another Joined, also
		// when it is to the same life of the node.
		if p.joined != nil && !slices.Contains(p.conns, p.joined) {
			events = append(events, meshEvent{peer: id, addr: p.joined.addr, why: p.joined.farewell()})
			p.joined, p.told = nil, false
		}
		if c := p.current(); c != nil && p.joined == nil {
			p.joined = c
			events = append(events, meshEvent{joined: true, peer: id, origin: c.origin, addr: c.addr})
		}
		m.forgetIdle(id, p)
	}
	for id := range m.relayed {
		if relayed[id] == 0 || m.byID[id] != nil {
			delete(m.relayed, id)
		}
	}
	for id, hop := range relayed {
		if m.byID[id] != nil {
			continue
		}
		way, ok := m.relayed[id]
		if way.hop = hop; !ok {
			way.since = m.now()
		}
		m.relayed[id] = way
	}
	return events
}

// told notes that the handler knows that a node has joined.
func (m *peerTable) told(id uint64) {
	m.mu.Lock()
	if p := m.byID[id]; p != nil && p.joined != nil {
		p.told = true
	}
	m.mu.Unlock()
}
