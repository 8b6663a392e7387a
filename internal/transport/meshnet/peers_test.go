package meshnet

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
)

func tableConn(peer, origin uint64) *meshConn {
	return &meshConn{
		greeting: greeting{peer: peer, origin: origin, addr: "node:1"},
		done:     make(chan struct{}), errs: make(chan error, 1),
	}
}

// tableAdd has a connection admitted, and mesh and the other side take it.
func tableAdd(t *testing.T, table *peerTable, c *meshConn) {
	t.Helper()
	p, err := table.beginAdmission(t.Context(), c.peer)
	testkit.Must(t, err)
	testkit.Must(t, table.add(t.Context(), p, c))
	table.endAdmission(c.peer, p)
	table.confirm(c)
	table.ready(c)
}

// The handler is told of each connection once that carries traffic, and that it is gone; a node is a
// member from when the handler knows of it. Nothing is left of one that is gone.
func TestMeshPeerTableCompares(t *testing.T) {
	table := newPeerTable(0xa, 0, time.Now)
	first, second := tableConn(0xb, 1), tableConn(0xb, 2)
	members := func() int { return len(table.members(func(uint64) string { return "" })) }
	tableAdd(t, table, first)
	events := table.compare(nil)
	if len(events) != 1 || !events[0].joined || events[0].origin != 1 || members() != 0 {
		t.Errorf("%+v, %d members", events, members())
	}
	if table.told(0xb); members() != 1 || len(table.compare(nil)) > 0 {
		t.Errorf("%d members, or it joins again", members())
	}
	tableAdd(t, table, second)
	if len(table.compare(nil)) > 0 || table.count() != 1 {
		t.Error("a second connection is another node")
	}
	table.broke("", "reset")
	if !table.drop(first) {
		t.Error("it never lived")
	}
	events = table.compare(nil)
	if len(events) != 2 || events[0].joined || events[0].why != "the connection broke: reset" ||
		events[1].origin != 2 {
		t.Errorf("%+v", events)
	}
	table.drop(second)
	table.compare(nil)
	if len(table.byID) > 0 || table.connected(0xb) {
		t.Error("the node isn't forgotten")
	}
}

// A node that is reached through another one is a member until it is connected, or nobody leads to it.
func TestMeshPeerTableRelays(t *testing.T) {
	table := newPeerTable(0xa, 0, time.Now)
	hub, far := tableConn(0xf, 1), tableConn(0xb, 2)
	tableAdd(t, table, hub)
	table.compare(map[uint64]uint64{0xb: 0xf, 0xc: 0xf})
	if _, relays := table.lines(); !slices.Contains(relays[0xf], 0xb) || table.hopTo(0xb) != 0xf ||
		!table.relays(0xb) {
		t.Errorf("relays %v, by %x", relays, table.hopTo(0xb))
	}
	tableAdd(t, table, far)
	table.compare(map[uint64]uint64{0xb: 0xf})
	if table.hopTo(0xb) != 0xb || table.relays(0xb) || table.hopTo(0xc) != 0 || len(table.relayed) > 0 {
		t.Errorf("%v", table.relayed)
	}
}

// Connections of one node are admitted one after the other; more nodes than MaxConns aren't, nor is
// anybody once the transport closes.
func TestMeshPeerTableAdmits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newPeerTable(0xa, 1, time.Now)
		ctx, cancel := context.WithCancel(t.Context())
		p, err := table.beginAdmission(ctx, 0xb)
		testkit.Must(t, err)
		begin := time.Now()
		time.AfterFunc(time.Second, func() { table.endAdmission(0xb, p) })
		p, err = table.beginAdmission(ctx, 0xb)
		if testkit.Must(t, err); time.Since(begin) != time.Second {
			t.Errorf("the second one waited for %v", time.Since(begin))
		}
		testkit.Must(t, table.add(ctx, p, tableConn(0xb, 1)))
		testkit.Must(t, table.add(ctx, p, tableConn(0xb, 1))) // of a node that is connected
		other, err := table.beginAdmission(ctx, 0xc)
		testkit.Must(t, err)
		var refusal *refusal
		if err := table.add(ctx, other, tableConn(0xc, 1)); !errors.As(err, &refusal) || !table.full() {
			t.Errorf("another node: %v", err)
		}
		if table.endAdmission(0xc, other); len(table.byID) != 1 {
			t.Error("who was refused isn't forgotten")
		}
		cancel()
		if err := table.add(ctx, p, tableConn(0xb, 1)); !errors.Is(err, errMeshClosing) {
			t.Errorf("while it closes: %v", err)
		}
		if _, err := table.beginAdmission(ctx, 0xb); !errors.Is(err, errMeshClosing) {
			t.Errorf("while it closes: %v", err)
		}
	})
}

// Each connection that mesh has added is introduced once.
func TestMeshPeerTableIntroduces(t *testing.T) {
	table := newPeerTable(0xa, 0, time.Now)
	b, c := tableConn(0xb, 1), tableConn(0xc, 1)
	tableAdd(t, table, b)
	tableAdd(t, table, c)
	added := func(one *meshConn) bool { return one == c }
	if got := table.introduce(added); got != c {
		t.Errorf("%+v", got)
	}
	if got := table.introduce(added); got != nil {
		t.Errorf("again: %+v", got)
	}
}
