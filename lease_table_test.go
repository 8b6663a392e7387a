package bcache

import (
	"fmt"
	"testing"
	"time"
)

// The side of the node that grants leases.

// A node that asks twice for one key, as it fills it anew after a write, is answered twice.
func TestLeaseTwoAsksAreTwoTurns(t *testing.T) {
	g := newLeaseRig(t, 2, 3)
	g.want(2, 20, "k")
	for _, id := range []uint64{30, 31} {
		if m := g.want(3, id, "k"); m.op != turnWait {
			t.Fatalf("ask %d is told %+v", id, m)
		}
	}
	before := len(g.turns[3])
	g.leases.hear(g.now, 2, leaseMsg{id: 20, op: opUncached, key: "k"})
	told := map[uint64]turnOpcode{}
	for _, m := range g.turns[3][before:] {
		told[m.id] = m.op
	}
	if len(told) != 2 || told[30] != turnAlone || told[31] != turnAlone {
		t.Errorf("told %v", told)
	}
}

// A value that is offered is told to those who wait; who comes later is granted the lease.
func TestLeaseOfferIsTold(t *testing.T) {
	g := newLeaseRig(t, 2, 3, 4, 5)
	g.want(2, 20, "k")
	g.want(3, 30, "k")
	g.want(4, 40, "k")
	g.leases.hear(g.now, 2, leaseMsg{id: 20, op: opUncached, key: "k", offered: true})
	for _, id := range []uint64{3, 4} {
		if m := g.turn(id); m != (turnMsg{id: 10 * id, op: turnFilled, offered: true}) {
			t.Errorf("node %d is told %+v", id, m)
		}
	}
	if m := g.want(5, 50, "k"); m.op != turnGranted {
		t.Errorf("who comes later is told %+v", m)
	}
	if m := g.want(3, 30, "k"); m.op != turnWait {
		t.Errorf("who asks again is told %+v", m)
	}
}

// A holder is suspect when somebody who has waited for it for 100 ms gives up by a deadline; then others
// are granted the lease too, three in all. What becomes of each try is told to who waits for that one.
func TestLeaseSuspect(t *testing.T) {
	g := newLeaseRig(t, 2, 3, 4, 5, 6)
	late := func(from, id uint64) {
		g.leases.hear(g.now, from, leaseMsg{id: id, op: opDeclined, key: "k", late: true})
	}
	is := func(what string, m turnMsg, want turnOpcode) {
		t.Helper()
		if m.op != want {
			t.Errorf("%s: %+v", what, m)
		}
	}
	is("the first", g.want(2, 20, "k"), turnGranted)
	is("the second", g.want(3, 30, "k"), turnWait)
	late(3, 30) // in a hurry
	is("after a hurry", g.want(3, 31, "k"), turnWait)
	g.now.mono += leaseReach
	is("who waits all the time", g.want(4, 40, "k"), turnWait)
	late(3, 31)
	is("after a deadline", g.want(3, 32, "k"), turnGranted)
	is("who comes then", g.want(5, 50, "k"), turnWait)
	g.now.mono += leaseReach
	late(5, 50)
	is("after another one", g.want(5, 51, "k"), turnGranted)
	is("the next", g.want(6, 60, "k"), turnWait)
	g.now.mono += leaseReach
	late(6, 60)
	is("after a third one", g.want(6, 61, "k"), turnWait)
	g.leases.hear(g.now, 2, leaseMsg{id: 20, op: opFailed, key: "k", term: 1000})
	is("who has waited for the first", g.turn(4), turnAlone)
	is("who has waited for the last", g.turn(6), turnWait)
	g.leases.hear(g.now, 5, leaseMsg{id: 51, op: opUncached, key: "k"})
	is("when that one has ended", g.turn(6), turnAlone)
	g.leases.hear(g.now, 3, leaseMsg{id: 32, op: opDeclined, key: "k"})
	if l := g.leases.byKey["k"]; l != nil || g.leases.waiting > 0 {
		t.Errorf("left: %+v, %d wait", l, g.leases.waiting)
	}
}

// What one node asks for of one key is bounded, and so is what waits in all.
func TestLeaseTurnsAreBounded(t *testing.T) {
	g := newLeaseRig(t, 2, 3)
	g.want(2, 20, "k")
	for i := range uint64(maxLeaseTurns) {
		if m := g.want(3, 30+i, "k"); m.op != turnWait {
			t.Errorf("ask %d: %+v", i, m)
		}
	}
	if m := g.want(3, 40, "k"); m.op != turnAlone || m.full {
		t.Errorf("one more: %+v", m)
	}
	for i := uint64(1); i < maxLeaseHolders; i++ {
		if m := g.want(2, 20+i, "k"); m.op != turnGranted {
			t.Errorf("its own: %+v", m)
		}
	}
	if m := g.want(2, 29, "k"); m.op != turnWait {
		t.Errorf("its own, one more: %+v", m)
	}
	g.leases.waiting += maxLeaseWaits
	if m := g.want(3, 50, "k"); m.op != turnAlone || m.full {
		t.Errorf("beyond its own bound: %+v", m)
	}
	g.want(2, 20, "other")
	if m := g.want(3, 50, "other"); m.op != turnAlone || !m.full {
		t.Errorf("beyond the bound of all: %+v", m)
	}
}

