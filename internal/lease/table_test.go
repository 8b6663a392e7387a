package lease

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/wire"
)

// The side of the node that grants leases.

// A node that asks twice for one key, as it fills it anew after a write, is answered twice.
func TestLeaseTwoAsksAreTwoTurns(t *testing.T) {
	g := newLeaseRig(t, 2, 3)
	g.want(2, 20, "k")
	for _, id := range []uint64{30, 31} {
		if m := g.want(3, id, "k"); m.Op != wire.TurnWait {
			t.Fatalf("ask %d is told %+v", id, m)
		}
	}
	before := len(g.turns[3])
	g.leases.Hear(g.now, 2, wire.LeaseMsg{ID: 20, Op: wire.OpUncached, Key: "k"})
	told := map[uint64]wire.TurnOpcode{}
	for _, m := range g.turns[3][before:] {
		told[m.ID] = m.Op
	}
	if len(told) != 2 || told[30] != wire.TurnAlone || told[31] != wire.TurnAlone {
		t.Errorf("told %v", told)
	}
}

// A value that is offered is told to those who wait; who comes later is granted the lease.
func TestLeaseOfferIsTold(t *testing.T) {
	g := newLeaseRig(t, 2, 3, 4, 5)
	g.want(2, 20, "k")
	g.want(3, 30, "k")
	g.want(4, 40, "k")
	g.leases.Hear(g.now, 2, wire.LeaseMsg{ID: 20, Op: wire.OpUncached, Key: "k", Offered: true})
	for _, id := range []uint64{3, 4} {
		if m := g.turn(id); m != (wire.TurnMsg{ID: 10 * id, Op: wire.TurnFilled, Offered: true}) {
			t.Errorf("node %d is told %+v", id, m)
		}
	}
	if m := g.want(5, 50, "k"); m.Op != wire.TurnGranted {
		t.Errorf("who comes later is told %+v", m)
	}
	if m := g.want(3, 30, "k"); m.Op != wire.TurnWait {
		t.Errorf("who asks again is told %+v", m)
	}
}

// A holder is suspect when somebody who has waited for it for 100 ms gives up by a deadline; then others
// are granted the lease too, three in all. What becomes of each try is told to who waits for that one.
func TestLeaseSuspect(t *testing.T) {
	g := newLeaseRig(t, 2, 3, 4, 5, 6)
	late := func(from, id uint64) {
		g.leases.Hear(g.now, from, wire.LeaseMsg{ID: id, Op: wire.OpDeclined, Key: "k", Late: true})
	}
	is := func(what string, m wire.TurnMsg, want wire.TurnOpcode) {
		t.Helper()
		if m.Op != want {
			t.Errorf("%s: %+v", what, m)
		}
	}
	is("the first", g.want(2, 20, "k"), wire.TurnGranted)
	is("the second", g.want(3, 30, "k"), wire.TurnWait)
	late(3, 30) // in a hurry
	is("after a hurry", g.want(3, 31, "k"), wire.TurnWait)
	g.now.Mono += Reach
	is("who waits all the time", g.want(4, 40, "k"), wire.TurnWait)
	late(3, 31)
	is("after a deadline", g.want(3, 32, "k"), wire.TurnGranted)
	is("who comes then", g.want(5, 50, "k"), wire.TurnWait)
	g.now.Mono += Reach
	late(5, 50)
	is("after another one", g.want(5, 51, "k"), wire.TurnGranted)
	is("the next", g.want(6, 60, "k"), wire.TurnWait)
	g.now.Mono += Reach
	late(6, 60)
	is("after a third one", g.want(6, 61, "k"), wire.TurnWait)
	g.leases.Hear(g.now, 2, wire.LeaseMsg{ID: 20, Op: wire.OpFailed, Key: "k", Term: 1000})
	is("who has waited for the first", g.turn(4), wire.TurnAlone)
	is("who has waited for the last", g.turn(6), wire.TurnWait)
	g.leases.Hear(g.now, 5, wire.LeaseMsg{ID: 51, Op: wire.OpUncached, Key: "k"})
	is("when that one has ended", g.turn(6), wire.TurnAlone)
	g.leases.Hear(g.now, 3, wire.LeaseMsg{ID: 32, Op: wire.OpDeclined, Key: "k"})
	if l := g.leases.byKey["k"]; l != nil || g.leases.waiting > 0 {
		t.Errorf("left: %+v, %d wait", l, g.leases.waiting)
	}
}

