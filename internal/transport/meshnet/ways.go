package meshnet

import (
	"cmp"
	"slices"
	"time"

	"github.com/iwanbk/bcache/transport"
)

// What the other parts ask of the peerTable: which nodes are there, and by which way.

// lineTo returns the line to a directly connected node, or nil.
func (t *peerTable) lineTo(id uint64) *meshLine {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.byID[id]; p != nil {
		if c := p.current(); c != nil {
			return c.line
		}
	}
	return nil
}

// lines returns those to all directly connected nodes, and which others each of these leads to.
func (t *peerTable) lines() (lines map[uint64]*meshLine, relays map[uint64][]uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines = make(map[uint64]*meshLine, len(t.byID))
	for id, p := range t.byID {
		if c := p.current(); c != nil {
			lines[id] = c.line
		}
	}
	for id, way := range t.relayed {
		if relays == nil {
			relays = make(map[uint64][]uint64)
		}
		relays[way.hop] = append(relays[way.hop], id)
	}
	return lines, relays
}

// hopTo returns the directly connected node that leads to one; 0 if there is none.
func (t *peerTable) hopTo(id uint64) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.byID[id]; p != nil && p.current() != nil {
		return id
	}
	return t.relayed[id].hop
}

// connected reports whether there is a connection to a node.
func (t *peerTable) connected(id uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.byID[id]
	return p != nil && len(p.conns) > 0
}

// relays reports whether a node is reached through others.
func (t *peerTable) relays(id uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.relayed[id]
	return ok
}

// conns returns the connections to a node, oldest first.
func (t *peerTable) conns(id uint64) []*meshConn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.byID[id]; p != nil {
		return slices.Clone(p.conns)
	}
	return nil
}

// allConns returns the connections to all nodes.
func (t *peerTable) allConns() (all []*meshConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.byID {
		all = append(all, p.conns...)
	}
	return all
}

// usable returns the connections that both sides have confirmed.
func (t *peerTable) usable() (all []*meshConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.byID {
		for _, c := range p.conns {
			if c.usable() {
				all = append(all, c)
			}
		}
	}
	return all
}

// full reports whether as many nodes are connected as may be.
func (t *peerTable) full() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.fullLocked()
}

// fullLocked is full. t.mu is held.
func (t *peerTable) fullLocked() bool { return t.most > 0 && t.countLocked() >= t.most }

// count counts the nodes that there is a connection with.
func (t *peerTable) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.countLocked()
}

// countLocked is count. t.mu is held.
func (t *peerTable) countLocked() int {
	n := 0
	for _, p := range t.byID {
		if len(p.conns) > 0 {
			n++
		}
	}
	return n
}

// neighbours returns the nodes that there is a connection with.
func (t *peerTable) neighbours() (ids []uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, p := range t.byID {
		if len(p.conns) > 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// joined returns the nodes that the handler knows of, or is about to be told of.
func (t *peerTable) joined() (ids []uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, p := range t.byID {
		if p.joined != nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// everybody lists the nodes that are there, and those that are gone without a goodbye for less than
// within, by ID. addrOf tells the address of one that isn't connected.
func (t *peerTable) everybody(
	within time.Duration, addrOf func(id uint64) string,
) (all []transport.Presence) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, p := range t.byID {
		if c := p.joined; c != nil {
			all = append(all, transport.Presence{ID: id, Addr: c.addr, Origin: c.origin, Since: c.since})
		}
	}
	for id, way := range t.relayed {
		all = append(all, transport.Presence{ID: id, Addr: addrOf(id), Since: way.since})
	}
	for id, d := range t.gone {
		if _, far := t.relayed[id]; far || d.said || time.Since(d.at) >= within {
			continue
		}
		if d.addr == "" {
			d.addr = addrOf(id)
		}
		all = append(all, transport.Presence{ID: id, Addr: d.addr, Since: d.at, Gone: true})
	}
	slices.SortFunc(all, func(a, b transport.Presence) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// members lists the nodes that are there, by ID. addrOf tells the address of one that isn't connected.
func (t *peerTable) members(addrOf func(id uint64) string) (ms []transport.Member) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, p := range t.byID {
		if !p.told { // before, the handler may not send it what is written
			continue
		}
		one := transport.Member{ID: id, Since: p.joined.since, Direct: true}
		if c := p.current(); c != nil {
			one.Addr, one.Inbound, one.Encrypted = c.addr, !c.outbound, c.encrypted
		}
		ms = append(ms, one)
	}
	for id, way := range t.relayed {
		ms = append(ms, transport.Member{ID: id, Since: way.since, Addr: addrOf(id)})
	}
	slices.SortFunc(ms, func(a, b transport.Member) int { return cmp.Compare(a.ID, b.ID) })
	return ms
}
