package bcache

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
)

// A hot key that is deleted, or cleared, again and again: one query each time, whatever the number of
// nodes, and nobody waits for more than that.
func TestLeaseUpdateCostsOneQuery(t *testing.T) {
	for _, nodes := range []int{3, 5, 10} {
		for _, cleared := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				const times, every, query = 10, 400 * time.Millisecond, 20 * time.Millisecond
				db := &testDB{took: query}
				db.set("k", "v")
				_, bs, ls := leased(t, nodes, db)
				getAll(t, ls, db, "k", "v")
				before, end := db.asked(), time.Now().Add(times*every)
				var mu sync.Mutex
				var slowest time.Duration
				var wg sync.WaitGroup
				for _, l := range ls {
					wg.Go(func() {
						for time.Now().Before(end) {
							start := time.Now()
							loaded(t, l, "k", "v")
							mu.Lock()
							slowest = max(slowest, time.Since(start))
							mu.Unlock()
							testkit.Advance(5 * time.Millisecond)
						}
					})
				}
				for i := range times {
					if cleared {
						testkit.Must(t, bs[i%nodes].Clear())
					} else {
						testkit.Must(t, bs[i%nodes].Delete("k"))
					}
					testkit.Advance(every)
				}
				wg.Wait()
				what := fmt.Sprintf("%d nodes, Clear %v", nodes, cleared)
				n := float64(db.asked()-before) / times
				t.Logf("%s: %.1f queries each time, the slowest Get %v", what, n, slowest)
				if n > 1.3 {
					t.Errorf("%s: %.1f queries each time", what, n)
				}
				if slowest > 2*query+leaseExtra {
					t.Errorf("%s: a Get took %v", what, slowest)
				}
				for i, b := range bs {
					if s := b.Stats(); s.LeasesMissed != 0 {
						t.Errorf("%s: node %d: LeasesMissed %d", what, i+1, s.LeasesMissed)
					}
				}
			})
		}
	}
}
