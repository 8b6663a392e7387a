package bcache

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/testkit"
)

func TestLoaderTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		ttl := map[string]time.Duration{"own": time.Second, "usual": 0, "ever": NoExpiry, "not": -1}
		l := newLoader(t, b, func(_ context.Context, key string) (Loaded, error) {
			return Loaded{Value: key, TTL: ttl[key]}, nil
		})
		for key := range ttl {
			loaded(t, l, key, key)
		}
		miss(t, b, "not")
		testkit.Advance(time.Second)
		miss(t, b, "own")
		get(t, b, "usual", "usual")
		testkit.Advance(time.Minute)
		miss(t, b, "usual")
		get(t, b, "ever", "ever")
	})
}

// Keys that are written together don't expire together, and none lives longer than its TTL.
func TestLoaderJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		l := newLoader(t, b, func(context.Context, string) (Loaded, error) { return Loaded{Value: "v"}, nil },
			func(c *LoaderConfig) { c.TTL, c.Jitter = 100*time.Second, 0.2 })
		for i := range 500 {
			loaded(t, l, fmt.Sprint(i), "v")
		}
		left := func() (n int) {
			for i := range 500 {
				if _, ok := b.Get(fmt.Sprint(i)); ok {
					n++
				}
			}
			return n
		}
		for _, tt := range []struct{ at, from, to int }{{80, 499, 500}, {85, 325, 425}, {90, 200, 300}, {95, 75, 175}, {100, 0, 0}} {
			testkit.Advance(time.Until(time.Date(2000, 1, 1, 0, 0, tt.at, 0, time.UTC)))
			if n := left(); n < tt.from || n > tt.to {
				t.Errorf("after %d s %d of 500 keys are left", tt.at, n)
			}
		}
	})
}

func TestLoaderStaleFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		db := &testDB{took: time.Second}
		db.set("k", "old")
		l := newLoader(t, b, db.fill, func(c *LoaderConfig) { c.StaleFor = 10 * time.Second })
		loaded(t, l, "k", "old")
		db.set("k", "new")
		testkit.Advance(time.Minute)
		miss(t, b, "k") // to a plain Get its time is over
		for range 10 {  // while the fill runs
			stale(t, l, "k", "old", nil)
		}
		synctest.Wait()
		if n := db.asked(); n != 2 {
			t.Errorf("%d queries", n)
		}
		testkit.Advance(time.Second)
		synctest.Wait()
		get(t, b, "k", "new")
		loaded(t, l, "k", "new")
		if s := b.Stats(); s.StaleServed != 10 || s.Refreshes != 1 || s.Fills != 2 {
			t.Errorf("%+v", s)
		}

		testkit.Advance(time.Minute + 9*time.Second)
		if b.Len() != 1 {
			t.Errorf("a stale value was swept")
		}
		testkit.Advance(time.Second)
		db.set("k", "newer")
		start := time.Now()
		loaded(t, l, "k", "newer")
		if time.Since(start) != time.Second {
			t.Errorf("what is older than StaleFor was returned")
		}
		testkit.Advance(time.Minute + 10*time.Second + 5*time.Second) // a sweep of the whole store takes five ticks
		if n := b.Len(); n != 0 {
			t.Errorf("%d entries are left", n)
		}
	})
}

func TestLoaderRefreshAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		db := &testDB{took: 3 * time.Second}
		db.set("k", "v")
		l := newLoader(t, b, db.fill, func(c *LoaderConfig) { c.RefreshAhead = 0.25 })
		loaded(t, l, "k", "v")
		testkit.Advance(45*time.Second - time.Millisecond)
		loaded(t, l, "k", "v")
		synctest.Wait()
		if n := db.asked(); n != 1 {
			t.Errorf("refreshed too early")
		}
		testkit.Advance(time.Millisecond)
		for range 600 { // a minute
			start := time.Now()
			if r := l.GetResult(t.Context(), "k"); r != (Result{Value: "v"}) || time.Since(start) > 0 {
				t.Fatalf("%+v after %v", r, time.Since(start))
			}
			testkit.Advance(100 * time.Millisecond)
		}
		if n := db.asked(); n != 3 {
			t.Errorf("%d queries", n)
		}
	})
}

// A background fill that fails, or whose value isn't cached, isn't followed by the next at once.
func TestLoaderBackgroundFillsAreLimited(t *testing.T) {
	for _, fails := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b := localNode(t)
			fills := 0
			l := newLoader(t, b, func(context.Context, string) (Loaded, error) {
				fills++
				switch {
				case fills == 1:
					return Loaded{Value: "v"}, nil
				case fails:
					return Loaded{}, errors.New("down")
				}
				return Loaded{Value: "v", TTL: -1}, nil
			}, func(c *LoaderConfig) { c.RefreshAhead, c.RetryAfter = 0.5, 2*time.Second })
			loaded(t, l, "k", "v")
			testkit.Advance(30 * time.Second)
			for range 100 { // 10 s
				loaded(t, l, "k", "v")
				testkit.Advance(100 * time.Millisecond)
			}
			if fills != 1+5 {
				t.Errorf("fails %v: %d fills", fails, fills)
			}
		})
	}
}

