package bcache

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/fill"
	"github.com/iwanbk/bcache/internal/testkit"
)

// Three Fills of a key run at a time, whatever forgets or gives up the others; the next one waits, may
// be joined meanwhile, and begins after all writes that came before. Other keys aren't concerned.
func TestLoaderPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		db := &hangingDB{hangs: 3, release: make(chan struct{})}
		l := newLoader(t, b, db.fill)
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() { l.Get(t.Context(), "k") })
			synctest.Wait()
			if testkit.Must(t, b.Delete("k")); db.asked() != i+1 {
				t.Errorf("%d queries", db.asked())
			}
		}
		for range 10 {
			wg.Go(func() { loaded(t, l, "k", "v") })
			synctest.Wait()
			testkit.Must(t, b.Delete("k"))
		}
		if n := b.loads.Len(); n != 4 || db.asked() != 3 {
			t.Errorf("%d loads, %d queries", n, db.asked())
		}
		loaded(t, l, "other", "v")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.Get(ctx, "k"); err != context.DeadlineExceeded {
			t.Error(err)
		}
		db.release <- struct{}{} // one returns, and makes room
		synctest.Wait()
		if db.asked() != 5 {
			t.Errorf("%d queries", db.asked())
		}
		get(t, b, "k", "v")
		close(db.release)
		wg.Wait()
	})
}

// A refresh isn't begun where all places are taken.
func TestLoaderRefreshNeedsAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		db := &hangingDB{release: make(chan struct{})}
		l := newLoader(t, b, db.fill, func(c *LoaderConfig) { c.StaleFor = time.Hour })
		var wg sync.WaitGroup
		db.hangs = 3
		for range 3 {
			wg.Go(func() { l.Get(t.Context(), "k") })
			synctest.Wait()
			testkit.Must(t, b.Delete("k"))
		}
		now := b.peer.now()
		rec, _ := l.view.Policy.Value(now, "k", "old", 0, 0)
		testkit.Must(t, b.peer.replica.SetRecord(b.peer.instantOf(now), &rec))
		testkit.Advance(time.Minute)
		for range 10 {
			stale(t, l, "k", "old", nil)
			synctest.Wait()
		}
		if n := b.loads.Len(); n != 3 || db.asked() != 3 {
			t.Errorf("%d loads, %d queries", n, db.asked())
		}
		close(db.release)
		wg.Wait()
	})
}

// Places go round: at no time do more than three Fills of a key run, and every caller gets a value that
// is as new as what was written before it came.
func TestLoaderPlacesUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		var row, running, queries atomic.Int64
		l := newLoader(t, b, func(context.Context, string) (Loaded, error) {
			queries.Add(1)
			if n := running.Add(1); n > fill.MaxFills {
				t.Errorf("%d at once", n)
			}
			defer running.Add(-1)
			n := row.Load()
			testkit.Advance(50 * time.Millisecond)
			return Loaded{Value: fmt.Sprintf("%09d", n)}, nil
		})
		var wg sync.WaitGroup
		for i := range 1000 { // one every 2 ms, and a change every 6
			if i%3 == 0 {
				row.Add(1)
				testkit.Must(t, b.Delete("k"))
			}
			least := fmt.Sprintf("%09d", row.Load())
			wg.Go(func() {
				if val, err := l.Get(t.Context(), "k"); err != nil || val < least {
					t.Errorf("%q, %v: older than %s", val, err, least)
				}
			})
			testkit.Advance(2 * time.Millisecond)
		}
		wg.Wait()
		if n := queries.Load(); n > 150 {
			t.Errorf("%d queries", n)
		}
	})
}

// the key is unplaced in a batch: a GetMany with one key whose three places hang

// A key whose places are taken holds up no later batch.
func TestGetManyKeyWithoutAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		b := localNode(t)
		l := newLoader(t, b, func(_ context.Context, key string) (Loaded, error) {
			if key == "h" {
				<-hang
			}
			return Loaded{Value: "v"}, nil
		},
			func(c *LoaderConfig) {
				c.BatchSize = 10
				c.FillMany = func(_ context.Context, keys []string) (map[string]Loaded, error) {
					m := map[string]Loaded{}
					for _, k := range keys {
						m[k] = Loaded{Value: "v"}
					}
					return m, nil
				}
			})
		for range 3 {
			go l.Get(t.Context(), "h")
			synctest.Wait()
			testkit.Must(t, b.Delete("h"))
		}
		keys := []string{"h"}
		for i := range 100 {
			keys = append(keys, fmt.Sprint(i))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		vals, _ := l.GetMany(ctx, keys)
		if len(vals) != 100 {
			t.Errorf("%d of 100 others have a value", len(vals))
		}
		close(hang)
		synctest.Wait()
	})
}
