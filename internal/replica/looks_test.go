package replica

import (
	"slices"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/wire"
)

// What is refused of fills, here and at other nodes, and what is given up, the store remembers.
func TestRefusalsAreRemembered(t *testing.T) {
	offer := func(r *Replica) wire.Offer {
		rec := delta.Record{Key: "k", Val: "v"}
		return wire.Offer{Origin: 101, To: r.state.Origin, Seen: r.state.touches.Echo(), Rec: rec}
	}
	fill := func(r *Replica, during func()) FillOutcome {
		f := r.Fills.Begin(edge(5), 0, "k")[0]
		during()
		return r.Fills.End(edge(10), f, &delta.Record{Key: "k", Val: "v"}, FillForAll)
	}
	for name, tt := range map[string]struct {
		do   func(r *Replica)
		want []store.DecisionKind
	}{
		"a fill that passes": {do: func(r *Replica) { fill(r, func() {}) }},
		"a fill that is kept": {do: func(r *Replica) {
			testkit.Must(t, r.Delete(edge(4), "k"))
			if o := fill(r, func() {}); o != FillKept {
				t.Errorf("outcome %d", o)
			}
		}},
		"a fill that isn't": {
			do: func(r *Replica) {
				if o := fill(r, func() { testkit.Must(t, r.Delete(edge(6), "k")) }); o != FillRefused {
					t.Errorf("outcome %d", o)
				}
			},
			want: []store.DecisionKind{store.DecisionFillRefused},
		},
		"an offer": {do: func(r *Replica) { r.Fills.receiveOffer(edge(10), 1, offer(r)) }},
		"an offer that comes too late": {
			do: func(r *Replica) {
				o := offer(r)
				testkit.Must(t, r.Delete(edge(6), "k"))
				r.Fills.receiveOffer(edge(10), 1, o)
			},
			want: []store.DecisionKind{store.DecisionOfferRefused},
		},
		"a write from the future": {
			do: func(r *Replica) {
				testkit.Must(t, r.Set(edge(4), "k", "v", 0))
				v := delta.Version{Stamp: delta.StampOf(edge(10).Wall + 900), Origin: 9}
				_ = r.Receive(edge(10), 1, wire.AppendDelta(nil, 9, 1, []delta.Record{{Key: "k", Version: v}}))
			},
			want: []store.DecisionKind{store.DecisionForgotten},
		},
	} {
		r := newRig(t, 2, nil).replicas[0]
		tt.do(r)
		var got []store.DecisionKind
		for _, d := range r.Store.Inspect("k").Decisions {
			got = append(got, d.Kind)
			if d.Wall != edge(10).Wall || (d.Stamp == 0) != (d.Kind == store.DecisionOfferRefused) {
				t.Errorf("%s: %+v", name, d)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// A tick ends the sampling of hits when a minute has passed.
func TestTickEndsSampling(t *testing.T) {
	r := newRig(t, 1, nil).replicas[0]
	testkit.Must(t, r.Set(edge(0), "k", "v", 0))
	now := edge(0)
	r.Store.Hot.Ask(now.Mono)
	for range 10_000 {
		r.Store.Get("k", func() int64 { return now.Wall })
	}
	for _, left := range []int{1, 0} {
		now.Mono += 30 * time.Second
		r.Tick(now)
		if top, _ := r.Store.Hot.Top(9); len(top) != left {
			t.Errorf("after %v: %v", now.Mono-edge(0).Mono, top)
		}
	}
}
