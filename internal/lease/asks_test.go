package lease

import (
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/wire"
)

// The side of the node that asks for leases.

// Who waits for an offer that can't be accepted, or doesn't come, asks again, and doesn't wait twice.
func TestLeaseOfferIsRefused(t *testing.T) {
	for _, how := range []string{"refused", "refused before", "it doesn't come"} {
		g := newLeaseRig(t, 2)
		key := g.keyOf(2)
		a := g.ask(key)
		id := a.Want.ID
		g.asks.Hear(g.now, 2, wire.TurnMsg{ID: id, Op: wire.TurnWait, Term: 1000})
		if how == "refused before" {
			g.asks.OfferRefused(g.now, key)
			g.wantTurn(a, Wait)
		}
		n := len(g.wanted[2])
		g.asks.Hear(g.now, 2, wire.TurnMsg{ID: id, Op: wire.TurnFilled, Offered: true})
		switch how {
		case "refused":
			g.wantTurn(a, Wait)
			if len(g.wanted[2]) > n {
				t.Errorf("%s: it asks too early: %+v", how, g.wanted[2])
			}
			woke := g.woke
			if g.asks.OfferRefused(g.now, key); g.woke == woke {
				t.Errorf("%s: nobody is woken", how)
			}
		case "it doesn't come":
			g.now.Mono += Reach
			g.wantTurn(a, Unheard)
		}
		if m := last(g.wanted[2]); len(g.wanted[2]) != n+1 || m.Op != wire.OpWant || m.ID != id {
			t.Errorf("%s: it says %+v", how, g.wanted[2][n:])
		}
		g.asks.Hear(g.now, 2, wire.TurnMsg{ID: id, Op: wire.TurnWait, Term: 1000})
		g.wantTurn(a, Alone)
		if m := last(g.wanted[2]); m.Op != wire.OpDeclined || m.ID != id {
			t.Errorf("%s: told to wait again it says %+v", how, m)
		}
		if len(g.asks.byID)+len(g.asks.byKey) > 0 || g.asks.Missed > 0 {
			t.Errorf("%s: %d asks left, %d missed", how, len(g.asks.byID), g.asks.Missed)
		}
	}
}

// A value that has been written and doesn't come is no reason to ask again, nor to be counted.
func TestLeaseFilledButNotHere(t *testing.T) {
	g := newLeaseRig(t, 2)
	a := g.ask(g.keyOf(2))
	g.asks.Hear(g.now, 2, wire.TurnMsg{ID: a.Want.ID, Op: wire.TurnFilled})
	g.wantTurn(a, Wait)
	g.now.Mono += Reach
	g.wantTurn(a, Alone)
	if m := last(g.wanted[2]); m.Op != wire.OpDeclined || g.asks.Missed != 0 {
		t.Errorf("it says %+v, %d missed", m, g.asks.Missed)
	}
}

// However often it is told to wait, it waits for no longer than the lease that it wants would last.
func TestLeaseWaitIsBounded(t *testing.T) {
	g := newLeaseRig(t, 2)
	a := g.ask(g.keyOf(2))
	for range 20 {
		g.asks.Hear(g.now, 2, wire.TurnMsg{ID: a.Want.ID, Op: wire.TurnWait, Term: 1000})
		_, wait := g.asks.TurnOf(g.now, a)
		if left := 10*time.Second - g.now.Mono; wait > left {
			t.Errorf("%v are left, and it looks again after %v", left, wait)
		}
		g.now.Mono += 700 * time.Millisecond
		if turn, _ := g.asks.TurnOf(g.now, a); turn == Alone {
			break
		}
	}
	if g.now.Mono < 10*time.Second || g.now.Mono > 11*time.Second || a.Heard != wire.TurnAlone {
		t.Errorf("turn %d after %v", a.Heard, g.now.Mono)
	}
	if g.asks.Missed != 0 {
		t.Errorf("%d missed", g.asks.Missed)
	}
}

// LeasesMissed counts fills for which there was no lease to be had, and only those.
func TestLeasesMissed(t *testing.T) {
	g := newLeaseRig(t, 2)
	missed := func(what string, want uint64) {
		t.Helper()
		if n := g.asks.Missed; n != want {
			t.Errorf("%s: LeasesMissed = %d, want %d", what, n, want)
		}
		g.asks.Missed = 0
	}
	a := g.ask(g.keyOf(2))
	g.now.Mono += Reach
	g.wantTurn(a, Alone)
	missed("no answer", 1)
	a = g.ask(g.keyOf(2))
	g.asks.Hear(g.now, 2, wire.TurnMsg{ID: a.Want.ID, Op: wire.TurnAlone, Full: true})
	missed("the granting node is full", 1)
	a = g.ask(g.keyOf(2))
	g.asks.Hear(g.now, 2, wire.TurnMsg{ID: a.Want.ID, Op: wire.TurnAlone})
	missed("the value isn't cached", 0)
	g.ask(strings.Repeat("x", wire.MaxLeaseKey+1))
	missed("a long key", 0)
	g.ids = nil
	g.ask("k")
	missed("nobody is synced", 1)
	g.asks.Close()
	g.ask("k")
	missed("closed", 0)
}

