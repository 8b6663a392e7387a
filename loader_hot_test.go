package bcache

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
)

// One hot key on ten nodes, whose TTL is a second: how many queries each expiry costs, and how many
// requests wait for one, by what is configured. In virtual time; TestMeasureLoaderHotKey has the real one.
func TestLoaderHotKey(t *testing.T) {
	const (
		nodes    = 10
		callers  = 20 // per node
		every    = 20 * time.Millisecond
		lasts    = 12 * time.Second
		query    = 50 * time.Millisecond
		expiries = 11 // a TTL and a query each
	)
	for _, tt := range []struct {
		name        string
		clusterWide bool
		staleFor    time.Duration
		most        int           // queries for one expiry
		p99         time.Duration // of a Get
	}{
		{"per node", false, 0, nodes, query},
		{"ClusterWide", true, 0, 1, query},
		{"StaleFor", false, time.Minute, nodes, 0},
		{"StaleFor, ClusterWide", true, time.Minute, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db := &testDB{took: query}
				db.set("k", "v")
				_, _, ls := leased(t, nodes, db, func(c *LoaderConfig) {
					c.TTL, c.ClusterWide, c.StaleFor = time.Second, tt.clusterWide, tt.staleFor
				})
				getAll(t, ls, db, "k", "v")
				before := db.asked()
				var mu sync.Mutex
				var took []time.Duration
				var wg sync.WaitGroup
				for _, l := range ls {
					for range callers {
						phase := time.Duration(rand.Int64N(int64(every)))
						wg.Go(func() {
							testkit.Advance(phase)
							var mine []time.Duration
							for range lasts / every {
								start := time.Now()
								if val, err := l.Get(t.Context(), "k"); val != "v" || err != nil {
									t.Errorf("%q, %v", val, err)
								}
								mine = append(mine, time.Since(start))
								testkit.Advance(every)
							}
							mu.Lock()
							defer mu.Unlock()
							took = append(took, mine...)
						})
					}
				}
				wg.Wait()
				slices.Sort(took)
				each, p99 := testkit.Bursts(db.times[before:], time.Second/2), took[len(took)*99/100]
				if len(each) < expiries-1 || len(each) > expiries+1 || slices.Max(each) > tt.most || p99 > tt.p99 {
					t.Errorf("%v queries, p99 %v", each, p99)
				}
				t.Logf("%v queries in %v, p99 %v, max %v of %d Gets", each, lasts, p99, took[len(took)-1], len(took))
			})
		})
	}
}
