package natstest

import (
	"net"
	"slices"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/transport/nats"
)

// A node starts without a server, says what it can't reach, and joins once there is one.
func TestServerComesLater(t *testing.T) {
	s := newServer(t)
	s.stop()
	cfg := nats.Config{Servers: []string{s.ClientURL()}}
	a, b := newNode(t, 1, cfg), newNode(t, 2, cfg)
	a.start(t, "c")
	b.start(t, "c")
	failed := a.Unreached()
	if len(failed) != 1 || failed[0].Addr != s.addr() || !failed[0].Configured || failed[0].Err == nil {
		t.Errorf("unreached: %v", failed)
	}
	a.log.says(t, "E can't connect to NATS: ")
	a.Broadcast([]byte("nobody is there"))
	s.start()
	together(t, a, b)
	if failed := a.Unreached(); len(failed) > 0 {
		t.Errorf("unreached: %v", failed)
	}
	if b.h.Got(1, []byte("nobody is there")) {
		t.Error("what was broadcast without a server is kept")
	}
	a.log.says(t, "P connected to NATS at ")
}

// All are left when the server goes, as gone without a goodbye, and joined again when it is back.
func TestServerRestarts(t *testing.T) {
	s := newServer(t)
	nodes := startNodes(t, nats.Config{Servers: []string{s.ClientURL()}}, 1, 2, 3)
	s.stop()
	for _, n := range nodes {
		events(t, n, "-", 2)
		var gone []uint64
		for _, p := range n.Everybody(time.Hour) {
			if p.Gone {
				gone = append(gone, p.ID)
			}
		}
		want := slices.DeleteFunc([]uint64{1, 2, 3}, func(id uint64) bool { return id == n.id })
		if !slices.Equal(gone, want) {
			t.Errorf("node %x: gone are %v, want %v", n.id, gone, want)
		}
		n.log.says(t, "E disconnected from NATS: ")
	}
	s.start()
	together(t, nodes...)
	nodes[0].Broadcast([]byte("again"))
	arrives(t, nodes[2], nodes[0], []byte("again"))
	for _, n := range nodes {
		if got := n.Everybody(time.Hour); len(got) != 2 || got[0].Gone || got[1].Gone {
			t.Errorf("node %x: everybody is %+v", n.id, got)
		}
	}
}

// Only one node loses its connection: the others leave it, and it leaves them.
func TestConnectionIsLost(t *testing.T) {
	s := newServer(t)
	cfg := nats.Config{Servers: []string{s.ClientURL()}}
	w := newWires()
	a := newNode(t, 1, with(cfg, w))
	b, c := newNode(t, 2, cfg), newNode(t, 3, cfg)
	for _, n := range []*node{a, b, c} {
		n.start(t, "c")
	}
	together(t, a, b, c)
	w.reset()
	events(t, a, "-", 2)
	events(t, b, "-1", 1)
	events(t, c, "-1", 1)
	together(t, a, b, c)
	if got := b.h.Count("-3"); got != 0 {
		t.Errorf("node 2 has left node 3 %d times", got)
	}
	testkit.Ok(t, c.Send(1, []byte("again"), true))
	arrives(t, a, c, []byte("again"))
}

// Close takes a moment, also when the server is away, or takes nothing.
func TestCloseWithoutServer(t *testing.T) {
	s := newServer(t)
	cfg := nats.Config{Servers: []string{s.ClientURL()}}
	w := newWires()
	a, b := newNode(t, 1, with(cfg, w)), newNode(t, 2, cfg)
	a.start(t, "c")
	b.start(t, "c")
	together(t, a, b)
	w.freeze(true)
	defer w.freeze(false)
	for range 100 {
		_ = a.Send(2, make([]byte, 1<<20), true)
	}
	soon := func(n *node) {
		t.Helper()
		start := time.Now()
		testkit.Ok(t, n.Close())
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("Close takes %v", took)
		}
	}
	soon(a)
	s.stop()
	events(t, b, "-", 1)
	soon(b)
	d := newNode(t, 4, cfg) // there never was a server
	d.start(t, "c")
	soon(d)
}

// Close takes a moment, also while Start waits for a server that says nothing.
func TestCloseWhileServerIsSilent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	testkit.Ok(t, err)
	defer l.Close()
	n := newNode(t, 1, nats.Config{
		Servers: []string{"nats://" + l.Addr().String()},
		Options: []natsgo.Option{natsgo.Timeout(limit)},
	})
	started := make(chan error, 1)
	go func() { started <- n.starts("c") }()
	c, err := l.Accept()
	testkit.Ok(t, err)
	defer c.Close()
	begin := time.Now()
	testkit.Ok(t, n.Close())
	if took := time.Since(begin); took > limit/2 {
		t.Errorf("Close takes %v", took)
	}
	if err := <-started; err == nil {
		t.Error("Start doesn't say that it failed")
	}
}
