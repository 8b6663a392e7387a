package bcache

import (
	"strings"
	"testing"
	"time"
)

// The side of the node that asks for leases.

// Who waits for an offer that can't be accepted, or doesn't come, asks again, and doesn't wait twice.
func TestLeaseOfferIsRefused(t *testing.T) {
	for _, how := range []string{"refused", "refused before", "it doesn't come"} {
		g := newLeaseRig(t, 2)
		key := g.keyOf(2)
		a := g.ask(key)
		id := a.want.id
		g.asks.hear(g.now, 2, turnMsg{id: id, op: turnWait, term: 1000})
		if how == "refused before" {
			g.asks.offerRefused(g.now, key)
			g.wantTurn(a, leaseWait)
		}
		n := len(g.wanted[2])
		g.asks.hear(g.now, 2, turnMsg{id: id, op: turnFilled, offered: true})
		switch how {
		case "refused":
			g.wantTurn(a, leaseWait)
			if len(g.wanted[2]) > n {
				t.Errorf("%s: it asks too early: %+v", how, g.wanted[2])
			}
			woke := g.woke
			if g.asks.offerRefused(g.now, key); g.woke == woke {
				t.Errorf("%s: nobody is woken", how)
			}
		case "it doesn't come":
			g.now.mono += leaseReach
			g.wantTurn(a, leaseUnheard)
		}
		if m := last(g.wanted[2]); len(g.wanted[2]) != n+1 || m.op != opWant || m.id != id {
			t.Errorf("%s: it says %+v", how, g.wanted[2][n:])
		}
		g.asks.hear(g.now, 2, turnMsg{id: id, op: turnWait, term: 1000})
		g.wantTurn(a, leaseAlone)
		if m := last(g.wanted[2]); m.op != opDeclined || m.id != id {
			t.Errorf("%s: told to wait again it says %+v", how, m)
		}
		if len(g.asks.byID)+len(g.asks.byKey) > 0 || g.asks.missed > 0 {
			t.Errorf("%s: %d asks left, %d missed", how, len(g.asks.byID), g.asks.missed)
		}
	}
}

// A value that has been written and doesn't come is no reason to ask again, nor to be counted.
func TestLeaseFilledButNotHere(t *testing.T) {
	g := newLeaseRig(t, 2)
	a := g.ask(g.keyOf(2))
	g.asks.hear(g.now, 2, turnMsg{id: a.want.id, op: turnFilled})
	g.wantTurn(a, leaseWait)
	g.now.mono += leaseReach
	g.wantTurn(a, leaseAlone)
	if m := last(g.wanted[2]); m.op != opDeclined || g.asks.missed != 0 {
		t.Errorf("it says %+v, %d missed", m, g.asks.missed)
	}
}

// However often it is told to wait, it waits for no longer than the lease that it wants would last.
func TestLeaseWaitIsBounded(t *testing.T) {
	g := newLeaseRig(t, 2)
	a := g.ask(g.keyOf(2))
	for range 20 {
		g.asks.hear(g.now, 2, turnMsg{id: a.want.id, op: turnWait, term: 1000})
		_, wait := g.asks.turnOf(g.now, a)
		if left := 10*time.Second - g.now.mono; wait > left {
			t.Errorf("%v are left, and it looks again after %v", left, wait)
		}
		g.now.mono += 700 * time.Millisecond
		if turn, _ := g.asks.turnOf(g.now, a); turn == leaseAlone {
			break
		}
	}
	if g.now.mono < 10*time.Second || g.now.mono > 11*time.Second || a.heard != turnAlone {
		t.Errorf("turn %d after %v", a.heard, g.now.mono)
	}
	if g.asks.missed != 0 {
		t.Errorf("%d missed", g.asks.missed)
	}
}

// LeasesMissed counts fills for which there was no lease to be had, and only those.
func TestLeasesMissed(t *testing.T) {
	g := newLeaseRig(t, 2)
	missed := func(what string, want uint64) {
		t.Helper()
		if n := g.asks.missed; n != want {
			t.Errorf("%s: LeasesMissed = %d, want %d", what, n, want)
		}
		g.asks.missed = 0
	}
	a := g.ask(g.keyOf(2))
	g.now.mono += leaseReach
	g.wantTurn(a, leaseAlone)
	missed("no answer", 1)
	a = g.ask(g.keyOf(2))
	g.asks.hear(g.now, 2, turnMsg{id: a.want.id, op: turnAlone, full: true})
	missed("the granting node is full", 1)
	a = g.ask(g.keyOf(2))
	g.asks.hear(g.now, 2, turnMsg{id: a.want.id, op: turnAlone})
	missed("the value isn't cached", 0)
	g.ask(strings.Repeat("x", maxLeaseKey+1))
	missed("a long key", 0)
	g.ids = nil
	g.ask("k")
	missed("nobody is synced", 1)
	g.asks.close()
	g.ask("k")
	missed("closed", 0)
}

