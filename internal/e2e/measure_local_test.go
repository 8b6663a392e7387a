package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/testkit/live"
)

// Five nodes whose users differ: each is asked for a fifth of 200,000 keys of 1 KiB. What that takes of
// each node's memory and of the network, where all nodes get what a Fill brings, and where it stays.
func TestMeasureLocalValues(t *testing.T) {
	measuring(t)
	const nodes, keys = 5, 200_000
	for _, local := range []bool{false, true} {
		t.Run(fmt.Sprintf("LocalValues=%v", local), func(t *testing.T) {
			before := testkit.Heap()
			caches := live.Cluster(t, nodes, func(c *bcache.Config) { c.MaxKeys = keys * 11 / 10 })
			var loaders []*bcache.Loader
			for _, b := range caches {
				testkit.Within(t, 30*time.Second, b.Ready)
				l, err := bcache.NewLoader(b, bcache.LoaderConfig{
					Fill: func(_ context.Context, key string) (bcache.Loaded, error) {
						return bcache.Loaded{Value: key + strings.Repeat("v", 1024-len(key))}, nil
					},
					TTL: time.Hour, LocalValues: local,
				})
				testkit.Ok(t, err)
				loaders = append(loaders, l)
			}
			<-time.After(3 * time.Second) // they tell each other that they are synced
			sent := sentBy(caches)
			empty := testkit.Heap()
			start := time.Now()
			var wg sync.WaitGroup
			for i, l := range loaders {
				wg.Go(func() {
					for k := i; k < keys; k += nodes {
						if _, err := l.Get(t.Context(), fmt.Sprintf(measureKey, k)); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			want := keys
			if local {
				want = keys / nodes
			}
			testkit.Within(t, time.Minute, func() error {
				for _, b := range caches {
					if n := b.Len(); n != want {
						return fmt.Errorf("a node holds %d keys, not %d", n, want)
					}
				}
				return nil
			})
			took := time.Since(start)
			<-time.After(2 * time.Second) // what was on its way to several nodes has gone
			heap := (testkit.Heap() - empty) / nodes
			bytes := sentBy(caches) - sent
			t.Logf("each node holds %d keys: %.1f MB of heap each, %.0f B for each key (and %.1f MB before); "+
				"%.2f MB were sent by all nodes; it took %.1f s", want, float64(heap)/1e6, float64(heap)/float64(want),
				float64((empty-before)/nodes)/1e6, float64(bytes)/1e6, took.Seconds())
			if local && bytes > 1<<20 {
				t.Errorf("%d bytes were sent", bytes)
			}
		})
	}
}

// sentBy is how many bytes some nodes have sent.
func sentBy(nodes []*bcache.Bcache) (sum uint64) {
	for _, b := range nodes {
		sum += b.Stats().BytesOut
	}
	return sum
}