// Keys that were filled a moment ago are no reason to have no lease for others.
func TestLeaseLingeringOnesMakeRoom(t *testing.T) {
	g := newLeaseRig(t, 2)
	for i := range 3 * maxLeases {
		key := fmt.Sprint(i)
		if m := g.want(2, uint64(i+1), key); m.op != turnGranted {
			t.Fatalf("number %d: %+v", i, m)
		}
		m := leaseMsg{id: uint64(i + 1), op: opFilled, key: key, stamp: 9}
		if i%2 == 0 {
			m = leaseMsg{id: uint64(i + 1), op: opFailed, key: key, term: maxLeaseTerm}
		}
		g.leases.hear(g.now, 2, m)
	}
	if n := len(g.leases.byKey); n > maxLeases || n != g.leases.idle.Len() {
		t.Errorf("%d leases, %d idle", n, g.leases.idle.Len())
	}
	for range 2 {
		g.now.mono += ms(maxLeaseTerm)
		finish(g.leases.tick(g.now))
	}
	if n := len(g.leases.byKey) + g.leases.idle.Len(); n != 0 {
		t.Errorf("%d are left", n)
	}
}

// Who is granted the lease at the moment at which its caller's deadline passes has tried nothing: those
// who have just begun to wait for it wait for who has the lease now.
func TestLeaseGrantedTooLate(t *testing.T) {
	g := newLeaseRig(t, 2, 3, 4, 5)
	say := func(from uint64, op leaseOpcode, late bool) {
		g.leases.hear(g.now, from, leaseMsg{id: from, op: op, key: "k", term: 30_000, late: late})
	}
	const hangs, leaves, granted, waits = 2, 3, 4, 5
	say(hangs, opWant, false)
	say(leaves, opWant, false)
	g.now.mono += time.Second
	say(leaves, opDeclined, true) // so it may hang
	say(granted, opWant, false)
	say(waits, opWant, false)
	l := g.leases.byKey["k"]
	if !l.waits(leaseAsker{waits, waits}) || l.current().peer != granted {
		t.Fatalf("%d waits for %+v", waits, l.current())
	}
	say(granted, opDeclined, true)
	if !l.waits(leaseAsker{waits, waits}) || l.current().peer != hangs {
		t.Errorf("%d fills as well: %+v", waits, l)
	}
}

// A node that asks for too much gets no lease, and fills for itself.
func TestLeasesAreBounded(t *testing.T) {
	g := newLeaseRig(t, 2)
	for n := range maxLeases + 10 {
		m := g.wantAs(2, leaseMsg{id: uint64(n + 1), op: opWant, key: fmt.Sprint(n), term: 1000})
		if (m.op == turnGranted) != (n < maxLeases) || (m.op == turnAlone && m.full) != (n >= maxLeases) {
			t.Fatalf("number %d: %+v", n, m)
		}
	}
	g.now.mono = time.Second
	if n := finish(g.leases.tick(g.now)); n != maxLeases/leaseStep {
		t.Errorf("others could have the lock %d times", n)
	}
	g.wantLeft(0, 0, 0)
}

// A holder that gives its lease back at once says nothing about the next try: the first waiter gets the
// lease, and the others wait for that one. Later, it has failed.
func TestLeasePassesOn(t *testing.T) {
	g := newLeaseRig(t, 2, 3, 4, 5)
	g.want(2, 20, "k")
	g.want(3, 30, "k")
	g.want(4, 40, "k")
	decline := func(from uint64) {
		g.leases.hear(g.now, from, leaseMsg{id: 10 * from, op: opDeclined, key: "k"})
	}
	decline(2)
	if g.turn(3).op != turnGranted || g.turn(4).op != turnWait {
		t.Errorf("told %+v, %+v", g.turn(3), g.turn(4))
	}
	g.want(5, 50, "k")
	if l := g.leases.byKey["k"]; !l.waits(leaseAsker{4, 40}) || l.queue[0].after != (leaseAsker{3, 30}) {
		t.Errorf("the queue is %+v", l.queue)
	}
	g.now.mono += leaseReach
	decline(3)
	if g.turn(4).op != turnGranted || g.turn(5).op != turnAlone {
		t.Errorf("later: told %+v, %+v", g.turn(4), g.turn(5))
	}
	decline(4)
	g.wantLeft(0, 0, 0)
}