// What one node asks for of one key is bounded, and so is what waits in all.
func TestLeaseTurnsAreBounded(t *testing.T) {
	g := newLeaseRig(t, 2, 3)
	g.want(2, 20, "k")
	for i := range uint64(maxTurns) {
		if m := g.want(3, 30+i, "k"); m.Op != wire.TurnWait {
			t.Errorf("ask %d: %+v", i, m)
		}
	}
	if m := g.want(3, 40, "k"); m.Op != wire.TurnAlone || m.Full {
		t.Errorf("one more: %+v", m)
	}
	for i := uint64(1); i < maxHolders; i++ {
		if m := g.want(2, 20+i, "k"); m.Op != wire.TurnGranted {
			t.Errorf("its own: %+v", m)
		}
	}
	if m := g.want(2, 29, "k"); m.Op != wire.TurnWait {
		t.Errorf("its own, one more: %+v", m)
	}
	g.leases.waiting += maxWaits
	if m := g.want(3, 50, "k"); m.Op != wire.TurnAlone || m.Full {
		t.Errorf("beyond its own bound: %+v", m)
	}
	g.want(2, 20, "other")
	if m := g.want(3, 50, "other"); m.Op != wire.TurnAlone || !m.Full {
		t.Errorf("beyond the bound of all: %+v", m)
	}
}

// Keys that were filled a moment ago are no reason to have no lease for others.
func TestLeaseLingeringOnesMakeRoom(t *testing.T) {
	g := newLeaseRig(t, 2)
	for i := range 3 * maxLeases {
		key := fmt.Sprint(i)
		if m := g.want(2, uint64(i+1), key); m.Op != wire.TurnGranted {
			t.Fatalf("number %d: %+v", i, m)
		}
		m := wire.LeaseMsg{ID: uint64(i + 1), Op: wire.OpFilled, Key: key, Stamp: 9}
		if i%2 == 0 {
			m = wire.LeaseMsg{ID: uint64(i + 1), Op: wire.OpFailed, Key: key, Term: wire.MaxLeaseTerm}
		}
		g.leases.Hear(g.now, 2, m)
	}
	if n := len(g.leases.byKey); n > maxLeases || n != g.leases.idle.Len() {
		t.Errorf("%d leases, %d idle", n, g.leases.idle.Len())
	}
	for range 2 {
		g.now.Mono += delta.Ms(wire.MaxLeaseTerm)
		finish(g.leases.Tick(g.now))
	}
	if n := len(g.leases.byKey) + g.leases.idle.Len(); n != 0 {
		t.Errorf("%d are left", n)
	}
}

// Who is granted the lease at the moment at which its caller's deadline passes has tried nothing: those
// who have just begun to wait for it wait for who has the lease now.
func TestLeaseGrantedTooLate(t *testing.T) {
	g := newLeaseRig(t, 2, 3, 4, 5)
	say := func(from uint64, op wire.LeaseOpcode, late bool) {
		g.leases.Hear(g.now, from, wire.LeaseMsg{ID: from, Op: op, Key: "k", Term: 30_000, Late: late})
	}
	const hangs, leaves, granted, waits = 2, 3, 4, 5
	say(hangs, wire.OpWant, false)
	say(leaves, wire.OpWant, false)
	g.now.Mono += time.Second
	say(leaves, wire.OpDeclined, true) // so it may hang
	say(granted, wire.OpWant, false)
	say(waits, wire.OpWant, false)
	l := g.leases.byKey["k"]
	if !l.waits(Asker{waits, waits}) || l.current().Peer != granted {
		t.Fatalf("%d waits for %+v", waits, l.current())
	}
	say(granted, wire.OpDeclined, true)
	if !l.waits(Asker{waits, waits}) || l.current().Peer != hangs {
		t.Errorf("%d fills as well: %+v", waits, l)
	}
}

// A node that asks for too much gets no lease, and fills for itself.
func TestLeasesAreBounded(t *testing.T) {
	g := newLeaseRig(t, 2)
	for n := range maxLeases + 10 {
		m := g.wantAs(2, wire.LeaseMsg{ID: uint64(n + 1), Op: wire.OpWant, Key: fmt.Sprint(n), Term: 1000})
		if (m.Op == wire.TurnGranted) != (n < maxLeases) || (m.Op == wire.TurnAlone && m.Full) != (n >= maxLeases) {
			t.Fatalf("number %d: %+v", n, m)
		}
	}
	g.now.Mono = time.Second
	if n := finish(g.leases.Tick(g.now)); n != maxLeases/step {
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
		g.leases.Hear(g.now, from, wire.LeaseMsg{ID: 10 * from, Op: wire.OpDeclined, Key: "k"})
	}
	decline(2)
	if g.turn(3).Op != wire.TurnGranted || g.turn(4).Op != wire.TurnWait {
		t.Errorf("told %+v, %+v", g.turn(3), g.turn(4))
	}
	g.want(5, 50, "k")
	if l := g.leases.byKey["k"]; !l.waits(Asker{4, 40}) || l.queue[0].after != (Asker{3, 30}) {
		t.Errorf("the queue is %+v", l.queue)
	}
	g.now.Mono += Reach
	decline(3)
	if g.turn(4).Op != wire.TurnGranted || g.turn(5).Op != wire.TurnAlone {
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
			g.leases.Hear(g.now, 2, wire.LeaseMsg{ID: 20, Op: wire.OpFailed, Key: "k", Term: 5000})
		},
		"it runs out": func(g *leaseRig) {
			g.now.Mono += 10 * time.Second
			finish(g.leases.Tick(g.now))
		},
		"its node goes": func(g *leaseRig) { finish(g.leases.Left(g.now, 2)) },
	} {
		g := newLeaseRig(t, 2, 3, 4, 5)
		g.want(2, 20, "k")
		old := wire.LeaseMsg{ID: 30, Op: wire.OpWantOld, Key: "k", Term: 10_000}
		g.wantAs(3, old)
		g.want(4, 40, "k")
		g.want(5, 50, "k")
		end(g)
		if g.turn(3).Op != wire.TurnFailed || g.turn(4).Op != wire.TurnGranted || g.turn(5).Op != wire.TurnAlone {
			t.Errorf("%s: told %+v, %+v, %+v", how, g.turn(3), g.turn(4), g.turn(5))
		}
		g.leases.Hear(g.now, 4, wire.LeaseMsg{ID: 40, Op: wire.OpFailed, Key: "k", Term: 5000})
		if m := g.wantAs(3, old); m.Op != wire.TurnFailed || m.Term != 5000 {
			t.Errorf("%s: who asks again and has an old value is told %+v", how, m)
		}
		if m := g.want(5, 51, "k"); m.Op != wire.TurnGranted {
			t.Errorf("%s: who asks again and has none is told %+v", how, m)
		}
		g.leases.Hear(g.now, 5, wire.LeaseMsg{ID: 51, Op: wire.OpUncached, Key: "k"})
		g.wantLeft(0, 0, 0)
	}
}