// A node that grants a lease to itself does so at once; its second ask for the key takes over.
func TestLeaseOfItself(t *testing.T) {
	g := newLeaseRig(t, 2)
	key := g.keyOf(1)
	a, b := g.ask(key), g.ask(key)
	g.wantTurn(a, Granted)
	g.wantTurn(b, Granted)
	if m := g.want(2, 20, key); m.Op != wire.TurnWait {
		t.Errorf("another node is told %+v", m)
	}
	if !g.asks.Decline(g.now, b) || g.asks.Decline(g.now, b) {
		t.Error("it can't be declined, or twice")
	}
	if m := g.turn(2); m.Op != wire.TurnWait { // for the first one
		t.Errorf("another node is told %+v", m)
	}
	g.asks.End(g.now, a, Outcome{End: TryOffered})
	if m := g.turn(2); m != (wire.TurnMsg{ID: 20, Op: wire.TurnFilled, Offered: true}) {
		t.Errorf("another node is told %+v", m)
	}
	g.wantLeft(0, 0, 0)
	if len(g.wanted) > 0 {
		t.Errorf("it asks others: %v", g.wanted)
	}
}

// What a node was asked that goes is asked somebody else; so is nothing that has been granted.
func TestLeaseGranterLeaves(t *testing.T) {
	const asks = 2 * step
	g := newLeaseRig(t, 2, 3)
	key := g.keyOf(2)
	granted := g.ask(key)
	g.asks.Hear(g.now, 2, wire.TurnMsg{ID: granted.Want.ID, Op: wire.TurnGranted, Key: key, Term: 1000})
	var waiting []*Ask
	for range asks {
		waiting = append(waiting, g.ask(key))
	}
	before := g.woke
	g.ids = []uint64{3}
	if n := finish(g.asks.Left(g.now, 2)); n != 2 {
		t.Errorf("%d pauses", n)
	}
	if n := len(g.wanted[3]); n != asks || g.woke != before+asks {
		t.Errorf("the other one is asked %d times, %d are woken", n, g.woke-before)
	}
	for i, a := range waiting {
		if m := g.wanted[3][i]; m.ID != a.Want.ID || m.Op != wire.OpWant || a.peer != 3 {
			t.Fatalf("ask %d: %+v, %+v", i, a, m)
		}
	}
	g.wantTurn(granted, Granted)
	g.asks.Hear(g.now, 2, wire.TurnMsg{ID: waiting[0].Want.ID, Op: wire.TurnGranted, Key: key, Term: 1000})
	if m := last(g.wanted[2]); m.Op != wire.OpDeclined || m.ID != waiting[0].Want.ID {
		t.Errorf("a lease that came too late is kept: %+v", m)
	}
	g.asks.Close()
	for _, a := range waiting {
		g.wantTurn(a, Alone)
	}
	g.wantTurn(granted, Granted)
	g.asks.End(g.now, granted, Outcome{End: TryFilled, Stamp: 9, Deadline: -5})
	if m := last(g.wanted[2]); m.Op != wire.OpFilled || m.Stamp != 9 || m.Wall != 0 {
		t.Errorf("said %+v", m)
	}
	g.wantLeft(0, 0, 0)
}

// After a caller's deadline who waits asks anew: the holder may hang. Not in a hurry, nor when it fills
// itself.
func TestLeaseSuspectAsksAnew(t *testing.T) {
	g := newLeaseRig(t, 2)
	a := g.ask(g.keyOf(2))
	id := a.Want.ID
	g.asks.Hear(g.now, 2, wire.TurnMsg{ID: id, Op: wire.TurnWait, Term: 1000})
	g.asks.Suspect(g.now, a)
	if len(g.wanted[2]) != 1 {
		t.Errorf("in a hurry it says %+v", g.wanted[2])
	}
	g.now.Mono += Reach
	g.asks.Suspect(g.now, a)
	said := g.wanted[2][1:]
	if len(said) != 2 || said[0].Op != wire.OpDeclined || !said[0].Late || said[0].ID != id ||
		said[1].Op != wire.OpWant || said[1].ID == id {
		t.Errorf("it says %+v", said)
	}
	g.asks.Hear(g.now, 2, wire.TurnMsg{ID: a.Want.ID, Op: wire.TurnGranted, Term: 1000})
	g.now.Mono += Reach
	if g.asks.Suspect(g.now, a); len(g.wanted[2]) != 3 {
		t.Errorf("it says %+v", g.wanted[2])
	}
	g.asks.End(g.now, a, Outcome{Late: true})
	if m := last(g.wanted[2]); m.Op != wire.OpDeclined || !m.Late {
		t.Errorf("it says %+v", m)
	}
	g.wantLeft(0, 0, 0)
}

