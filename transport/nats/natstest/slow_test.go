package natstest

import (
	"fmt"
	"testing"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/transport"
	"github.com/iwanbk/bcache/transport/nats"
)

// A node that is too slow for what comes begins anew: it leaves all, is left by all, and joins again.
func TestSlowConsumer(t *testing.T) {
	s := newServer(t)
	cfg := nats.Config{Servers: []string{s.ClientURL()}}
	a, b := newNode(t, 1, cfg), newNode(t, 2, cfg)
	held, release := make(chan struct{}), make(chan struct{})
	first := true
	b.h.On = func(uint64, []byte) { // on one goroutine: all is broadcast
		if first {
			first = false
			close(held)
			<-release
		}
	}
	a.start(t, "c")
	b.pending = 2 << 20
	b.start(t, "c")
	together(t, a, b)
	a.Broadcast([]byte("hold"))
	<-held
	testkit.Within(t, limit, func() error {
		a.Broadcast(make([]byte, 1<<20))
		if got := a.h.Count("-2"); got == 0 {
			return fmt.Errorf("node 2 is still there")
		}
		return nil
	})
	events(t, b, "-1", 1)
	b.log.says(t, "E this node is too slow for what comes from NATS")
	if got := b.Stats().DroppedFrames; got == 0 {
		t.Error("what nats.go drops isn't counted")
	}
	close(release)
	together(t, a, b)
	testkit.Within(t, limit, func() error { // what has waited is dropped now and then
		a.Broadcast([]byte("again"))
		if !b.h.Got(1, []byte("again")) {
			return fmt.Errorf("nothing comes")
		}
		return nil
	})
}

// Frames that are larger than what the server takes go in pieces.
func TestMaxPayload(t *testing.T) {
	for _, most := range []int32{1 << 10, 8 << 10, 1 << 20} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			s := newServer(t)
			s.stop()
			s.opts.MaxPayload = most
			s.start()
			nodes := startNodes(t, nats.Config{Servers: []string{s.ClientURL()}}, 1, 2, 3)
			for i, size := range []int{1, int(most) - 60, int(most), 64 << 10, 64<<10 + 1, transport.MaxFrame} {
				frame := make([]byte, size)
				frame[0] = byte(i)
				nodes[0].Broadcast(frame)
				testkit.Ok(t, nodes[1].Send(3, frame, i%2 == 0))
				arrives(t, nodes[1], nodes[0], frame)
				arrives(t, nodes[2], nodes[0], frame)
				arrives(t, nodes[2], nodes[1], frame)
			}
		})
	}
}