// With both options a value is returned at once at first, then only if the fill fails.
func TestLoaderStaleThenOnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errDown := errors.New("down")
		db := &testDB{took: time.Second}
		db.set("k", "v")
		l := newLoader(t, localNode(t), db.fill, func(c *LoaderConfig) {
			c.StaleFor, c.StaleOnErrorFor = 10*time.Second, time.Minute
		})
		loaded(t, l, "k", "v")
		db.fail(errDown)
		testkit.Advance(time.Minute)
		stale(t, l, "k", "v", nil)
		testkit.Advance(1500 * time.Millisecond)
		stale(t, l, "k", "v", errDown) // the background fill has failed
		testkit.Advance(10 * time.Second)
		start := time.Now()
		if r := l.GetResult(t.Context(), "k"); r != (Result{"v", true, errDown}) || time.Since(start) != time.Second {
			t.Errorf("%+v after %v", r, time.Since(start))
		}
	})
}

func TestLoaderNegative(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		db := &testDB{}
		l := newLoader(t, b, db.fill, func(c *LoaderConfig) { c.NegativeTTL = 10 * time.Second })
		plain := newLoader(t, b, func(context.Context, string) (Loaded, error) { return Loaded{}, ErrNotFound })
		missing := func(queries int) {
			t.Helper()
			if val, err := l.Get(t.Context(), "k"); val != "" || !errors.Is(err, ErrNotFound) || db.asked() != queries {
				t.Fatalf("Get = %q, %v after %d queries", val, err, db.asked())
			}
		}
		missing(1)
		missing(1)
		if _, err := plain.Get(t.Context(), "other"); err != ErrNotFound {
			t.Error(err)
		}
		miss(t, b, "k")
		if s := b.Stats(); s.NotFound != 1 || s.FillErrors != 0 || s.Keys != 1 {
			t.Errorf("%+v", s)
		}
		testkit.Advance(10 * time.Second)
		missing(2)
		testkit.Must(t, b.Set("k", "set", 60)) // ends it at once
		loaded(t, l, "k", "set")
		testkit.Must(t, b.Delete("k"))
		missing(3)
		testkit.Must(t, b.Delete("k")) // it may be there now
		db.set("k", "v")
		loaded(t, l, "k", "v")
	})
}

// A row that is gone isn't a database that is down: the old value isn't served any more.
func TestLoaderNotFoundEndsStale(t *testing.T) {
	for _, negative := range []time.Duration{0, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			b := localNode(t)
			db := &testDB{}
			db.set("k", "v")
			l := newLoader(t, b, db.fill, func(c *LoaderConfig) {
				c.StaleFor, c.StaleOnErrorFor, c.NegativeTTL = time.Hour, time.Hour, negative
			})
			loaded(t, l, "k", "v")
			delete(db.rows, "k")
			testkit.Advance(time.Minute)
			stale(t, l, "k", "v", nil)
			synctest.Wait()
			for range 3 {
				if r := l.GetResult(t.Context(), "k"); r.Value != "" || !errors.Is(r.Err, ErrNotFound) {
					t.Errorf("%v: %+v", negative, r)
				}
				testkit.Advance(2 * time.Second)
			}
		})
	}
}

// Where a fill finds nothing, and that can't replace what is held, because it was written just now, it
// isn't begun again at once.
func TestLoaderRefusedNotFoundIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		db := &testDB{}
		l := newLoader(t, nodes[0], db.fill, func(c *LoaderConfig) { c.TTL, c.RefreshAhead = time.Minute, 0.999 })
		now := nodes[0].peer.now()
		rec, _ := l.view.Policy.Value(now, "k", "v", 0, 0)
		testkit.Must(t, nodes[0].peer.replica.SetRecord(nodes[0].peer.instantOf(now), &rec))
		for range 40 { // 400 ms
			testkit.Advance(10 * time.Millisecond)
			loaded(t, l, "k", "v")
			synctest.Wait()
		}
		if n := db.asked(); n != 1 {
			t.Errorf("%d queries", n)
		}
	})
}

// While a stale value is served, and the database left alone, a Get allocates nothing either.
func TestLoaderStaleAllocatesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		db := &testDB{}
		db.set("k", "v")
		l := newLoader(t, b, db.fill, func(c *LoaderConfig) { c.StaleFor = time.Hour })
		loaded(t, l, "k", "v")
		testkit.Advance(time.Minute)
		db.fail(errors.New("down"))
		loaded(t, l, "k", "v")
		synctest.Wait()
		ctx := t.Context()
		if n := testing.AllocsPerRun(1000, func() { l.Get(ctx, "k") }); n != 0 {
			t.Errorf("%v allocations", n)
		}
		if n := db.asked(); n != 2 {
			t.Errorf("%d queries", n)
		}
	})
}

// What is over isn't back when the clock is set back, whoever looked at it.
func TestLoaderClockIsSetBack(t *testing.T) {
	s := store.New(store.Config{MaxKeys: 10})
	now := delta.Instant{Wall: 1000}
	wall := func() int64 { return now.Wall }
	for _, key := range []string{"fresh", "stale"} {
		rec := delta.Record{Key: key, Val: "v", Version: delta.Version{Stamp: 1, Origin: 1}, Deadline: 2000}
		if key == "stale" {
			rec.StaleUntil = 3000
		}
		s.Apply(now, &rec, true)
	}
	held := func(key string) bool { _, ok := s.Entry(key, wall()); return ok }
	now.Wall = 2000
	if held("fresh") || !held("stale") {
		t.Error("at the deadline")
	}
	now.Wall = 3000
	if held("stale") {
		t.Error("it is stale for too long")
	}
	now.Wall = 1000
	for _, key := range []string{"fresh", "stale"} {
		if _, ok := s.Get(key, wall); ok || held(key) {
			t.Errorf("%s is back", key)
		}
	}
}
