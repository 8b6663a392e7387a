package replica

import (
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
)

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