// For a second after a fill who asks is told so, unless it takes no such value any more.
func TestLeaseFilledLingers(t *testing.T) {
	g := newLeaseRig(t, 2, 3)
	g.want(2, 20, "k")
	g.leases.Hear(g.now, 2, wire.LeaseMsg{ID: 20, Op: wire.OpFilled, Key: "k", Stamp: 9, Wall: 5000})
	for _, x := range []struct {
		what  string
		after time.Duration
		stamp uint64
		wall  int64
		want  wire.TurnOpcode
	}{
		{"it has none", 0, 0, 4999, wire.TurnFilled},
		{"it has an older one", linger - 1, 8, 4999, wire.TurnFilled},
		{"it has that one", 0, 9, 4999, wire.TurnGranted},
		{"it is too old by its clock", 0, 8, 5000, wire.TurnGranted},
		{"that was long ago", linger, 0, 4999, wire.TurnGranted},
	} {
		g.now.Mono = x.after
		m := wire.LeaseMsg{ID: 30, Op: wire.OpWant, Key: "k", Term: 1000, Stamp: x.stamp, Wall: x.wall}
		if got := g.wantAs(3, m); got.Op != x.want {
			t.Errorf("%s: told %+v", x.what, got)
		}
		g.leases.Hear(g.now, 3, wire.LeaseMsg{ID: 30, Op: wire.OpDeclined, Key: "k"})
	}
	g.wantLeft(0, 0, 0)
}

// When a node goes its leases end in steps. Others may have the lock between these: what they end isn't
// there any more, and what they begin stays.
func TestLeaseNodeLeavesInSteps(t *testing.T) {
	const keys = 3 * step
	g := newLeaseRig(t, 2, 3)
	for i := range uint64(keys) {
		g.want(2, i+1, fmt.Sprint(i))
		g.want(3, i+1, fmt.Sprint(i))
	}
	pauses := 0
	for range g.leases.Left(g.now, 2) {
		for _, key := range slices.Sorted(maps.Keys(g.leases.byKey)) { // the next one that is to be ended
			if h := g.leases.byKey[key].current(); h.Peer == 2 {
				g.leases.Hear(g.now, 2, wire.LeaseMsg{ID: h.ID, Op: wire.OpUncached, Key: key})
				break
			}
		}
		g.want(3, 1000, fmt.Sprint("new", pauses))
		pauses++
	}
	if pauses != 3 || g.leases.Granted != 2*keys {
		t.Errorf("%d pauses, %d leases granted", pauses, g.leases.Granted)
	}
	g.wantLeft(keys, 0, 0) // without three, and with three
	for key, l := range g.leases.byKey {
		if h := l.current(); len(l.holders) != 1 || h.Peer != 3 {
			t.Errorf("%s: %+v", key, l.holders)
		}
	}
}

// A node that closes grants nothing any more, and says so to who asks; what it has granted goes on.
func TestLeaseGranterIsClosed(t *testing.T) {
	g := newLeaseRig(t, 2, 3)
	g.want(2, 20, "k")
	g.leases.Closed = true
	if m := g.want(3, 30, "other"); m != (wire.TurnMsg{ID: 30, Op: wire.TurnAlone}) {
		t.Errorf("told %+v", m)
	}
	if m := g.want(3, 31, "k"); m.Op != wire.TurnWait {
		t.Errorf("who waits for a lease is told %+v", m)
	}
	g.leases.Hear(g.now, 2, wire.LeaseMsg{ID: 20, Op: wire.OpFilled, Key: "k", Stamp: 9})
	if m := g.turn(3); m.Op != wire.TurnFilled {
		t.Errorf("told %+v", m)
	}
}
