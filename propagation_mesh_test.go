package bcache_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/testkit/live"
)

// Over real connections, and by one clock, which is 0 ahead of itself.
func TestPropagationOverMesh(t *testing.T) {
	nodes := live.Cluster(t, 2)
	peer := func() bcache.PeerStats {
		peers := nodes[1].Stats().Peers
		if len(peers) != 1 {
			t.Fatalf("%d neighbours", len(peers))
		}
		return peers[0]
	}
	testkit.Within(t, 10*time.Second, func() error {
		if peer().RoundTrip < 0 {
			return errors.New("no ping was answered yet")
		}
		return nil
	})
	for i := range 20 {
		key := fmt.Sprint("k", i)
		testkit.Ok(t, nodes[0].Set(key, "v", 60))
		shows(t, nodes[1], key, "v")
	}
	p := peer()
	if p.ClockOffset.Abs() > p.RoundTrip/2+time.Millisecond {
		t.Errorf("the other clock is %v ahead, give or take half of %v", p.ClockOffset, p.RoundTrip)
	}
	n := p.Propagation.Total()
	if n == 0 || n > 20 || p.PropagationP50 < 0 || p.PropagationP99 < p.PropagationP50 {
		t.Errorf("%d frames: %+v", n, p)
	}
	t.Logf("%d frames took %v and %v, the clock is %v ahead, %v there and back", n, p.PropagationP50,
		p.PropagationP99, p.ClockOffset, p.RoundTrip)
}
