package meshnet

import (
	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/transport/engine"
)

// A meshReceiver deals with what comes in by lines, on the goroutine of mesh that received it.
type meshReceiver struct {
	self      uint64 // PeerID
	scope     *scope
	upcalls   *engine.Upcalls
	sender    *sender
	discovery *discovery
	count     *engine.Counters
}

// message deals with a message of a line.
func (r *meshReceiver) message(c *meshConn, msg []byte) {
	m, err := decodeLine(msg)
	if m.kind == lineTaken && err == nil {
		if news, bulk := c.line.acked(m.taken); news {
			r.upcalls.Moved(c.peer, bulk)
		}
		return
	}
	defer c.line.received(len(msg)) // whatever it is
	if err != nil {
		r.scope.log.Debugf(c.peer, "node %x (%s) sent a malformed message: %v",
			c.peer, linelog.Field("addr", c.addr), linelog.Field("err", err))
		return
	}
	switch m.kind {
	case lineWhole:
		r.item(c.peer, m.whole.kind, m.whole.bytes)
	case linePieceOf:
		item, head := c.line.take(m.piece)
		if head != nil && m.piece.kind == itemFrame {
			r.upcalls.Arriving(c.peer, head)
		} else {
			r.upcalls.Moved(c.peer, false)
		}
		if item != nil {
			r.item(c.peer, m.piece.kind, item)
		}
	}
}

// item deals with an item that a node has sent, or had relayed.
func (r *meshReceiver) item(from uint64, kind byte, item []byte) {
	switch kind {
	case itemFrame:
		r.frame(from, item)
	case itemMember:
		r.discovery.receive(from, item)
	case itemRelay:
		r.relay(from, item)
	}
}

// frame hands a frame to the handler.
func (r *meshReceiver) frame(from uint64, frame []byte) {
	if from == r.self || !r.scope.Enter() {
		return
	}
	defer r.scope.Leave()
	r.count.FramesIn.Add(1)
	r.count.BytesIn.Add(uint64(len(frame)))
	r.upcalls.Receive(from, frame)
}

// relay takes an item that is for this node, and passes on what is for others.
func (r *meshReceiver) relay(from uint64, b []byte) {
	m, err := decodeRelay(b)
	if err != nil {
		r.scope.log.Debugf(from, "node %x sent a malformed relay: %v", from, linelog.Field("err", err))
		return
	}
	if m.source == r.self {
		return // it went in a circle
	}
	rest := m.targets[:0]
	here := false
	for _, id := range m.targets {
		if id == r.self {
			here = true
		} else {
			rest = append(rest, id)
		}
	}
	if m.targets = rest; len(rest) > 0 && m.left > 1 {
		m.left--
		// A node that isn't reached will ask others.
		_ = r.sender.relay(m, from, lineItem{fresh: m.kind == itemFrame}, laneFirst)
	}
	if here {
		r.item(m.source, m.kind, m.item)
	}
}
