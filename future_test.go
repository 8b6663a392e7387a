package bcache

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
)

// Whole nodes: one whose clock was ahead for a while, in which frames were lost, is restarted.
func TestFutureOfANodeThatRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		var down atomic.Bool
		n.Filter(func(_, _ uint64, _ []byte) bool { return !down.Load() })
		var skew atomic.Int64
		a := memNodeAt(t, n, 1, &skew)
		b := memNode(t, n, 2, 0)
		testkit.Advance(5 * time.Second)
		write := func(d time.Duration) {
			for range d / (50 * time.Millisecond) {
				testkit.Must(t, a.Set("k", "v", 1000))
				testkit.Advance(50 * time.Millisecond)
			}
		}
		down.Store(true)
		write(time.Second)
		skew.Store(int64(time.Hour))
		write(time.Second)
		down.Store(false)
		write(14 * time.Second)
		skew.Store(0)
		write(40 * time.Second)
		_ = a.Close() // nobody has what it wrote ahead
		testkit.Advance(time.Minute)
		again := memNode(t, n, 1, 0, func(c *Config) { c.Peers = []string{"mem:1"} })
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		err := again.WaitSynced(ctx)
		testkit.Advance(time.Second)
		if n := b.Stats().SyncsServed; err != nil || n != 1 {
			t.Errorf("%v; full syncs served: %d", err, n)
		}
	})
}
