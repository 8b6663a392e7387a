package bcache

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// One node alone, and what it says about leases to nodes that this test plays.
type leaseRig struct {
	t    *testing.T
	r    *replica
	now  instant
	told map[uint64][]any // by PeerID: leaseMsg and turnMsg, in order
	woke int
}

// newLeaseRig makes node 1, connected with others.
func newLeaseRig(t *testing.T, others ...uint64) *leaseRig {
	g := &leaseRig{t: t, told: map[uint64][]any{}}
	g.r = newReplica(replicaConfig{id: 1, origin: 1, maxSkew: time.Second, logSize: 10, first: true,
		wake: func() {}, changed: func(string, kind) {}, store: storeConfig{maxKeys: 10}})
	for _, id := range others {
		g.r.joined(g.now, id, id)
		g.r.neighbours.byID[id].synced = true
	}
	g.r.flush(g.now)
	return g
}

// keyOf returns a key whose lease a node grants.
func (g *leaseRig) keyOf(granter uint64) string {
	for n := 0; ; n++ {
		if got, _ := g.r.granter(fmt.Sprint("k", n)); got == granter {
			return fmt.Sprint("k", n)
		}
	}
}

// say has another node say something, and hear what comes back.
func (g *leaseRig) say(from uint64, frame []byte) {
	g.t.Helper()
	must(g.t, g.r.receive(g.now, from, frame))
	g.flush()
}

func (g *leaseRig) flush() {
	g.t.Helper()
	_, sends := g.r.flush(g.now)
	for _, m := range sends {
		switch m.frame[1] {
		case frameLease:
			l, err := decodeLease(m.frame)
			must(g.t, err)
			g.told[m.to] = append(g.told[m.to], l)
		case frameTurn:
			turn, err := decodeTurn(m.frame)
			must(g.t, err)
			turn.echo, turn.origin = 0, 0 // they go with every frame
			g.told[m.to] = append(g.told[m.to], turn)
		}
	}
}

// want has another node ask for a lease.
func (g *leaseRig) want(from, id uint64, key string) turnMsg {
	g.t.Helper()
	g.say(from, appendLease(nil, leaseMsg{id: id, op: opWant, key: key, term: 10_000}))
	return g.turn(from)
}

// turn returns what node 1 has said last to another one; it must be a Turn.
func (g *leaseRig) turn(to uint64) turnMsg {
	g.t.Helper()
	if n := len(g.told[to]); n > 0 {
		if m, ok := g.told[to][n-1].(turnMsg); ok {
			return m
		}
	}
	return turnMsg{}
}

// lease returns the same, where it must be a Lease.
func (g *leaseRig) lease(to uint64) leaseMsg {
	g.t.Helper()
	g.flush()
	if n := len(g.told[to]); n > 0 {
		if m, ok := g.told[to][n-1].(leaseMsg); ok {
			return m
		}
	}
	return leaseMsg{}
}

func (g *leaseRig) ask(key string) *leaseAsk {
	a := g.r.askLease(g.now, key, false, 10*time.Second, func() { g.woke++ })
	g.flush()
	return a
}

func (g *leaseRig) wantTurn(a *leaseAsk, want turnOpcode) {
	g.t.Helper()
	got, _ := g.r.turnOf(g.now, a)
	if g.flush(); got != want {
		g.t.Errorf("turn %d, want %d", got, want)
	}
}

