package natstest

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/transport/nats"
)

// A stranger may publish what it likes: nodes drop it, and go on.
func TestStrangers(t *testing.T) {
	s := newServer(t)
	nodes := startNodes(t, nats.Config{Servers: []string{s.ClientURL()}}, 1, 2)
	c, err := natsgo.Connect(s.ClientURL())
	testkit.Ok(t, err)
	defer c.Close()
	var subjects []string
	for _, name := range []string{"all", "who"} {
		sub, err := c.SubscribeSync("bcache.*." + name)
		testkit.Ok(t, err)
		testkit.Ok(t, c.Flush())
		nodes[0].Broadcast([]byte("x"))
		m, err := sub.NextMsg(limit)
		testkit.Ok(t, err)
		testkit.Ok(t, sub.Unsubscribe())
		subjects = append(subjects, m.Subject)
		if name == "all" { // as it is known how they are named
			root := m.Subject[:len(m.Subject)-len("all")]
			for _, n := range nodes {
				subjects = append(subjects, fmt.Sprintf("%snode.%012x.%016x", root, n.id, n.origin))
			}
		}
	}
	message := func(kind byte, id, origin uint64, body ...byte) []byte {
		b := binary.LittleEndian.AppendUint64([]byte{1, kind}, id)
		b = binary.LittleEndian.AppendUint64(b, origin)
		return append(append(b, 1, 0, 0, 0), body...)
	}
	before := nodes[0].Stats()
	for _, subject := range subjects {
		for kind := range byte(9) {
			for _, b := range [][]byte{
				nil, {1}, make([]byte, 1000), message(kind, 0, 0), message(kind, 1<<63, 1), message(kind, 1, 2),
				message(kind, 3, 7, 0xff), message(kind, 3, 7, 0, 200), message(kind, 3, 7, 0, 1, 7),
				message(kind, nodes[1].id, 7, 0, 0), message(kind, nodes[0].id, 7, 0, 0),
			} {
				testkit.Ok(t, c.Publish(subject, b))
			}
		}
	}
	for i := range uint64(5000) { // more than there may be
		testkit.Ok(t, c.Publish(subjects[0], message(7, 100+i, 7, 2, 0, 'x')))
	}
	testkit.Ok(t, c.Flush())
	nodes[0].log.says(t, "is refused: this node knows 1024 others")
	nodes[0].log.says(t, "E somebody else publishes to bcache.")
	nodes[0].log.says(t, "E another node has the PeerID 1 of this one")
	nodes[1].Broadcast([]byte("go on"))
	arrives(t, nodes[0], nodes[1], []byte("go on"))
	if got := nodes[0].Stats().RefusedOther - before.RefusedOther; got < 100 {
		t.Errorf("%d were refused", got)
	}
	if got := nodes[0].h.Count("-2"); got > 0 {
		t.Errorf("node 2 has left %d times", got)
	}
}

// A node whose PeerID is in use is refused for as long as the other one lives, which isn't disturbed.
// Then it joins.
func TestPeerIDTwice(t *testing.T) {
	s := newServer(t)
	cfg := nats.Config{Servers: []string{s.ClientURL()}, Name: "first"}
	nodes := startNodes(t, cfg, 1, 2, 3)
	cfg.Name = "second"
	twin := newNode(t, 2, cfg)
	twin.start(t, t.Name())
	for _, n := range []*node{nodes[0], nodes[2]} {
		n.log.says(t, "E node 2 is refused: its PeerID is in use by another node, at first")
	}
	nodes[1].log.says(t, "E another node has the PeerID 2 of this one")
	twin.log.says(t, "E another node has the PeerID 2 of this one")
	if got := nodes[0].h.Count("+2") + nodes[2].h.Count("+2"); got != 2 {
		t.Errorf("nodes have joined node 2 %d times", got)
	}
	testkit.Ok(t, nodes[1].Close())
	together(t, nodes[0], nodes[2], twin)
}

// Nodes of two clusters use one server, and nothing of each other.
func TestTwoClusters(t *testing.T) {
	s := newServer(t)
	cfg := nats.Config{Servers: []string{s.ClientURL()}}
	a, b, x := newNode(t, 1, cfg), newNode(t, 2, cfg), newNode(t, 3, cfg)
	cfg.Subject = "caches.other"
	y := newNode(t, 4, cfg)
	a.start(t, "c")
	x.start(t, "")
	y.start(t, "c")
	b.start(t, "c")
	together(t, a, b)
	a.Broadcast([]byte("x"))
	arrives(t, b, a, []byte("x"))
	if got := len(x.Members()) + len(y.Members()) + x.h.NumFrames() + y.h.NumFrames(); got > 0 {
		t.Errorf("nodes of other clusters have %d members and frames", got)
	}
	x.log.says(t, "P no other node is reached: none answers below the subject bcache.")
}

// A node that vanishes is left, and remembered as gone.
func TestKilled(t *testing.T) {
	s := newServer(t)
	cfg := nats.Config{Servers: []string{s.ClientURL()}}
	w := newWires()
	a, b := newNode(t, 1, cfg), newNode(t, 2, with(cfg, w))
	a.start(t, "c")
	b.start(t, "c")
	together(t, a, b)
	w.kill()
	events(t, a, "-2", 1)
	all := a.Everybody(time.Hour)
	if len(all) != 1 || all[0].ID != 2 || !all[0].Gone || all[0].Addr != "host-2" {
		t.Errorf("everybody: %+v", all)
	}
	if all := a.Everybody(time.Nanosecond); len(all) != 0 {
		t.Errorf("everybody of just now: %+v", all)
	}
	if ms := a.Members(); len(ms) != 0 {
		t.Errorf("members: %+v", ms)
	}
}
