package bcache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// getFor is Get by a caller with a deadline.
func getFor(l *Loader, d time.Duration, key string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return l.Get(ctx, key)
}

// hangingDB hangs in its first queries, whatever their contexts, or until these end.
type hangingDB struct {
	testDB
	hangs   int           // how many queries do
	release chan struct{} // nil: they obey their contexts
}

func (db *hangingDB) fill(ctx context.Context, key string) (Loaded, error) {
	db.mu.Lock()
	db.queries = append(db.queries, key)
	hangs := db.hangs > 0
	db.hangs--
	db.mu.Unlock()
	if hangs {
		select {
		case <-db.release:
		case <-ctx.Done():
			if db.release != nil {
				<-db.release
			}
		}
		return Loaded{}, ctx.Err()
	}
	return Loaded{Value: "v"}, nil
}

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
				advance(100 * time.Millisecond)
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
		if _, err := getFor(l, giveUpAfter-1, "k"); err != context.DeadlineExceeded {
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
		advance(time.Minute)
	})
}

// A refresh that hangs lasts as long as nobody needs it: who joined it ends it.
func TestLoaderHungRefreshIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &hangingDB{}
		b := localNode(t)
		l := newLoader(t, b, db.fill, func(c *LoaderConfig) { c.StaleFor, c.FillTimeout = time.Minute, -1 })
		loaded(t, l, "k", "v")
		advance(time.Minute)
		db.hangs = 1
		stale(t, l, "k", "v", nil)
		synctest.Wait()
		advance(time.Minute) // too old even for that
		if _, err := getFor(l, time.Second, "k"); err != context.DeadlineExceeded {
			t.Error(err)
		}
		synctest.Wait()
		if n := b.loads.running.Load(); n != 0 {
			t.Errorf("%d loads are left", n)
		}
		loaded(t, l, "k", "v")
	})
}

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
			if must(t, b.Delete("k")); db.asked() != i+1 {
				t.Errorf("%d queries", db.asked())
			}
		}
		for range 10 {
			wg.Go(func() { loaded(t, l, "k", "v") })
			synctest.Wait()
			must(t, b.Delete("k"))
		}
		if n := b.loads.running.Load(); n != 4 || db.asked() != 3 {
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

// Who comes after a write doesn't get what was looked up before it, by a load whose Fill hadn't begun.
func TestLoaderLookUpIsForgotten(t *testing.T) {
	f := newLoads(newKeyHash().of)
	r := newRun(t.Context(), false)
	ld, _ := f.join("k", nil, r, make(chan struct{}, 1))
	other := func() bool {
		ld2, isNew := f.join("k", nil, newRun(t.Context(), false), make(chan struct{}, 1))
		if isNew {
			f.end(ld2, loadResult{})
		}
		return isNew
	}
	f.written("k")
	if other() {
		t.Error("before its Fill a write forgets it")
	}
	f.lookUp(ld, func() bool {
		f.written("k")
		if !other() {
			t.Error("what is being looked up is joined after a write")
		}
		return false
	})
	if other() {
		t.Error("nothing was found, and it isn't joined")
	}
	f.lookUp(ld, func() bool { return true })
	if f.written("k"); !other() {
		t.Error("what was looked up is joined after a write")
	}
	f.end(ld, loadResult{})
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
			must(t, b.Delete("k"))
		}
		now := b.peer.now()
		rec, _ := l.view.policy.value(now, "k", "old", 0, 0)
		must(t, b.peer.replica.setRecord(b.peer.instantOf(now), &rec))
		advance(time.Minute)
		for range 10 {
			stale(t, l, "k", "old", nil)
			synctest.Wait()
		}
		if n := b.loads.running.Load(); n != 3 || db.asked() != 3 {
			t.Errorf("%d loads, %d queries", n, db.asked())
		}
		close(db.release)
		wg.Wait()
	})
}

// A GetMany that is given up doesn't hold up any of its keys.
func TestGetManyIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		release := make(chan struct{})
		b, l := many(t, &testDB{}, func(c *LoaderConfig) {
			fill := c.FillMany
			c.FillMany = func(ctx context.Context, keys []string) (map[string]Loaded, error) {
				if calls++; calls <= 1 {
					<-release // whatever its context
				}
				return fill(ctx, keys)
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() { loaded(t, l, "a", "value of a") }) // it waits, however long
		synctest.Wait()
		if _, err := l.GetMany(ctx, []string{"a", "b", "c"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		wantMany(t, l, "a b c d", "a b c d")
		if n := b.Stats().FillsGivenUp; n != 1 {
			t.Errorf("FillsGivenUp = %d", n)
		}
		close(release)
		wg.Wait()
	})
}

// What a Fill or its driver fails of, while people wait, is a failure, be it that of a context.
func TestLoaderOwnTimeoutsAreFailures(t *testing.T) {
	for _, own := range []error{context.Canceled, context.DeadlineExceeded, fmt.Errorf("rpc: %w", context.Canceled)} {
		synctest.Test(t, func(t *testing.T) {
			b := localNode(t)
			calls := 0
			l := newLoader(t, b, func(context.Context, string) (Loaded, error) {
				calls++
				return Loaded{}, own
			})
			for range 3 {
				if _, err := l.Get(t.Context(), "k"); err != own {
					t.Errorf("%v instead of %v", err, own)
				}
			}
			if n := b.Stats().FillErrors; n != 1 || calls != 1 {
				t.Errorf("%v: FillErrors = %d, %d fills", own, n, calls)
			}
		})
	}
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
			advance(30 * time.Millisecond)
			loaded(t, l, "k", "v")
			if _, err := getFor(l, 5*time.Second, "k"); err != nil {
				t.Errorf("FillTimeout %v: a third caller gets %v", timeout, err)
			}
		})
	}
}

