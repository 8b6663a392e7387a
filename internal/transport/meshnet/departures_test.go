package meshnet

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport"
)

// present lists everybody: "b" is connected, "b~" is reached through others, "b!" is gone.
func present(table *peerTable, within time.Duration) string {
	var names []string
	for _, p := range table.everybody(within, func(uint64) string { return "book:1" }) {
		name := fmt.Sprintf("%x", p.ID)
		switch {
		case p.Gone:
			name += "!"
		case p.Origin == 0:
			name += "~"
		}
		if p.Addr == "" || p.Since.IsZero() {
			name += "?"
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// Everybody is there, or gone without a goodbye, at every moment.
func TestMeshEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newPeerTable(0xa, 0, time.Now)
		conn := func(peer, origin uint64) *meshConn {
			c := tableConn(peer, origin)
			c.since = time.Now()
			return c
		}
		is := func(what, want string) {
			t.Helper()
			if got := present(table, 10*time.Second); got != want {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
		}
		b := conn(0xb, 1)
		tableAdd(t, table, b)
		is("nobody compares", "")
		table.compare(nil)
		is("the handler is being told", "b")
		table.drop(b)
		is("it isn't known to be gone", "b")
		table.compare(nil)
		is("its connection broke", "b!")
		table.compare(map[uint64]uint64{0xb: 0xf})
		is("others lead to it", "b~")
		p, err := table.beginAdmission(t.Context(), 0xb)
		if err != nil {
			t.Fatal(err)
		}
		table.compare(map[uint64]uint64{0xb: 0xf})
		is("it is being admitted", "b~")
		if table.hopTo(0xb) != 0xf {
			t.Error("while a node is being admitted, nothing leads to it")
		}
		table.endAdmission(0xb, p)
		b = conn(0xb, 2)
		tableAdd(t, table, b)
		table.compare(nil)
		is("another life is connected", "b")

		b.closing.Store(true)
		table.drop(b)
		table.compare(nil)
		is("it has said goodbye", "")
		table.compare(map[uint64]uint64{0xb: 0xf})
		table.compare(nil)
		is("others didn't know yet", "")
		testkit.Advance(lingers)
		table.compare(map[uint64]uint64{0xb: 0xf})
		is("another life, that isn't connected", "b~")
		table.compare(nil)
		is("that is gone too", "b!")
		testkit.Advance(10*time.Second - 1)
		is("for almost ten seconds", "b!")
		testkit.Advance(1)
		is("for ten seconds", "")
	})
}

// Of the nodes that are gone the last ones are remembered.
func TestMeshDeparturesAreBounded(t *testing.T) {
	d := make(departures)
	for id := range uint64(3 * transport.MaxGone) {
		d.note(id, departure{at: time.Unix(int64(id), 0)}, false)
	}
	if _, last := d[3*transport.MaxGone-1]; len(d) != transport.MaxGone || !last {
		t.Errorf("%d are remembered, the last one %v", len(d), last)
	}
}

// Nodes that are killed, that close, and that are relayed.
func TestMeshEverybodyIsThere(t *testing.T) {
	leaks(t)
	bridge := proxyTo(t, "")
	a := start(t, 0xa, nil)
	b := start(t, 0xb, meshPeers(a.Addr()))
	c := start(t, 0xc, func(cfg *Config) { cfg.Peers, cfg.AdvertiseAddr = []string{a.Addr()}, bridge.addr() })
	bridge.lead(c.Addr())
	linked(t, a, b, c)
	everybody := func(n *testNode) string { return present(n.peers, time.Minute) }
	if got := everybody(a); got != "b c" {
		t.Errorf("all are there: %q", got)
	}
	closeAll(t, b)
	wait(t, "b is gone", func() bool { return len(a.Members()) == 1 && len(c.Members()) == 1 })
	// For a moment each of them may take the other one for a way to b.
	stays(t, "b has said goodbye", 200*time.Millisecond, func() bool {
		return !strings.Contains(everybody(a)+everybody(c), "!")
	})
	wait(t, "they know that b is gone", func() bool { return everybody(a) == "c" && everybody(c) == "a" })
	a.Disconnect(0xc)
	wait(t, "they connect again", func() bool { return a.h.Count("+c") == 2 && everybody(a) == "c" })
	closeAll(t, a, c)
}
