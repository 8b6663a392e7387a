package bcache

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
)

// How long writes take from node to node is measured, whatever the clocks show: those of these nodes
// differ by much more.
func TestPropagation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const delay = 7 * time.Millisecond
		net, nodes := three(t, 0, 200*time.Millisecond, -123456*time.Microsecond)
		net.Delay(delay)
		for _, p := range nodes[0].Stats().Peers {
			if p.PropagationP50 != -1 || p.PropagationP99 != -1 || p.Propagation.Total() != 0 {
				t.Errorf("before anything was written: %+v", p)
			}
		}
		testkit.Advance(2 * time.Minute) // frames took no time before
		for i := range 100 {
			for n, b := range nodes {
				testkit.Must(t, b.Set(fmt.Sprint(n), fmt.Sprint(i), 3600))
			}
			testkit.Advance(50 * time.Millisecond)
		}
		ahead := []time.Duration{0, 200 * time.Millisecond, -123456 * time.Microsecond}
		for n, b := range nodes {
			s := b.Stats()
			all := uint64(0)
			for _, p := range s.Peers {
				want := ahead[p.ID-1] - ahead[n]
				if (p.ClockOffset-want).Abs() > time.Millisecond || p.RoundTrip != 2*delay {
					t.Errorf("node %d: the clock of %d is %v ahead, by %v", n+1, p.ID, p.ClockOffset, p.RoundTrip)
				}
				if p.Propagation.Total() != 100 || p.PropagationP50 < 5*time.Millisecond ||
					p.PropagationP99 < p.PropagationP50 || p.PropagationP99 > 10*time.Millisecond {
					t.Errorf("node %d: writes of %d took %v and %v; %+v",
						n+1, p.ID, p.PropagationP50, p.PropagationP99, p.Propagation)
				}
				all += p.Propagation.Total()
			}
			if s.Propagation.Total() != all {
				t.Errorf("node %d: %d frames, %d of its neighbours", n+1, s.Propagation.Total(), all)
			}
		}

		// Nobody writes for a minute, and a node leaves: what was counted stays.
		testkit.Advance(time.Minute + time.Second)
		for _, p := range nodes[0].Stats().Peers {
			if p.PropagationP50 != -1 || p.PropagationP99 != -1 || p.Propagation.Total() != 100 {
				t.Errorf("after a minute: %+v", p)
			}
		}
		testkit.Must(t, nodes[2].Close())
		testkit.Advance(time.Second)
		if s := nodes[0].Stats(); len(s.Peers) != 1 || s.Propagation.Total() != 200 {
			t.Errorf("%d neighbours, %d frames", len(s.Peers), s.Propagation.Total())
		}
	})
}

// A Histogram is its user's.
func TestHistogramIsACopy(t *testing.T) {
	b := localNode(t)
	h := b.Stats().Propagation
	if len(h.Bounds) == 0 || len(h.Counts) != len(h.Bounds)+1 || h.Total() != 0 || h.Quantile(0.5) != 0 {
		t.Fatalf("%+v", h)
	}
	h.Bounds[0], h.Counts[0] = time.Hour, 7
	if again := b.Stats().Propagation; again.Bounds[0] == time.Hour || again.Counts[0] != 0 || h.Total() != 7 {
		t.Errorf("%+v, and later %+v", h, again)
	}
}