// A lease that comes to a node that doesn't want it any more is given back, so that it goes on to the next
// one.
func TestLeaseIsDeclined(t *testing.T) {
	g := newLeaseRig(t, 2, 3)
	a := g.ask(g.keyOf(2))
	id := last(g.wanted[2]).ID
	g.asks.End(g.now, a, Outcome{})
	g.wanted[2] = nil
	g.asks.Hear(g.now, 2, wire.TurnMsg{ID: id, Op: wire.TurnGranted, Key: a.Want.Key})
	if m := last(g.wanted[2]); m.Op != wire.OpDeclined || m.ID != id || m.Key != a.Want.Key {
		t.Errorf("it says %+v", m)
	}
	g.asks.Hear(g.now, 2, wire.TurnMsg{ID: id, Op: wire.TurnWait})
	if n := len(g.wanted[2]); n != 1 {
		t.Errorf("it says %d things about what it doesn't wait for", n)
	}
}

// Who is isolated asks nobody, and doesn't wait for others any more when it looks again.
func TestLeaseIsolatedFillsAlone(t *testing.T) {
	g := newLeaseRig(t, 2)
	key := g.keyOf(2)
	waits := g.ask(key)
	g.asks.Hear(g.now, 2, wire.TurnMsg{ID: waits.Want.ID, Op: wire.TurnWait, Term: 1000})
	g.wantTurn(waits, Wait)
	g.alone = true
	n := len(g.wanted[2])
	if g.wantTurn(g.ask(key), Alone); len(g.wanted[2]) != n {
		t.Errorf("it asks: %+v", g.wanted[2][n:])
	}
	g.now.Mono += time.Second
	g.wantTurn(waits, Alone)
	if m := last(g.wanted[2]); m.Op != wire.OpDeclined || m.ID != waits.Want.ID {
		t.Errorf("it says %+v", m)
	}
	if g.wantLeft(0, 0, 0); g.asks.Missed > 0 {
		t.Errorf("%d missed", g.asks.Missed)
	}
}

// What was written and isn't taken any more, as a Clear keeps it out, isn't waited for: neither when it
// has come before this node is told of it, nor when it comes then. What is still taken is waited for.
func TestLeaseWhatIsClearedIsNotAwaited(t *testing.T) {
	for _, when := range []string{"before it is told", "after that", "never"} {
		g := newLeaseRig(t, 2)
		a := g.ask(g.keyOf(2))
		g.asks.Hear(g.now, 2, wire.TurnMsg{ID: a.Want.ID, Op: wire.TurnWait, Term: 1000})
		if when == "before it is told" {
			g.above = 7
		}
		g.wantTurn(a, Wait)
		n := len(g.wanted[2])
		g.asks.Hear(g.now, 2, wire.TurnMsg{ID: a.Want.ID, Op: wire.TurnFilled})
		if when == "after that" {
			g.wantTurn(a, Wait)
			g.above = 7
		}
		if when == "never" {
			if g.wantTurn(a, Wait); len(g.wanted[2]) != n {
				t.Errorf("it doesn't wait, but says %+v", g.wanted[2][n:])
			}
			continue
		}
		g.wantTurn(a, Unheard)
		if m := last(g.wanted[2]); len(g.wanted[2]) != n+1 || m.Op != wire.OpWant || m.Stamp != 7 {
			t.Errorf("%s: it says %+v", when, g.wanted[2][n:])
		}
		g.asks.Hear(g.now, 2, wire.TurnMsg{ID: a.Want.ID, Op: wire.TurnFilled})
		g.above = 8
		g.wantTurn(a, Wait) // only once
		g.now.Mono += Reach
		g.wantTurn(a, Alone)
	}
}

// That isn't asked for anew by who has waited for as long as it may.
func TestLeaseWhatIsClearedAtTheEnd(t *testing.T) {
	g := newLeaseRig(t, 2)
	a := g.ask(g.keyOf(2))
	g.now.Mono = a.limit - Reach/2
	g.asks.Hear(g.now, 2, wire.TurnMsg{ID: a.Want.ID, Op: wire.TurnFilled})
	g.wantTurn(a, Wait)
	g.now.Mono, g.above = a.limit, 7
	g.wantTurn(a, Alone)
	if m := last(g.wanted[2]); m.Op == wire.OpWant && m.Stamp == 7 {
		t.Errorf("at last it says %+v", m)
	}
}
