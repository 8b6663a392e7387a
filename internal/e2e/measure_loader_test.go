package e2e_test

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
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/testkit/live"
)

var errDatabaseDown = errors.New("the database is down")

// A slowDB is a database in which every query takes as long.
type slowDB struct {
	took    time.Duration
	down    atomic.Bool
	refuses bool // at once when it is down
	missing bool

	mu      sync.Mutex
	queries []time.Time // when they began
}

// since returns when queries began that came after the first n.
func (db *slowDB) since(n int) []time.Time {
	db.mu.Lock()
	defer db.mu.Unlock()
	return slices.Clone(db.queries[n:])
}

func (db *slowDB) fill(ctx context.Context, key string) (bcache.Loaded, error) {
	db.mu.Lock()
	db.queries = append(db.queries, time.Now())
	db.mu.Unlock()
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
	nodes := live.Cluster(t, 10)
	for _, b := range nodes {
		testkit.Within(t, 30*time.Second, b.Ready)
		cfg := bcache.LoaderConfig{Fill: db.fill, TTL: time.Second}
		edit(&cfg)
		l, err := bcache.NewLoader(b, cfg)
		testkit.Ok(t, err)
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
			each := testkit.Bursts(db.since(0), 500*time.Millisecond)
			n := 0
			for _, size := range each {
				n += size
			}
			t.Logf("%d queries in %v, in %d expiries: %.2f for each, %d at most; Get: %s", n, lasts, len(each),
				float64(n)/float64(len(each)), slices.Max(each), percentiles(took))
			if expiries := int(lasts / (time.Second + db.took)); len(each) < expiries-1 || len(each) > expiries+3 {
				t.Errorf("%d expiries", len(each))
			}
			if tt.clusterWide && slices.Max(each) > 2 {
				t.Errorf("%v queries", each)
			}
			if p99 := took[len(took)*99/100]; tt.staleFor > 0 && p99 >= time.Millisecond {
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
			before := len(db.since(0))
			took := askHot(t, loaders, 200, 5*time.Second, value)
			tries := db.since(before)
			least := 5 * time.Second // between two
			for i := range len(tries) - 1 {
				least = min(least, tries[i+1].Sub(tries[i]))
			}
			t.Logf("down for 5 s: %d queries, %v apart at least; Get: %s", len(tries), least, percentiles(took))
			if len(tries) < 3 || len(tries) > 6 || least < time.Second {
				t.Errorf("RetryAfter is a second")
			}
			if p99 := took[len(took)*99/100]; p99 >= time.Millisecond {
				t.Errorf("p99 %v", p99)
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
	each := testkit.Bursts(db.since(0), 500*time.Millisecond)
	t.Logf("a missing row for 10 s, NegativeTTL 1 s: asked for %d times, %d queries at most each time; Get: %s",
		len(each), slices.Max(each), percentiles(took))
	if len(each) > 11 || slices.Max(each) > 1 {
		t.Errorf("%v queries", each)
	}
}
