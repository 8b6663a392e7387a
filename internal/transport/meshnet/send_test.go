package meshnet

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/engine"
	"github.com/iwanbk/bcache/transport"
)

// A partsNode is what frames need of a transport, without mesh: lines end in the other node's receiver.
type partsNode struct {
	*sender
	receiver *meshReceiver
	h        testkit.Handler
	asker    *asker
}

func newPartsNode(t *testing.T, id uint64) *partsNode {
	n := &partsNode{}
	log := &meshLog{t: t}
	scope := newMeshScope(linelog.New(log, time.Now))
	t.Cleanup(scope.Cancel)
	n.sender = &sender{self: id, peers: newPeerTable(id, 0, time.Now), count: &engine.Counters{}}
	n.asker = newMeshAsker(scope, n.sender)
	n.receiver = &meshReceiver{
		self: id, scope: scope, upcalls: &engine.Upcalls{Open: scope.Open, Log: scope.log, To: &n.h}, sender: n.sender,
		discovery: &discovery{
			self: id, origin: id << 8, scope: scope, peers: n.peers, sender: n.sender, asker: n.asker,
		},
		count: n.count,
	}
	return n
}

// partsLink connects two nodes.
func partsLink(t *testing.T, a, b *partsNode) (toB, toA *meshConn) {
	toB, toA = tableConn(b.self, b.self<<8), tableConn(a.self, a.self<<8)
	for _, end := range []struct {
		from, to    *partsNode
		conn, other *meshConn
	}{{a, b, toB, toA}, {b, a, toA, toB}} {
		write := func(msg []byte) error {
			end.to.receiver.message(end.other, msg)
			return nil
		}
		end.conn.line = newMeshLine(
			write, end.from.receiver.scope.spawn, end.conn.done,
			end.from.count, new(atomic.Uint64), maxPending,
		)
	}
	tableAdd(t, a.peers, toB)
	tableAdd(t, b.peers, toA)
	return toB, toA
}

// What is for nodes beyond others gets there, once, and comes to an end where routes are a circle.
func TestMeshSenderRelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c := newPartsNode(t, 0xa), newPartsNode(t, 0xb), newPartsNode(t, 0xc)
		partsLink(t, a, b)
		partsLink(t, b, c)
		a.peers.compare(map[uint64]uint64{0xc: 0xb, 0xd: 0xb})
		b.peers.compare(map[uint64]uint64{0xd: 0xa})
		c.peers.compare(map[uint64]uint64{0xa: 0xb})

		a.broadcast([]byte("to all"))
		testkit.Must(t, c.send(0xa, lineItem{kind: itemFrame, bytes: frameOf(200_000, "for a "), own: true}, laneBulk))
		testkit.Must(t, a.send(0xd, lineItem{kind: itemFrame, bytes: []byte("in a circle")}, laneFirst))
		synctest.Wait()
		if b.h.Times(0xa, []byte("to all")) != 1 || c.h.Times(0xa, []byte("to all")) != 1 {
			t.Errorf("b got %v, c got %v", b.h.Frames, c.h.Frames)
		}
		if a.h.Times(0xc, frameOf(200_000, "for a ")) != 1 || b.h.NumFrames() != 1 || a.h.NumFrames() != 1 {
			t.Errorf("a got %v, b got %v", a.h.Frames, b.h.Frames)
		}
		nobodys := lineItem{kind: itemFrame, bytes: []byte("x")}
		if err := a.send(0xe, nobodys, laneFirst); !errors.Is(err, transport.ErrUnknownPeer) {
			t.Errorf("to nobody: %v", err)
		}
	})
}

// A node that lives answers with its life, over its connection or over others. One that doesn't is given
// up, at once when the way to it is gone.
func TestMeshAsker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c := newPartsNode(t, 0xa), newPartsNode(t, 0xb), newPartsNode(t, 0xc)
		toB, _ := partsLink(t, a, b)
		partsLink(t, b, c)
		a.peers.compare(map[uint64]uint64{0xc: 0xb})
		c.peers.compare(map[uint64]uint64{0xa: 0xb})
		if origin, ok := a.asker.ask(0xb, toB); !ok || origin != 0xb00 {
			t.Errorf("b answers %x, %v", origin, ok)
		}
		if origin, ok := a.asker.ask(0xc, nil); !ok || origin != 0xc00 {
			t.Errorf("c answers %x, %v", origin, ok)
		}
		b.receiver.scope.Shut() // it doesn't answer any more
		begin := time.Now()
		if _, ok := a.asker.ask(0xb, toB); ok || time.Since(begin) != askFor {
			t.Errorf("answered: %v, after %v", ok, time.Since(begin))
		}
		begin = time.Now()
		time.AfterFunc(time.Second, func() { a.peers.drop(toB) })
		if _, ok := a.asker.ask(0xb, toB); ok || time.Since(begin) != time.Second {
			t.Errorf("answered: %v, after %v", ok, time.Since(begin))
		}
		if _, ok := a.asker.ask(0xe, nil); ok || len(a.asker.pings) > 0 {
			t.Errorf("nobody answers: %v, %d pings are left", ok, len(a.asker.pings))
		}
	})
}