// A node that grants a lease to itself does so at once; its second ask for the key takes over.
func TestLeaseOfItself(t *testing.T) {
	g := newLeaseRig(t, 2)
	key := g.keyOf(1)
	a, b := g.ask(key), g.ask(key)
	g.wantTurn(a, leaseGranted)
	g.wantTurn(b, leaseGranted)
	if m := g.want(2, 20, key); m.op != turnWait {
		t.Errorf("another node is told %+v", m)
	}
	if !g.asks.decline(g.now, b) || g.asks.decline(g.now, b) {
		t.Error("it can't be declined, or twice")
	}
	if m := g.turn(2); m.op != turnWait { // for the first one
		t.Errorf("another node is told %+v", m)
	}
	g.asks.end(g.now, a, leaseOutcome{end: tryOffered})
	if m := g.turn(2); m != (turnMsg{id: 20, op: turnFilled, offered: true}) {
		t.Errorf("another node is told %+v", m)
	}
	g.wantLeft(0, 0, 0)
	if len(g.wanted) > 0 {
		t.Errorf("it asks others: %v", g.wanted)
	}
}

// What a node was asked that goes is asked somebody else; so is nothing that has been granted.
func TestLeaseGranterLeaves(t *testing.T) {
	const asks = 2 * leaseStep
	g := newLeaseRig(t, 2, 3)
	key := g.keyOf(2)
	granted := g.ask(key)
	g.asks.hear(g.now, 2, turnMsg{id: granted.want.id, op: turnGranted, key: key, term: 1000})
	var waiting []*leaseAsk
	for range asks {
		waiting = append(waiting, g.ask(key))
	}
	before := g.woke
	g.ids = []uint64{3}
	if n := finish(g.asks.left(g.now, 2)); n != 2 {
		t.Errorf("%d pauses", n)
	}
	if n := len(g.wanted[3]); n != asks || g.woke != before+asks {
		t.Errorf("the other one is asked %d times, %d are woken", n, g.woke-before)
	}
	for i, a := range waiting {
		if m := g.wanted[3][i]; m.id != a.want.id || m.op != opWant || a.peer != 3 {
			t.Fatalf("ask %d: %+v, %+v", i, a, m)
		}
	}
	g.wantTurn(granted, leaseGranted)
	g.asks.hear(g.now, 2, turnMsg{id: waiting[0].want.id, op: turnGranted, key: key, term: 1000})
	if m := last(g.wanted[2]); m.op != opDeclined || m.id != waiting[0].want.id {
		t.Errorf("a lease that came too late is kept: %+v", m)
	}
	g.asks.close()
	for _, a := range waiting {
		g.wantTurn(a, leaseAlone)
	}
	g.wantTurn(granted, leaseGranted)
	g.asks.end(g.now, granted, leaseOutcome{end: tryFilled, stamp: 9, deadline: -5})
	if m := last(g.wanted[2]); m.op != opFilled || m.stamp != 9 || m.wall != 0 {
		t.Errorf("said %+v", m)
	}
	g.wantLeft(0, 0, 0)
}

// After a caller's deadline who waits asks anew: the holder may hang. Not in a hurry, nor when it fills
// itself.
func TestLeaseSuspectAsksAnew(t *testing.T) {
	g := newLeaseRig(t, 2)
	a := g.ask(g.keyOf(2))
	id := a.want.id
	g.asks.hear(g.now, 2, turnMsg{id: id, op: turnWait, term: 1000})
	g.asks.suspect(g.now, a)
	if len(g.wanted[2]) != 1 {
		t.Errorf("in a hurry it says %+v", g.wanted[2])
	}
	g.now.mono += leaseReach
	g.asks.suspect(g.now, a)
	said := g.wanted[2][1:]
	if len(said) != 2 || said[0].op != opDeclined || !said[0].late || said[0].id != id ||
		said[1].op != opWant || said[1].id == id {
		t.Errorf("it says %+v", said)
	}
	g.asks.hear(g.now, 2, turnMsg{id: a.want.id, op: turnGranted, term: 1000})
	g.now.mono += leaseReach
	if g.asks.suspect(g.now, a); len(g.wanted[2]) != 3 {
		t.Errorf("it says %+v", g.wanted[2])
	}
	g.asks.end(g.now, a, leaseOutcome{late: true})
	if m := last(g.wanted[2]); m.op != opDeclined || !m.late {
		t.Errorf("it says %+v", m)
	}
	g.wantLeft(0, 0, 0)
}

// A lease that comes to a node that doesn't want it any more is given back, so that it goes on to the next
// one.
func TestLeaseIsDeclined(t *testing.T) {
	g := newLeaseRig(t, 2, 3)
	a := g.ask(g.keyOf(2))
	id := last(g.wanted[2]).id
	g.asks.end(g.now, a, leaseOutcome{})
	g.wanted[2] = nil
	g.asks.hear(g.now, 2, turnMsg{id: id, op: turnGranted, key: a.want.key})
	if m := last(g.wanted[2]); m.op != opDeclined || m.id != id || m.key != a.want.key {
		t.Errorf("it says %+v", m)
	}
	g.asks.hear(g.now, 2, turnMsg{id: id, op: turnWait})
	if n := len(g.wanted[2]); n != 1 {
		t.Errorf("it says %d things about what it doesn't wait for", n)
	}
}
