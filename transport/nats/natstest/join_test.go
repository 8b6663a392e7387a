package natstest

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/transport"
	"github.com/iwanbk/bcache/transport/nats"
)

func TestNodesJoin(t *testing.T) {
	s := newServer(t)
	nodes := startNodes(t, nats.Config{Servers: []string{s.ClientURL()}}, 1, 2, 3)
	a, b, c := nodes[0], nodes[1], nodes[2]
	for _, n := range nodes {
		frame := bytes.Repeat([]byte{byte(n.id)}, transport.MaxFrame)
		n.Broadcast(frame)
		for _, o := range nodes {
			if o != n {
				arrives(t, o, n, frame)
			}
		}
	}
	testkit.Ok(t, a.Send(2, []byte("to b"), false))
	arrives(t, b, a, []byte("to b"))
	if c.h.Got(1, []byte("to b")) {
		t.Error("node 3 got what was sent to node 2")
	}
	if err := a.Send(9, []byte("x"), false); !errors.Is(err, transport.ErrUnknownPeer) {
		t.Errorf("Send to nobody: %v", err)
	}
	ms := a.Members()
	if len(ms) != 2 || ms[0].ID != 2 || ms[0].Addr != "host-2" || !ms[0].Direct || ms[0].Encrypted {
		t.Errorf("members: %+v", ms)
	}
	testkit.Ok(t, b.Close())
	events(t, a, "-2", 1)
	if all := a.Everybody(time.Hour); len(all) != 1 || all[0].ID != 3 || all[0].Origin != c.origin {
		t.Errorf("everybody: %+v", all)
	}
}
