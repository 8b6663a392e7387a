package memberlist

import (
	"bytes"
	"errors"
	"net"
	"testing"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/engine"
	"github.com/iwanbk/bcache/internal/transport/lanes"
	"github.com/iwanbk/bcache/transport"
)

// What waits beside frames for a neighbour that takes nothing is bounded.
func TestControlsAreBounded(t *testing.T) {
	_, link := rosterRig(t)
	l := link(5, 50)
	for range 100 {
		l.control(msgPacket, make([]byte, packetSize))
	}
	if n := len(l.write.controls); n == 0 || n*packetSize > maxControls {
		t.Errorf("%d wait", n)
	}
	for len(l.write.controls) > 0 {
		if b, has := l.batch(nil); len(b) > batchSize+packetSize+headSize || has != (batch{}) {
			t.Fatalf("%d bytes go at once", len(b))
		}
	}
	if l.write.waits != 0 {
		t.Errorf("%d bytes wait in nothing", l.write.waits)
	}
}

// Frames of all sizes arrive, in the clear and encrypted, and others are refused.
func TestFramesOfAllSizes(t *testing.T) {
	for what, cfg := range map[string]func(int) Config{"clear": plain, "encrypted": keyed} {
		all := together(t, 2, cfg)
		for _, size := range []int{1, 100, readBuffer, pieceSize, pieceSize + 1, 64 << 10, transport.MaxFrame} {
			frame := bytes.Repeat([]byte{byte(size)}, size)
			testkit.Must(t, all[0].Send(2, frame, size > 1000))
			until(t, what, func() bool { return all[1].Got(1, frame) })
		}
		if err := all[0].Send(2, make([]byte, transport.MaxFrame+1), true); !errors.Is(err, transport.ErrQueueFull) {
			t.Errorf("a frame that is too large: %v", err)
		}
		all[0].Broadcast(make([]byte, transport.MaxFrame+1))
		if s := all[0].Stats(); s.DroppedFrames != 2 || s.FramesOut != 7 {
			t.Errorf("%s: %+v", what, s)
		}
		for _, id := range []uint64{1, 9} {
			if err := all[0].Send(id, []byte("x"), false); !errors.Is(err, transport.ErrUnknownPeer) {
				t.Errorf("to node %d: %v", id, err)
			}
		}
		for i, p := range all {
			m, other := p.Members(), all[1-i].Members()
			if len(m) != 1 || m[0].Encrypted != (what == "encrypted") || m[0].Inbound == other[0].Inbound {
				t.Errorf("%s: %+v, and of the other one %+v", what, m, other)
			}
		}
	}
}

// A node that is disconnected is back, and between it was left.
func TestDisconnect(t *testing.T) {
	all := together(t, 2, plain)
	for range 3 {
		n := all[0].Count("+")
		all[0].Disconnect(2)
		all[0].Disconnect(7)
		until(t, "it is back", func() bool { return all[0].Count("+") == n+1 && full(all) })
	}
	if plus, minus := all[0].Count("+"), all[0].Count("-"); plus != minus+1 {
		t.Errorf("the node was told %v", all[0].Events)
	}
}

// Of frames that were read when a link is ended, none goes to the handler any more; a goodbye counts.
func TestNothingComesOfAnEndedLink(t *testing.T) {
	_, link := rosterRig(t)
	l := link(5, 50)
	to := &testkit.Handler{On: func(uint64, []byte) { l.end(errDisconnect) }}
	l.hub.up = &engine.Upcalls{Open: l.hub.life.open, Log: l.hub.node.Log, To: to}
	var b []byte
	for i := range byte(9) {
		b = appendPiece(b, &lanes.Piece{First: true, Last: true, Bytes: []byte{i}})
	}
	l.conn = &recorded{l.conn, bytes.NewReader(append(b, message(msgBye, nil)...))}
	if err := l.receive(); err != errBye || !l.closes() {
		t.Errorf("a goodbye of a link that has ended: %v", err)
	}
	if n := to.NumFrames(); n != 1 || !to.Got(5, []byte{0}) {
		t.Errorf("%d frames have come: %v", n, to.Frames)
	}
}

// A recorded is a connection on which everything has come that will.
type recorded struct {
	net.Conn
	in *bytes.Reader
}

func (r *recorded) Read(b []byte) (int, error) { return r.in.Read(b) }

// Of a neighbour that is there, an ask finds so in no time; of one that is frozen, in bounded time.
func TestAsk(t *testing.T) {
	g := &gate{open: make(chan struct{})}
	close(g.open)
	host := start(t, 1, Config{})
	other := bare(t, 2, Config{Join: []string{host.Addr()}})
	other.through = g.through
	testkit.Must(t, other.Start(other.node(5), other.Handler))
	t.Cleanup(func() { other.Close() })
	until(t, "they join", func() bool { return full([]*place{host, other}) })
	l := host.roster.link(2)
	until(t, "it is there", l.ask)
	defer g.freeze()()
	until(t, "what was under way has come", func() bool { return !l.ask() })
	if l.ask() {
		t.Error("it is there")
	}
	l.end(errDisconnect)
	if l.ask() {
		t.Error("a link that has ended is there")
	}
}