// A node that asks twice for one key, as it fills it anew after a write, is answered twice.
func TestLeaseTwoAsksAreTwoTurns(t *testing.T) {
	g := newLeaseRig(t, 2, 3)
	g.want(2, 20, "k")
	for _, id := range []uint64{30, 31} {
		if m := g.want(3, id, "k"); m.op != turnWait {
			t.Fatalf("ask %d is told %+v", id, m)
		}
	}
	before := len(g.told[3])
	g.say(2, appendLease(nil, leaseMsg{id: 20, op: opUncached, key: "k"}))
	told := map[uint64]turnOpcode{}
	for _, m := range g.told[3][before:] {
		turn := m.(turnMsg)
		told[turn.id] = turn.op
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
	g.say(2, appendLease(nil, leaseMsg{id: 20, op: opUncached, key: "k", offered: true}))
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

// Who waits for an offer that can't be accepted, or doesn't come, asks again, and doesn't wait twice.
func TestLeaseOfferIsRefused(t *testing.T) {
	for _, how := range []string{"refused", "refused before", "it doesn't come"} {
		g := newLeaseRig(t, 2)
		key := g.keyOf(2)
		a := g.ask(key)
		id := a.want.id
		g.say(2, appendTurn(nil, turnMsg{id: id, op: turnWait, term: 1000}))
		if how == "refused before" {
			g.r.offerRefused(g.now, key)
			g.wantTurn(a, turnWait)
		}
		n := len(g.told[2])
		g.say(2, appendTurn(nil, turnMsg{id: id, op: turnFilled, offered: true}))
		switch how {
		case "refused":
			g.wantTurn(a, turnWait)
			if len(g.told[2]) > n {
				t.Errorf("%s: it asks too early: %+v", how, g.told[2])
			}
			woke := g.woke
			if g.r.offerRefused(g.now, key); g.woke == woke {
				t.Errorf("%s: nobody is woken", how)
			}
		case "it doesn't come":
			g.now.mono += leaseReach
			g.wantTurn(a, 0)
		}
		if m := g.lease(2); len(g.told[2]) != n+1 || m.op != opWant || m.id != id {
			t.Errorf("%s: it says %+v", how, g.told[2][n:])
		}
		g.say(2, appendTurn(nil, turnMsg{id: id, op: turnWait, term: 1000}))
		g.wantTurn(a, turnAlone)
		if m := g.lease(2); m.op != opDeclined || m.id != id {
			t.Errorf("%s: told to wait again it says %+v", how, m)
		}
		if len(g.r.asks)+len(g.r.asksOf) > 0 || g.r.counts.leasesMissed > 0 {
			t.Errorf("%s: %d asks left, %d missed", how, len(g.r.asks), g.r.counts.leasesMissed)
		}
	}
}

// A value that has been written and doesn't come is no reason to ask again, nor to be counted.
func TestLeaseFilledButNotHere(t *testing.T) {
	g := newLeaseRig(t, 2)
	a := g.ask(g.keyOf(2))
	g.say(2, appendTurn(nil, turnMsg{id: a.want.id, op: turnFilled}))
	g.wantTurn(a, turnWait)
	g.now.mono += leaseReach
	g.wantTurn(a, turnAlone)
	if m := g.lease(2); m.op != opDeclined || g.r.counts.leasesMissed != 0 {
		t.Errorf("it says %+v, %d missed", m, g.r.counts.leasesMissed)
	}
}

// However often it is told to wait, it waits for no longer than the lease that it wants would last.
func TestLeaseWaitIsBounded(t *testing.T) {
	g := newLeaseRig(t, 2)
	a := g.ask(g.keyOf(2))
	for range 20 {
		g.say(2, appendTurn(nil, turnMsg{id: a.want.id, op: turnWait, term: 1000}))
		_, wait := g.r.turnOf(g.now, a)
		if left := 10*time.Second - g.now.mono; wait > left {
			t.Errorf("%v are left, and it looks again after %v", left, wait)
		}
		g.now.mono += 700 * time.Millisecond
		if turn, _ := g.r.turnOf(g.now, a); turn == turnAlone {
			break
		}
	}
	if g.now.mono < 10*time.Second || g.now.mono > 11*time.Second || a.turn != turnAlone {
		t.Errorf("turn %d after %v", a.turn, g.now.mono)
	}
	if g.r.counts.leasesMissed != 0 {
		t.Errorf("%d missed", g.r.counts.leasesMissed)
	}
}

// A holder is suspect when somebody who has waited for it for 100 ms gives up by a deadline; then others
// are granted the lease too, three in all. What becomes of each try is told to who waits for that one.
func TestLeaseSuspect(t *testing.T) {
	g := newLeaseRig(t, 2, 3, 4, 5, 6)
	late := func(from, id uint64) {
		g.say(from, appendLease(nil, leaseMsg{id: id, op: opDeclined, key: "k", late: true}))
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
	g.say(2, appendLease(nil, leaseMsg{id: 20, op: opFailed, key: "k", term: 1000}))
	is("who has waited for the first", g.turn(4), turnAlone)
	is("who has waited for the last", g.turn(6), turnWait)
	g.say(5, appendLease(nil, leaseMsg{id: 51, op: opUncached, key: "k"}))
	is("when that one has ended", g.turn(6), turnAlone)
	g.say(3, appendLease(nil, leaseMsg{id: 32, op: opDeclined, key: "k"}))
	if l := g.r.leases["k"]; l != nil || g.r.leaseWaits > 0 {
		t.Errorf("left: %+v, %d wait", l, g.r.leaseWaits)
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
	g.r.leaseWaits += maxLeaseWaits
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
		g.say(2, appendLease(nil, m))
	}
	if n := len(g.r.leases); n > maxLeases || n != g.r.idleLeases.Len() {
		t.Errorf("%d leases, %d idle", n, g.r.idleLeases.Len())
	}
	for range 2 {
		g.now.mono += ms(maxLeaseTerm)
		g.r.mu.Lock()
		g.r.leaseTick(g.now)
		g.r.mu.Unlock()
	}
	if n := len(g.r.leases) + g.r.idleLeases.Len(); n != 0 {
		t.Errorf("%d are left", n)
	}
}

// The queue of what is said about leases is bounded, and who isn't heard fills for itself at once. Pings
// have theirs.
func TestLeaseQueueIsBounded(t *testing.T) {
	g := newLeaseRig(t, 2)
	long := g.keyOf(2) + strings.Repeat("x", maxLeaseKey-100)
	for i := 0; ; i++ {
		key := fmt.Sprint(long, i)
		if id, _ := g.r.granter(key); id != 2 {
			continue
		}
		a := g.r.askLease(g.now, key, false, time.Second, func() {})
		if a.turn == turnAlone {
			break
		}
		if i > 2*maxLeaseSends {
			t.Fatal("there is no bound")
		}
	}
	q := g.r.leaseSends
	if q.bytes > maxLeaseSendBytes || len(q.messages) > maxLeaseSends || g.r.counts.leasesMissed != 1 ||
		g.r.out.counts.droppedSends != 1 {
		t.Errorf("%d bytes, %d messages, %d missed", q.bytes, len(q.messages), g.r.counts.leasesMissed)
	}
	for range maxLeaseSends + 1 {
		q.put(message{to: 2, frame: []byte{1}})
	}
	if len(q.messages) > maxLeaseSends {
		t.Errorf("%d messages", len(q.messages))
	}
	g.r.mu.Lock()
	g.r.ping(g.now, 2, 0)
	g.r.mu.Unlock()
	if g.r.out.counts.droppedSends != 1 {
		t.Error("a ping is dropped")
	}
	_, sends := g.r.flush(g.now)
	if len(sends) < 2 || sends[0].frame[1] != framePing || g.r.leaseSends.bytes != 0 {
		t.Errorf("%d messages are sent", len(sends))
	}
}

// LeasesMissed counts fills for which there was no lease to be had, and only those.
func TestLeasesMissed(t *testing.T) {
	g := newLeaseRig(t, 2)
	missed := func(what string, want uint64) {
		t.Helper()
		if n := g.r.counts.leasesMissed; n != want {
			t.Errorf("%s: LeasesMissed = %d, want %d", what, n, want)
		}
		g.r.counts.leasesMissed = 0
	}
	a := g.ask(g.keyOf(2))
	g.now.mono += leaseReach
	g.wantTurn(a, turnAlone)
	missed("no answer", 1)
	a = g.ask(g.keyOf(2))
	g.say(2, appendTurn(nil, turnMsg{id: a.want.id, op: turnAlone, full: true}))
	missed("the granting node is full", 1)
	a = g.ask(g.keyOf(2))
	g.say(2, appendTurn(nil, turnMsg{id: a.want.id, op: turnAlone}))
	missed("the value isn't cached", 0)
	g.ask(strings.Repeat("x", maxLeaseKey+1))
	missed("a long key", 0)
	g.r.ready.synced, g.r.neighbours.byID[2].synced = false, false
	g.ask("k")
	missed("nobody is synced", 1)
	g.r.closed = true
	g.ask("k")
	missed("closed", 0)
}
