package bcache

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/fill"
	"github.com/iwanbk/bcache/internal/testkit"
)

// One query that hangs costs those who came before the first deadline; then the key is usable again,
// whether or not the query obeys its context.
func TestLoaderHungFillIsGivenUp(t *testing.T) {
	for _, obeys := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			db := &hangingDB{hangs: 1}
			if !obeys {
				db.release = make(chan struct{})
				defer close(db.release)
			}
			b := localNode(t)
			l := newLoader(t, b, db.fill, func(c *LoaderConfig) { c.FillTimeout = -1 })
			start := time.Now()
			var wg sync.WaitGroup
			var failed atomic.Int32
			for range 100 {
				came := time.Since(start)
				wg.Go(func() {
					if _, err := getFor(l, 450*time.Millisecond, "k"); err != nil {
						failed.Add(1)
						if came >= 450*time.Millisecond {
							t.Errorf("obeys %v: who came after %v: %v", obeys, came, err)
						}
					}
				})
				synctest.Wait()
				testkit.Advance(100 * time.Millisecond)
			}
			wg.Wait()
			if s := b.Stats(); failed.Load() > 5 || db.asked() != 2 || s.FillsGivenUp != 1 || s.FillErrors != 0 {
				t.Errorf("obeys %v: %d failed, %d queries, %+v", obeys, failed.Load(), db.asked(), s)
			}
		})
	}
}

// Who still waits for a run that was given up gets what it brings.
func TestLoaderGivenUpRunGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{took: 300 * time.Millisecond}
		db.set("k", "v")
		b := localNode(t)
		l := newLoader(t, b, db.fill)
		var wg sync.WaitGroup
		wg.Go(func() { // first and without a deadline
			if val, err := l.Get(t.Context(), "k"); val != "v" || err != nil {
				t.Errorf("%q, %v", val, err)
			}
		})
		synctest.Wait()
		if _, err := getFor(l, 100*time.Millisecond, "k"); err != context.DeadlineExceeded {
			t.Error(err)
		}
		loaded(t, l, "k", "v")
		wg.Wait()
		if n := b.Stats().FillsGivenUp; n != 1 || db.asked() != 2 {
			t.Errorf("FillsGivenUp = %d, %d queries", n, db.asked())
		}
	})
}

// Clients that disconnect, or are in more of a hurry than a query can be, multiply nothing.
func TestLoaderCancellationGivesNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{took: time.Minute}
		db.set("k", "v")
		b := localNode(t)
		l := newLoader(t, b, db.fill, func(c *LoaderConfig) { c.FillTimeout = -1 })
		go l.Get(t.Context(), "k")
		synctest.Wait()
		if _, err := getFor(l, fill.GiveUpAfter-1, "k"); err != context.DeadlineExceeded {
			t.Error(err)
		}
		for range 50 {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			if _, err := l.Get(ctx, "k"); err != context.Canceled {
				t.Error(err)
			}
		}
		if n := b.Stats().FillsGivenUp; n != 0 || db.asked() != 1 {
			t.Errorf("FillsGivenUp = %d, %d queries", n, db.asked())
		}
		testkit.Advance(time.Minute)
	})
}

// A refresh that hangs lasts as long as nobody needs it: who joined it ends it.
func TestLoaderHungRefreshIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &hangingDB{}
		b := localNode(t)
		l := newLoader(t, b, db.fill, func(c *LoaderConfig) { c.StaleFor, c.FillTimeout = time.Minute, -1 })
		loaded(t, l, "k", "v")
		testkit.Advance(time.Minute)
		db.hangs = 1
		stale(t, l, "k", "v", nil)
		synctest.Wait()
		testkit.Advance(time.Minute) // too old even for that
		if _, err := getFor(l, time.Second, "k"); err != context.DeadlineExceeded {
			t.Error(err)
		}
		synctest.Wait()
		if n := b.loads.Len(); n != 0 {
			t.Errorf("%d loads are left", n)
		}
		loaded(t, l, "k", "v")
	})
}

// A caller's deadline is none of the others' business, whoever begins the Fill and however that looks
// at it.
func TestLoaderDeadlinesAreNotShared(t *testing.T) {
	for _, timeout := range []time.Duration{-1, 0, 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			l := newLoader(t, localNode(t), func(ctx context.Context, _ string) (Loaded, error) {
				query := 300 * time.Millisecond
				if d, ok := ctx.Deadline(); ok && time.Until(d) < query {
					return Loaded{}, context.DeadlineExceeded
				}
				select {
				case <-time.After(query):
					return Loaded{Value: "v"}, nil
				case <-ctx.Done():
					return Loaded{}, ctx.Err()
				}
			}, func(c *LoaderConfig) { c.FillTimeout, c.RetryAfter = timeout, time.Minute })
			go getFor(l, 100*time.Millisecond, "k")
			testkit.Advance(30 * time.Millisecond)
			loaded(t, l, "k", "v")
			if _, err := getFor(l, 5*time.Second, "k"); err != nil {
				t.Errorf("FillTimeout %v: a third caller gets %v", timeout, err)
			}
		})
	}
}

// A query that is only slower than its callers' deadlines ends up in the cache.
func TestLoaderSlowQueryIsCached(t *testing.T) {
	for _, c := range []struct{ query, deadline time.Duration }{
		{300 * time.Millisecond, 50 * time.Millisecond},
		{time.Second, 300 * time.Millisecond},
	} {
		t.Run(c.query.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db := &testDB{took: c.query}
				db.set("k", "v")
				b := localNode(t)
				l := newLoader(t, b, db.fill)
				var wg sync.WaitGroup
				var ok, failed atomic.Int32
				for range 1000 { // 10 s
					wg.Go(func() {
						if _, err := getFor(l, c.deadline, "k"); err != nil {
							failed.Add(1)
						} else {
							ok.Add(1)
						}
					})
					testkit.Advance(10 * time.Millisecond)
				}
				wg.Wait()
				if ok.Load() < 800 {
					t.Errorf("query %v, deadlines %v: %d of 1000 Gets ok, %d not, %d queries",
						c.query, c.deadline, ok.Load(), failed.Load(), db.asked())
				}
			})
		})
	}
}

// Callers in a hurry, beside a patient one, start no other query within the first second.
func TestLoaderHurriedCallersStartNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{took: 5 * time.Second}
		db.set("k", "v")
		b := localNode(t)
		l := newLoader(t, b, db.fill)
		go l.Get(t.Context(), "k") // patient
		synctest.Wait()
		for range 19 { // for 0.95 s
			getFor(l, 50*time.Millisecond, "k")
		}
		if n := b.Stats().FillsGivenUp; n != 0 || db.asked() != 1 {
			t.Errorf("FillsGivenUp = %d, %d queries, by callers with deadlines of 50 ms", n, db.asked())
		}
		testkit.Advance(10 * time.Second)
	})
}