// What fails when others have succeeded meanwhile isn't remembered, nor is what they brought an old
// value.
func TestLoaderLateFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &hangingDB{hangs: 1}
		b := localNode(t)
		l := newLoader(t, b, db.fill, func(c *LoaderConfig) {
			c.TTL, c.StaleOnErrorFor, c.RetryAfter = 10*time.Second, time.Hour, time.Hour
			c.OnStale = func(string, error) { t.Error("OnStale") }
		})
		var wg sync.WaitGroup
		wg.Go(func() { loaded(t, l, "k", "v") }) // it waits for the first one
		synctest.Wait()
		if _, err := getFor(l, time.Second, "k"); err != context.DeadlineExceeded {
			t.Error(err)
		}
		advance(28 * time.Second)
		loaded(t, l, "k", "v")
		wg.Wait()
		if s := b.Stats(); s.FillErrors != 1 || s.StaleFailures != 0 || s.FillsGivenUp != 1 {
			t.Errorf("%+v", s)
		}
		advance(10 * time.Second)
		loaded(t, l, "k", "v")
		if db.asked() != 3 {
			t.Errorf("%d queries", db.asked())
		}
	})
}

// The default ends a query that hangs, in the background too, where nobody has a deadline.
func TestLoaderDefaultFillTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &hangingDB{hangs: 1}
		l := newLoader(t, localNode(t), db.fill)
		start := time.Now()
		_, err := l.Get(t.Context(), "k")
		if took := time.Since(start); err != context.DeadlineExceeded || took != 30*time.Second {
			t.Errorf("%v after %v", err, took)
		}
		db.hangs = 1
		never := newLoader(t, localNode(t), db.fill, func(c *LoaderConfig) { c.FillTimeout = -1 })
		if _, err := getFor(never, time.Hour, "k"); err != context.DeadlineExceeded || time.Since(start) < time.Hour {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		synctest.Wait()
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
			if n := running.Add(1); n > maxFills {
				t.Errorf("%d at once", n)
			}
			defer running.Add(-1)
			n := row.Load()
			advance(50 * time.Millisecond)
			return Loaded{Value: fmt.Sprintf("%09d", n)}, nil
		})
		var wg sync.WaitGroup
		for i := range 1000 { // one every 2 ms, and a change every 6
			if i%3 == 0 {
				row.Add(1)
				must(t, b.Delete("k"))
			}
			least := fmt.Sprintf("%09d", row.Load())
			wg.Go(func() {
				if val, err := l.Get(t.Context(), "k"); err != nil || val < least {
					t.Errorf("%q, %v: older than %s", val, err, least)
				}
			})
			advance(2 * time.Millisecond)
		}
		wg.Wait()
		if n := queries.Load(); n > 150 {
			t.Errorf("%d queries", n)
		}
	})
}

// GetMany has at most BatchSize keys in a FillMany, and doesn't hold up who asks for a later one.
func TestGetManyBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{took: time.Second}
		b, l := many(t, db, func(c *LoaderConfig) { c.BatchSize = 3 })
		var keys []string
		for i := range 10 {
			keys = append(keys, fmt.Sprint(i))
			db.set(keys[i], "value of "+keys[i])
		}
		var wg sync.WaitGroup
		start := time.Now()
		wg.Go(func() {
			wantMany(t, l, strings.Join(append(keys, keys...), " "), strings.Join(keys, " "))
			if took := time.Since(start); took != 4*time.Second {
				t.Errorf("it took %v", took)
			}
		})
		synctest.Wait()
		loaded(t, l, "8", "value of 8")
		if took := time.Since(start); took != time.Second {
			t.Errorf("one key took %v", took)
		}
		wg.Wait()
		want := []string{"0 1 2", "8", "3 4 5", "6 7", "9"}
		sort := slices.Sorted(slices.Values(want))
		if !slices.Equal(slices.Sorted(slices.Values(db.queries)), sort) {
			t.Errorf("asked for %q", db.queries)
		}
		if s := b.Stats(); s.Misses != 11 || s.Fills != 10 {
			t.Errorf("%+v", s)
		}
	})
}
