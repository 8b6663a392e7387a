package bcache

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
)

func numbered(db *testDB, n int) (keys []string) {
	for i := range n {
		keys = append(keys, fmt.Sprintf("%05d", i))
		db.set(keys[i], "value of "+keys[i])
	}
	return keys
}

// A GetMany of many cold keys makes a few dozen goroutines, whatever it does with them.
func TestGetManyGoroutines(t *testing.T) {
	for _, tt := range []struct {
		name        string
		fillMany    bool
		clusterWide bool
		stale       bool
	}{
		{"Fill", false, false, false}, {"FillMany", true, false, false},
		{"Fill, ClusterWide", false, true, false}, {"FillMany, ClusterWide", true, true, false},
		{"Fill, refresh", false, false, true}, {"FillMany, refresh", true, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 3000
				db := &testDB{took: 100 * time.Millisecond}
				keys := numbered(db, n)
				net := memnet.New()
				bigger := func(c *Config) { c.MaxKeys = 2 * n }
				nodes := []*Bcache{memNode(t, net, 1, 0, bigger), memNode(t, net, 2, 0, bigger)}
				testkit.Advance(3 * time.Second)
				ls := loaders(t, nodes, db, func(c *LoaderConfig) {
					c.ClusterWide, c.StaleFor, c.BatchSize = tt.clusterWide, time.Hour, 500
					if tt.fillMany {
						c.Fill, c.FillMany = nil, db.fillMany
					}
				})
				if tt.stale {
					wantMany(t, ls[0], strings.Join(keys, " "), strings.Join(keys, " "))
					testkit.Advance(time.Minute)
				}
				if tt.clusterWide { // the other node has the leases
					go ls[1].GetMany(t.Context(), keys)
					synctest.Wait()
				}
				before, most := runtime.NumGoroutine(), 0
				done := make(chan struct{})
				go func() {
					defer close(done)
					wantMany(t, ls[0], strings.Join(keys, " "), strings.Join(keys, " "))
				}()
				for range 50 {
					testkit.Advance(10 * time.Millisecond)
					most = max(most, runtime.NumGoroutine()-before)
				}
				<-done
				for nodes[0].loads.Len() > 0 {
					testkit.Advance(time.Second)
				}
				testkit.Advance(time.Minute / 2)
				wantMany(t, ls[0], strings.Join(keys, " "), strings.Join(keys, " "))
				if most > 60 {
					t.Errorf("%d goroutines", most)
				}
				if s := nodes[0].Stats(); tt.stale && s.Refreshes != n {
					t.Errorf("Refreshes = %d", s.Refreshes)
				}
			})
		})
	}
}

// Keys whose lease another node has come with its values, or are filled together when their turn comes.
func TestLeaseGetManyTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{took: 100 * time.Millisecond}
		keys := numbered(db, 300)
		down := fs("down")
		_, nodes, ls := leased(t, 3, db, func(c *LoaderConfig) { c.FillMany = db.fillMany })
		var wg sync.WaitGroup
		failing := newLoader(t, nodes[1], nil, func(c *LoaderConfig) {
			c.ClusterWide = true
			c.FillMany = func(context.Context, []string) (map[string]Loaded, error) {
				testkit.Advance(time.Second)
				return map[string]Loaded{keys[0]: {Value: "value of " + keys[0]}}, down
			}
		})
		wg.Go(func() { failing.GetMany(t.Context(), keys[:200]) })
		synctest.Wait()
		start := time.Now()
		wantMany(t, ls[0], strings.Join(keys, " "), strings.Join(keys, " "))
		wg.Wait()
		if took := time.Since(start); took > 1200*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		synctest.Wait() // what a load has come to is told after its callers
		asked := strings.Fields(strings.Join(db.queries, " "))
		if slices.Sort(asked); !slices.Equal(asked, keys[1:]) || db.asked() > 5 { // most in two
			t.Errorf("%d queries of %d keys", db.asked(), len(asked))
		}
		for _, b := range nodes {
			if _, _, asks := b.peer.replica.Leases.Load(); asks > 0 {
				t.Errorf("node %d is left with %d asks", b.peer.replica.ID, asks)
			}
		}
	})
}

// What a GetMany waits for at other nodes ends with its context.
func TestLeaseGetManyLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{took: time.Minute}
		keys := numbered(db, 10)
		_, nodes, ls := leased(t, 3, db, func(c *LoaderConfig) { c.FillMany, c.FillTimeout = db.fillMany, -1 })
		go ls[0].GetMany(t.Context(), keys[:5])
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got, err := ls[1].GetMany(ctx, keys); len(got) != 0 || len(err.(KeyErrors)) != 10 {
			t.Errorf("%v, %v", got, err)
		}
		synctest.Wait()
		if n := nodes[1].loads.Len(); n != 0 {
			t.Errorf("%d loads are left", n)
		}
		testkit.Advance(time.Minute)
	})
}