// Of those who waited for a try that fails, or runs out, or whose node goes, who has an old value serves
// that; the first of the others gets the lease, and the rest fill for themselves.
func TestLeaseTryFails(t *testing.T) {
	for how, end := range map[string]func(*leaseRig){
		"it says so": func(g *leaseRig) {
			g.leases.hear(g.now, 2, leaseMsg{id: 20, op: opFailed, key: "k", term: 5000})
		},
		"it runs out": func(g *leaseRig) {
			g.now.mono += 10 * time.Second
			finish(g.leases.tick(g.now))
		},
		"its node goes": func(g *leaseRig) { finish(g.leases.left(g.now, 2)) },
	} {
		g := newLeaseRig(t, 2, 3, 4, 5)
		g.want(2, 20, "k")
		old := leaseMsg{id: 30, op: opWantOld, key: "k", term: 10_000}
		g.wantAs(3, old)
		g.want(4, 40, "k")
		g.want(5, 50, "k")
		end(g)
		if g.turn(3).op != turnFailed || g.turn(4).op != turnGranted || g.turn(5).op != turnAlone {
			t.Errorf("%s: told %+v, %+v, %+v", how, g.turn(3), g.turn(4), g.turn(5))
		}
		g.leases.hear(g.now, 4, leaseMsg{id: 40, op: opFailed, key: "k", term: 5000})
		if m := g.wantAs(3, old); m.op != turnFailed || m.term != 5000 {
			t.Errorf("%s: who asks again and has an old value is told %+v", how, m)
		}
		if m := g.want(5, 51, "k"); m.op != turnGranted {
			t.Errorf("%s: who asks again and has none is told %+v", how, m)
		}
		g.leases.hear(g.now, 5, leaseMsg{id: 51, op: opUncached, key: "k"})
		g.wantLeft(0, 0, 0)
	}
}

// For a second after a fill who asks is told so, unless it takes no such value any more.
func TestLeaseFilledLingers(t *testing.T) {
	g := newLeaseRig(t, 2, 3)
	g.want(2, 20, "k")
	g.leases.hear(g.now, 2, leaseMsg{id: 20, op: opFilled, key: "k", stamp: 9, wall: 5000})
	for _, x := range []struct {
		what  string
		after time.Duration
		stamp uint64
		wall  int64
		want  turnOpcode
	}{
		{"it has none", 0, 0, 4999, turnFilled},
		{"it has an older one", leaseLinger - 1, 8, 4999, turnFilled},
		{"it has that one", 0, 9, 4999, turnGranted},
		{"it is too old by its clock", 0, 8, 5000, turnGranted},
		{"that was long ago", leaseLinger, 0, 4999, turnGranted},
	} {
		g.now.mono = x.after
		m := leaseMsg{id: 30, op: opWant, key: "k", term: 1000, stamp: x.stamp, wall: x.wall}
		if got := g.wantAs(3, m); got.op != x.want {
			t.Errorf("%s: told %+v", x.what, got)
		}
		g.leases.hear(g.now, 3, leaseMsg{id: 30, op: opDeclined, key: "k"})
	}
	g.wantLeft(0, 0, 0)
}

// When a node goes its leases end in steps. Others may have the lock between these: what they end isn't
// there any more, and what they begin stays.
func TestLeaseNodeLeavesInSteps(t *testing.T) {
	const keys = 3 * leaseStep
	g := newLeaseRig(t, 2, 3)
	for i := range uint64(keys) {
		g.want(2, i+1, fmt.Sprint(i))
		g.want(3, i+1, fmt.Sprint(i))
	}
	pauses := 0
	for range g.leases.left(g.now, 2) {
		for key, l := range g.leases.byKey {
			if h := l.current(); h.peer == 2 {
				g.leases.hear(g.now, 2, leaseMsg{id: h.id, op: opUncached, key: key})
				break
			}
		}
		g.want(3, 1000, fmt.Sprint("new", pauses))
		pauses++
	}
	if pauses != 3 || g.leases.granted != 2*keys {
		t.Errorf("%d pauses, %d leases granted", pauses, g.leases.granted)
	}
	g.wantLeft(keys, 0, 0) // without three, and with three
	for key, l := range g.leases.byKey {
		if h := l.current(); len(l.holders) != 1 || h.peer != 3 {
			t.Errorf("%s: %+v", key, l.holders)
		}
	}
}

// A node that closes grants nothing any more, and says so to who asks; what it has granted goes on.
func TestLeaseGranterIsClosed(t *testing.T) {
	g := newLeaseRig(t, 2, 3)
	g.want(2, 20, "k")
	g.leases.closed = true
	if m := g.want(3, 30, "other"); m != (turnMsg{id: 30, op: turnAlone}) {
		t.Errorf("told %+v", m)
	}
	if m := g.want(3, 31, "k"); m.op != turnWait {
		t.Errorf("who waits for a lease is told %+v", m)
	}
	g.leases.hear(g.now, 2, leaseMsg{id: 20, op: opFilled, key: "k", stamp: 9})
	if m := g.turn(3); m.op != turnFilled {
		t.Errorf("told %+v", m)
	}
}
