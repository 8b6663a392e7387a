package bcache_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
)

// A slowDB is a database in which every query takes as long.
type slowDB struct {
	took    time.Duration
	queries atomic.Int64
	down    atomic.Bool
	refuses bool // at once when it is down
	missing bool
}

var errDatabaseDown = errors.New("the database is down")

func (db *slowDB) fill(ctx context.Context, key string) (bcache.Loaded, error) {
	db.queries.Add(1)
	if db.refuses && db.down.Load() {
		return bcache.Loaded{}, errDatabaseDown
	}
	select {
	case <-ctx.Done():
		return bcache.Loaded{}, ctx.Err()
	case <-time.After(db.took):
	}
	switch {
	case db.down.Load():
		return bcache.Loaded{}, errDatabaseDown
	case db.missing:
		return bcache.Loaded{}, bcache.ErrNotFound
	}
	return bcache.Loaded{Value: "v"}, nil
}

// hotCluster is ten nodes on loopback with a Loader each.
func hotCluster(t *testing.T, db *slowDB, edit func(*bcache.LoaderConfig)) (loaders []*bcache.Loader) {
	t.Helper()
	nodes := cluster(t, 10)
	for _, b := range nodes {
		within(t, 30*time.Second, b.Ready)
		cfg := bcache.LoaderConfig{Fill: db.fill, TTL: time.Second}
		edit(&cfg)
		l, err := bcache.NewLoader(b, cfg)
		ok(t, err)
		loaders = append(loaders, l)
	}
	<-time.After(3 * time.Second) // they tell each other that they are synced
	return loaders
}

// askHot has callers goroutines per node ask for one key every 20 ms, with random phases, and returns
// how long each Get took.
func askHot(t *testing.T, loaders []*bcache.Loader, callers int, lasts time.Duration, check func(string, error) error) []time.Duration {
	t.Helper()
	const every = 20 * time.Millisecond
	var mu sync.Mutex
	var took []time.Duration
	var wg sync.WaitGroup
	ctx := t.Context()
	end := time.Now().Add(lasts)
	for _, l := range loaders {
		for range callers {
			wg.Go(func() {
				mine := make([]time.Duration, 0, lasts/every+1)
				<-time.After(time.Duration(rand.Int64N(int64(every))))
				tick := time.NewTicker(every)
				defer tick.Stop()
				for time.Now().Before(end) {
					start := time.Now()
					val, err := l.Get(ctx, "hot")
					mine = append(mine, time.Since(start))
					if err := check(val, err); err != nil {
						t.Error(err)
						return
					}
					<-tick.C
				}
				mu.Lock()
				defer mu.Unlock()
				took = append(took, mine...)
			})
		}
	}
	wg.Wait()
	slices.Sort(took)
	return took
}

func value(val string, err error) error {
	if val != "v" || err != nil {
		return fmt.Errorf("Get = %q, %v", val, err)
	}
	return nil
}

// A hot key on ten nodes, with a TTL of a second and a query that takes 50 ms; 200 goroutines per node
// ask for it every 20 ms.
func TestMeasureLoaderHotKey(t *testing.T) {
	measuring(t)
	for _, tt := range []struct {
		name        string
		clusterWide bool
		staleFor    time.Duration
	}{
		{"PerNode", false, 0}, {"ClusterWide", true, 0}, {"StaleFor", false, time.Minute}, {"Both", true, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const lasts = 30 * time.Second
			db := &slowDB{took: 50 * time.Millisecond}
			loaders := hotCluster(t, db, func(c *bcache.LoaderConfig) { c.ClusterWide, c.StaleFor = tt.clusterWide, tt.staleFor })
			took := askHot(t, loaders, 200, lasts, value)
			n := float64(db.queries.Load())
			expiries := float64(lasts / (time.Second + db.took))
			t.Logf("%.0f queries in %v, about %.0f expiries: %.2f for each; Get: %s", n, lasts, expiries, n/(expiries+1), percentiles(took))
			if tt.clusterWide && n > 2*(expiries+1) {
				t.Errorf("%.0f queries", n)
			}
			if p99 := took[len(took)*99/100]; tt.staleFor > 0 && p99 > 50*time.Millisecond {
				t.Errorf("p99 %v", p99)
			}
		})
	}
}

// The same, with a database that is down for five seconds: it refuses at once, or it fails after as long as a
// query takes; then those wait that come while it is tried for the first time, unless StaleFor is set too.
func TestMeasureLoaderDown(t *testing.T) {
	measuring(t)
	for _, tt := range []struct {
		name     string
		refuses  bool
		staleFor time.Duration
	}{{"Refuses", true, 0}, {"Fails", false, 0}, {"FailsStaleFor", false, time.Minute}} {
		t.Run(tt.name, func(t *testing.T) {
			db := &slowDB{took: 50 * time.Millisecond, refuses: tt.refuses}
			loaders := hotCluster(t, db, func(c *bcache.LoaderConfig) {
				c.ClusterWide, c.StaleFor, c.StaleOnErrorFor = true, tt.staleFor, time.Hour
			})
			askHot(t, loaders, 1, time.Second, value)
			db.down.Store(true)
			before := db.queries.Load()
			took := askHot(t, loaders, 200, 5*time.Second, value)
			n := db.queries.Load() - before
			t.Logf("down for 5 s: %d queries; Get: %s", n, percentiles(took))
			if n > 7 {
				t.Errorf("%d queries in 5 s, RetryAfter is a second", n)
			}
		})
	}
}

// The same, with a row that is missing.
func TestMeasureLoaderMissing(t *testing.T) {
	measuring(t)
	db := &slowDB{took: 50 * time.Millisecond, missing: true}
	loaders := hotCluster(t, db, func(c *bcache.LoaderConfig) { c.ClusterWide, c.NegativeTTL = true, time.Second })
	took := askHot(t, loaders, 200, 10*time.Second, func(val string, err error) error {
		if val != "" || !errors.Is(err, bcache.ErrNotFound) {
			return fmt.Errorf("Get = %q, %v", val, err)
		}
		return nil
	})
	n := db.queries.Load()
	t.Logf("a missing row for 10 s, NegativeTTL 1 s: %d queries; Get: %s", n, percentiles(took))
	if n > 12 {
		t.Errorf("%d queries", n)
	}
}
