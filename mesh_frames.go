package bcache

import (
	"errors"

	"github.com/weaveworks/mesh"
)

// How frames go: to directly connected nodes by their lines, to others by a relay.

// lineTag marks the messages of lines among mesh's control messages.
const lineTag = mesh.ProtocolReserved1

// lineTo returns the line to a directly connected node, or nil.
func (t *meshTransport) lineTo(peer uint64) *meshLine {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.peers[peer]; p != nil {
		if c := p.current(); c != nil {
			return c.line
		}
	}
	return nil
}

// lines returns those to all directly connected nodes, and which others each of these leads to.
func (t *meshTransport) lines() (lines map[uint64]*meshLine, relays map[uint64][]uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines = make(map[uint64]*meshLine, len(t.peers))
	for id, p := range t.peers {
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

// Broadcast implements transport.
func (t *meshTransport) Broadcast(frame []byte) {
	if !t.scope.enter() {
		return
	}
	defer t.scope.leave()
	if len(frame) == 0 || len(frame) > maxItem {
		t.count.dropped.Add(1)
		return
	}
	lines, relays := t.lines()
	for id, l := range lines {
		it := lineItem{kind: itemFrame, bytes: frame, own: true, fresh: true}
		if beyond := relays[id]; len(beyond) > 0 {
			m := relayMessage{source: t.cfg.PeerID, left: relayHops, kind: itemFrame, item: frame}
			m.targets = append(beyond, id)
			it.kind, it.bytes = itemRelay, encodeRelay(&m)
		}
		_ = l.push(it, laneFirst)
	}
}

// Send implements transport.
func (t *meshTransport) Send(peer uint64, frame []byte, bulk bool) error {
	if !t.scope.enter() {
		return ErrClosed
	}
	defer t.scope.leave()
	lane := laneFirst
	if bulk {
		lane = laneBulk
	}
	return t.send(peer, lineItem{kind: itemFrame, bytes: frame, own: true}, lane)
}

// Supersede implements transport.
func (t *meshTransport) Supersede(peer uint64) {
	if l := t.lineTo(peer); l != nil {
		l.supersede()
	}
}

// send queues an item for a node. The caller is inside the gate.
func (t *meshTransport) send(peer uint64, it lineItem, lane int) error {
	switch l := t.lineTo(peer); {
	case peer == t.cfg.PeerID || len(it.bytes) == 0:
		return errUnknownPeer
	case len(it.bytes) > maxItem:
		t.count.dropped.Add(1)
		return errQueueFull
	case l != nil:
		if err := l.push(it, lane); !errors.Is(err, errLineEnded) {
			return err
		}
		return errUnknownPeer
	}
	m := relayMessage{source: t.cfg.PeerID, left: relayHops, targets: []uint64{peer}, kind: it.kind, item: it.bytes}
	return t.relay(m, 0, it, lane)
}

// receiveLine deals with a message that came in by a line, on the goroutine of mesh that received it.
func (t *meshTransport) receiveLine(c *meshConn, msg []byte) {
	m, err := decodeLine(msg)
	if m.kind == lineTaken && err == nil {
		if news, bulk := c.line.acked(m.taken); news {
			t.moved(c.peer, bulk)
		}
		return
	}
	defer c.line.received(len(msg)) // whatever it is
	if err != nil {
		t.log.Debugf(c.peer, "node %x (%s) sent a malformed message: %v", c.peer, c.addr, err)
		return
	}
	switch m.kind {
	case lineWhole:
		t.receiveItem(c.peer, m.whole.kind, m.whole.bytes)
	case linePieceOf:
		item, head := c.line.take(m.piece)
		if head != nil && m.piece.kind == itemFrame {
			t.call("Arriving", func() { t.run.Load().handler.Arriving(c.peer, head) })
		} else {
			t.moved(c.peer, false)
		}
		if item != nil {
			t.receiveItem(c.peer, m.piece.kind, item)
		}
	}
}

// moved tells the handler of bytes that have come in by a line, or that the other side has taken.
func (t *meshTransport) moved(peer uint64, bulk bool) {
	t.call("Moved", func() { t.run.Load().handler.Moved(peer, bulk) })
}

// receiveItem deals with an item that a node has sent, or had relayed.
func (t *meshTransport) receiveItem(from uint64, kind byte, item []byte) {
	switch kind {
	case itemFrame:
		t.deliver(from, item)
	case itemMember:
		t.receiveMember(from, item)
	case itemRelay:
		t.receiveRelay(from, item)
	}
}