// A key that is given twice counts once, whatever is known of it.
func TestGetManyDuplicates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{}
		b, l := many(t, db, func(c *LoaderConfig) { c.NegativeTTL, c.StaleFor = time.Hour, time.Hour })
		twice := func(want Stats) {
			t.Helper()
			before := b.Stats()
			wantMany(t, l, "a none a none a none", "a")
			s := b.Stats()
			is := [4]uint64{s.Hits - before.Hits, s.Misses - before.Misses, s.NotFound - before.NotFound,
				s.StaleServed - before.StaleServed}
			if is != [4]uint64{want.Hits, want.Misses, want.NotFound, want.StaleServed} {
				t.Errorf("hits, misses, NotFound, StaleServed are %v", is)
			}
		}
		twice(Stats{Misses: 2})
		twice(Stats{Hits: 2, NotFound: 1})
		testkit.Advance(time.Minute)
		db.took = time.Second
		twice(Stats{Hits: 2, NotFound: 1, StaleServed: 1})
		testkit.Advance(time.Minute)

		typed, _ := users(t, b, map[string]user{"1": {"Ada", 36}})
		testkit.Must(t, b.Set("user:1", "{", 60))
		before := b.Stats()
		for range 2 {
			_, err := typed.GetMany(t.Context(), []string{"1", "1", "1"})
			testkit.Must(t, err)
		}
		if s := b.Stats(); s.Hits-before.Hits > 1 || s.Undecodable-before.Undecodable > 2 {
			t.Errorf("%+v", s)
		}
	})
}

// Without FillMany sixteen Fills of a GetMany run at a time.
func TestGetManyWidth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int64
		var mu sync.Mutex
		l := newLoader(t, localNode(t), func(_ context.Context, key string) (Loaded, error) {
			mu.Lock()
			most.Store(max(most.Load(), running.Add(1)))
			mu.Unlock()
			testkit.Advance(time.Second)
			running.Add(-1)
			return Loaded{Value: "value of " + key}, nil
		})
		keys := strings.Join(numbered(&testDB{}, 64), " ")
		start := time.Now()
		wantMany(t, l, keys, keys)
		if took := time.Since(start); most.Load() != 16 || took != 4*time.Second {
			t.Errorf("%d at once, %v", most.Load(), took)
		}
	})
}

// What is left of a GetMany when its context has ended costs nothing.
func TestGetManyEndsEarly(t *testing.T) {
	for _, fillMany := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			db := &testDB{took: time.Second}
			keys := numbered(db, 100)
			b, l := many(t, db, func(c *LoaderConfig) {
				if c.BatchSize = 16; !fillMany {
					c.Fill, c.FillMany = db.fill, nil
				}
			})
			ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
			defer cancel()
			got, err := l.GetMany(ctx, keys)
			if errs := err.(KeyErrors); len(got) != 16 || len(errs) != 84 || errs[keys[99]] != context.DeadlineExceeded {
				t.Errorf("%d values, %d errors", len(got), len(errs))
			}
			synctest.Wait()
			if s := b.Stats(); s.Fills != 32 || s.Misses != 100 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// Close ends what a GetMany has begun in the background, and no more is begun.
func TestGetManyRefreshEndsWithClose(t *testing.T) {
	for _, fillMany := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			db := &testDB{}
			keys := numbered(db, 100)
			b, err := New(Config{MaxKeys: 1000})
			testkit.Must(t, err)
			l := newLoader(t, b, db.fill, func(c *LoaderConfig) {
				if c.StaleFor, c.BatchSize = time.Hour, 10; fillMany {
					c.Fill, c.FillMany = nil, db.fillMany
				}
			})
			_, err = l.GetMany(t.Context(), keys)
			testkit.Must(t, err)
			testkit.Advance(time.Minute)
			db.took = time.Minute
			before := db.asked()
			_, err = l.GetMany(t.Context(), keys)
			testkit.Must(t, err)
			synctest.Wait()
			testkit.Must(t, b.Close())
			synctest.Wait()
			n := db.asked() - before
			if fillMany && n != 1 || !fillMany && n != 16 || b.loads.Len() != 0 {
				t.Errorf("FillMany %v: %d queries, %d loads are left", fillMany, n, b.loads.Len())
			}
		})
	}
}
