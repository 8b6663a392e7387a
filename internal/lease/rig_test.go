package lease

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/wire"
)

// A leaseRig has both sides of node 1's leases, without the rest of the node. The test plays the rest,
// and the other nodes.
type leaseRig struct {
	t      *testing.T
	leases *Table
	asks   *Asks
	now    delta.Instant
	woke   int
	alone  bool

	// What node 1 knows:
	ids    []uint64 // of the nodes that may grant leases
	above  uint64   // see TakesAbove
	nonces uint64   // drawn so far

	// What it has said to others, by PeerID:
	turns  map[uint64][]wire.TurnMsg
	wanted map[uint64][]wire.LeaseMsg
}

// newLeaseRig makes node 1, connected with others.
func newLeaseRig(t *testing.T, others ...uint64) *leaseRig {
	g := &leaseRig{t: t, ids: append(others, 1),
		turns: map[uint64][]wire.TurnMsg{}, wanted: map[uint64][]wire.LeaseMsg{}}
	g.leases, g.asks = New(1, g, false)
	return g
}

func (g *leaseRig) Alone() bool              { return g.alone }
func (g *leaseRig) Granters() []uint64       { return g.ids }
func (g *leaseRig) TakesAbove(string) uint64 { return g.above }

func (g *leaseRig) Nonce() uint64 {
	g.nonces++
	return g.nonces
}

func (g *leaseRig) SendLease(peer uint64, m wire.LeaseMsg) bool {
	g.wanted[peer] = append(g.wanted[peer], m)
	return slices.Contains(g.ids, peer)
}

func (g *leaseRig) SendTurn(peer uint64, m wire.TurnMsg) { g.turns[peer] = append(g.turns[peer], m) }

// want has another node ask for a lease, and returns what it is told.
func (g *leaseRig) want(from, id uint64, key string) wire.TurnMsg {
	return g.wantAs(from, wire.LeaseMsg{ID: id, Op: wire.OpWant, Key: key, Term: 10_000})
}

func (g *leaseRig) wantAs(from uint64, m wire.LeaseMsg) wire.TurnMsg {
	g.leases.Hear(g.now, from, m)
	return g.turn(from)
}

// turn returns what another node was told last.
func (g *leaseRig) turn(to uint64) wire.TurnMsg { return last(g.turns[to]) }

// keyOf returns a key whose lease a node grants.
func (g *leaseRig) keyOf(granter uint64) string {
	for n := 0; ; n++ {
		if got, _ := Granter(fmt.Sprint("k", n), g.ids); got == granter {
			return fmt.Sprint("k", n)
		}
	}
}

// ask has node 1 ask for a lease.
func (g *leaseRig) ask(key string) *Ask {
	return g.asks.Ask(g.now, key, false, 10*time.Second, func() { g.woke++ })
}

func (g *leaseRig) wantTurn(a *Ask, want Turn) {
	g.t.Helper()
	if got, _ := g.asks.TurnOf(g.now, a); got != want {
		g.t.Errorf("turn %d, want %d", got, want)
	}
}

// wantLeft verifies how much node 1 still knows.
func (g *leaseRig) wantLeft(leases, waiting, asks int) {
	g.t.Helper()
	got, want := [3]int{len(g.leases.byKey), g.leases.waiting, len(g.asks.byID)}, [3]int{leases, waiting, asks}
	if got != want {
		g.t.Errorf("leases, waiters and asks left: %d, want %d", got, want)
	}
	if len(g.asks.byKey) > len(g.asks.byID) || g.leases.idle.Len() > len(g.leases.byKey) {
		g.t.Errorf("%d keys of asks, %d idle leases are left", len(g.asks.byKey), g.leases.idle.Len())
	}
}

// finish does all of some steps, and returns how often others could have the lock meanwhile.
func finish(steps func(yield func() bool)) (pauses int) {
	for range steps {
		pauses++
	}
	return pauses
}

// last returns the last one of many, or the zero value if there is none.
func last[T any](of []T) (x T) {
	if len(of) > 0 {
		x = of[len(of)-1]
	}
	return x
}
