package replica

import (
	"fmt"
	"strings"
	"testing"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/wire"
)

// fillHere fills a key for its own node.
func fillHere(r *Replica, at, until delta.Instant, rec delta.Record) FillOutcome {
	f := r.Fills.Begin(at, 0, rec.Key)[0]
	return r.Fills.End(until, f, &rec, FillHere)
}

// It makes room for what it adds, and no more.
func TestLocalFillMakesRoom(t *testing.T) {
	big := strings.Repeat("x", 200_000)
	r := full(t, 1_000_000)
	for i, most := range []uint64{2000, 1} { // of 205 bytes each, and then it takes the place of its like
		before := r.Store.Stats().Evictions
		if o := fillHere(r, edge(10*i+1), edge(10*i+2), delta.Record{Key: "k", Val: big}); o != FillKept {
			t.Fatal(o)
		}
		if n := r.Store.Stats().Evictions - before; n > most {
			t.Errorf("fill %d: %d entries were evicted", i, n)
		}
	}
	// A record that is there, and live, is left alone.
	r = full(t, 1_000_000)
	testkit.Must(t, r.Set(edge(0), "k", "live", 0))
	before := r.Store.Stats().Evictions
	if o := fillHere(r, edge(1), edge(2), delta.Record{Key: "k", Val: big}); o != FillRefused {
		t.Fatal(o)
	}
	if n := r.Store.Stats().Evictions - before; n != 0 {
		t.Errorf("%d entries were evicted for nothing", n)
	}
}

// What a node keeps for itself is nothing that it could serve other nodes with.
func TestLocalFillsDoNotLead(t *testing.T) {
	g := newRig(t, 2, func(c *Config) { c.ID = c.Origin - 100 })
	for i := range 50 {
		if o := fillHere(g.replicas[1], g.now(), g.now(), delta.Record{Key: fmt.Sprint(i), Val: "v"}); o != FillKept {
			t.Fatal(o)
		}
	}
	g.write(0, "k", func(r *Replica) { testkit.Must(t, r.Set(g.now(), "k", "v", 0)) })
	for i, want := range []uint64{1, 0} {
		if n := uint64(g.replicas[i].Store.Sync.Held()); n != want {
			t.Errorf("node %d holds %d", i, n)
		}
	}
	g.replicas[1].Tick(g.now())
	_, sends := g.replicas[1].Flush(g.now())
	pinged := false
	for _, m := range sends {
		if p, err := wire.DecodePing(m.Frame); err == nil {
			if pinged = true; p.Held != 0 {
				t.Errorf("it tells others that it holds %d", p.Held)
			}
		}
	}
	if !pinged {
		t.Fatal("it doesn't ping")
	}
	if leads := !g.replicas[0].neighbours.outdone(0, 1); !leads {
		t.Error("who has a record is outdone")
	}
}
