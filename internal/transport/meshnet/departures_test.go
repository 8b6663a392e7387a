package meshnet

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/transport"
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
		table.compare(map[uint64]uint64{0xc: 0xf})
		table.farewell(0xc)
		table.farewell(0xd) // a stranger
		is("it is about to close", "b! c~")
		table.compare(nil)
		is("it has told those that it isn't connected with", "b!")
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

// Who closes says goodbye, and who is cut is there again.
func TestMeshEverybodyIsThere(t *testing.T) {
	leaks(t)
	a := start(t, 0xa, nil)
	b := start(t, 0xb, meshPeers(a.Addr()))
	c := start(t, 0xc, meshPeers(a.Addr()))
	linked(t, a, b, c)
	everybody := func(n *testNode) string { return present(n.peers, time.Minute) }
	if got := everybody(a); got != "b c" {
		t.Errorf("all are there: %q", got)
	}
	closeAll(t, b)
	wait(t, "b is gone", func() bool { return len(a.Members()) == 1 && len(c.Members()) == 1 })
	for _, n := range []*testNode{a, c} {
		// On a busy machine the goodbye may come too late. For a moment each may take the other one for a
		// way to b.
		heard := n.log.count("P", "left: it closed") > 0
		stays(t, "b has said goodbye, or hasn't", 100*time.Millisecond, func() bool {
			got := everybody(n)
			return strings.Contains(got, "b~") || strings.Contains(got, "b!") != heard
		})
	}
	a.Disconnect(0xc)
	wait(t, "they connect again", func() bool {
		return a.h.Count("+c") == 2 && strings.HasSuffix(everybody(a), "c")
	})
	closeAll(t, a, c)
}
