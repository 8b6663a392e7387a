package bcache

import (
	"cmp"
	"slices"
)

// Who is there, and by which way: what the other parts ask of the peerTable.

// lineTo returns the line to a directly connected node, or nil.
func (m *peerTable) lineTo(id uint64) *meshLine {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.byID[id]; p != nil {
		if c := p.current(); c != nil {
			return c.line
		}
	}
	return nil
}

// lines returns those to all directly connected nodes, and which others each of these leads to.
func (m *peerTable) lines() (lines map[uint64]*meshLine, relays map[uint64][]uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	lines = make(map[uint64]*meshLine, len(m.byID))
	for id, p := range m.byID {
		if c := p.current(); c != nil {
			lines[id] = c.line
		}
	}
	for id, way := range m.relayed {
		if relays == nil {
			relays = make(map[uint64][]uint64)
		}
		relays[way.hop] = append(relays[way.hop], id)
	}
	return lines, relays
}

// hopTo returns the directly connected node that leads to one; 0 if there is none.
func (m *peerTable) hopTo(id uint64) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.byID[id]; p != nil && p.current() != nil {
		return id
	}
	return m.relayed[id].hop
}

// connected reports whether there is a connection to a node.
func (m *peerTable) connected(id uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.byID[id]
	return p != nil && len(p.conns) > 0
}

// relays reports whether a node is reached through others.
func (m *peerTable) relays(id uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.relayed[id]
	return ok
}

// conns returns the connections to a node, oldest first.
func (m *peerTable) conns(id uint64) []*meshConn {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.byID[id]; p != nil {
		return slices.Clone(p.conns)
	}
	return nil
}

// allConns returns the connections to all nodes.
func (m *peerTable) allConns() (all []*meshConn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.byID {
		all = append(all, p.conns...)
	}
	return all
}

// usable returns the connections that both sides have confirmed.
func (m *peerTable) usable() (all []*meshConn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.byID {
		for _, c := range p.conns {
			if c.usable() {
				all = append(all, c)
			}
		}
	}
	return all
}

// full reports whether as many nodes are connected as may be.
func (m *peerTable) full() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fullLocked()
}

// fullLocked is full. m.mu is held.
func (m *peerTable) fullLocked() bool { return m.most > 0 && m.countLocked() >= m.most }

// count counts the nodes that there is a connection with.
func (m *peerTable) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.countLocked()
}

// countLocked is count. m.mu is held.
func (m *peerTable) countLocked() int {
	n := 0
	for _, p := range m.byID {
		if len(p.conns) > 0 {
			n++
		}
	}
	return n
}

// neighbours returns the nodes that there is a connection with.
func (m *peerTable) neighbours() (ids []uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, p := range m.byID {
		if len(p.conns) > 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// joined returns the nodes that the handler knows of, or is about to be told of.
func (m *peerTable) joined() (ids []uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, p := range m.byID {
		if p.joined != nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// members lists who is there, by ID. Of who isn't connected addrOf tells the address.
func (m *peerTable) members(addrOf func(id uint64) string) (ms []Member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, p := range m.byID {
		if !p.told { // before, the handler may not send it what is written
			continue
		}
		one := Member{ID: id, Since: p.joined.since, Direct: true}
		if c := p.current(); c != nil {
			one.Addr, one.Inbound, one.Encrypted = c.addr, !c.outbound, c.encrypted
		}
		ms = append(ms, one)
	}
	for id, way := range m.relayed {
		ms = append(ms, Member{ID: id, Since: way.since, Addr: addrOf(id)})
	}
	slices.SortFunc(ms, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return ms
}
