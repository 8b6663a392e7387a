package bcache

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// newLoader makes a Loader; fill may be nil if edit sets one.
func newLoader(t testing.TB, b *Bcache, fill func(context.Context, string) (Loaded, error), edit ...func(*LoaderConfig)) *Loader {
	t.Helper()
	cfg := LoaderConfig{Fill: fill, TTL: time.Minute}
	for _, e := range edit {
		e(&cfg)
	}
	l, err := NewLoader(b, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A testDB is what Fills look into.
type testDB struct {
	mu      sync.Mutex
	took    time.Duration
	rows    map[string]string
	err     error
	queries []string
	times   []time.Time // of the Fills
}

func (db *testDB) set(key, val string) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.rows == nil {
		db.rows = map[string]string{}
	}
	db.rows[key] = val
}

func (db *testDB) fail(err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.err = err
}

func (db *testDB) asked() int {
	db.mu.Lock()
	defer db.mu.Unlock()
	return len(db.queries)
}

// fill reads first, and returns when the query has taken its time.
func (db *testDB) fill(ctx context.Context, key string) (Loaded, error) {
	db.mu.Lock()
	db.queries, db.times = append(db.queries, key), append(db.times, time.Now())
	val, ok := db.rows[key]
	err, took := db.err, db.took
	db.mu.Unlock()
	if took > 0 {
		select {
		case <-ctx.Done():
			return Loaded{}, ctx.Err()
		case <-time.After(took):
		}
	}
	switch {
	case err != nil:
		return Loaded{}, err
	case !ok:
		return Loaded{}, fmt.Errorf("row %q: %w", key, ErrNotFound)
	}
	return Loaded{Value: val}, nil
}

func loaded(t *testing.T, l *Loader, key, want string) {
	t.Helper()
	if val, err := l.Get(t.Context(), key); val != want || err != nil {
		t.Fatalf("Get(%q) = %q, %v, want %q", key, val, err, want)
	}
}

func stale(t *testing.T, l *Loader, key, want string, err error) {
	t.Helper()
	start := time.Now()
	if r := l.GetResult(t.Context(), key); r != (Result{want, true, err}) {
		t.Fatalf("GetResult(%q) = %+v, want %q, stale, %v", key, r, want, err)
	}
	if took := time.Since(start); took > 0 {
		t.Fatalf("GetResult(%q) waited for %v", key, took)
	}
}

func TestLoaderFillsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		db := &testDB{took: time.Second}
		db.set("k", "v")
		l := newLoader(t, b, db.fill, func(c *LoaderConfig) { c.Prefix = "p:" })
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				if val, err := l.Get(t.Context(), "k"); val != "v" || err != nil {
					t.Errorf("Get = %q, %v", val, err)
				}
			})
		}
		wg.Wait()
		if n := db.asked(); n != 1 {
			t.Errorf("%d queries", n)
		}
		get(t, b, "p:k", "v")
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if val, err := l.Get(cancelled, "k"); val != "v" || err != nil {
			t.Errorf("a hit looks at the context: %q, %v", val, err)
		}
		if _, err := l.Get(cancelled, "other"); !errors.Is(err, context.Canceled) || db.asked() != 1 {
			t.Errorf("a miss doesn't: %v", err)
		}
		advance(time.Minute)
		miss(t, b, "p:k")
		loaded(t, l, "k", "v")
		if n := db.asked(); n != 2 {
			t.Errorf("%d queries", n)
		}
	})
}

func TestLoaderHitAllocatesNothing(t *testing.T) {
	for _, prefix := range []string{"", "a prefix that is longer than what fits in the runtime's own buffer:"} {
		db := &testDB{}
		key := strings.Repeat("k", 40)
		db.set(key, "v")
		l := newLoader(t, localNode(t), func(ctx context.Context, key string) (Loaded, error) { return db.fill(ctx, key) },
			func(c *LoaderConfig) { c.Prefix, c.RefreshAhead, c.StaleFor = prefix, 0.1, time.Minute })
		loaded(t, l, key, "v")
		ctx := t.Context()
		if n := testing.AllocsPerRun(1000, func() {
			if _, err := l.Get(ctx, key); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("prefix %q: a hit allocates %v times", prefix, n)
		}
	}
}

// Who waits obeys its own context, to the instant; the fill goes on for the others, and is
// cancelled when the last one has left.
func TestLoaderWaitersLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, ended := time.Now(), time.Duration(-1)
		var why, cause error
		calls := 0
		b := localNode(t)
		l := newLoader(t, b, func(ctx context.Context, _ string) (Loaded, error) {
			calls++
			<-ctx.Done()
			ended, why, cause = time.Since(began), ctx.Err(), context.Cause(ctx)
			return Loaded{}, ctx.Err()
		})
		var wg sync.WaitGroup
		for i := range 5 {
			ctx, cancel := context.WithCancel(t.Context())
			leaves := time.Duration(i+1) * time.Second
			time.AfterFunc(leaves, cancel)
			wg.Go(func() {
				if _, err := l.Get(ctx, "k"); err != context.Canceled || time.Since(began) != leaves {
					t.Errorf("Get returned %v after %v instead of %v", err, time.Since(began), leaves)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		synctest.Wait()
		if calls != 1 || ended != 5*time.Second || why != context.Canceled || cause != context.Canceled {
			t.Errorf("%d fills, ended after %v: %v, %v", calls, ended, why, cause)
		}
		// That they left isn't remembered as a failure.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := l.Get(ctx, "k")
		synctest.Wait()
		if err != context.DeadlineExceeded || calls != 2 || why != context.Canceled || cause != context.DeadlineExceeded {
			t.Errorf("Get = %v, %d fills, whose context said %v, %v", err, calls, why, cause)
		}
		if n := b.Stats().FillErrors; n != 0 {
			t.Errorf("FillErrors = %d", n)
		}
	})
}

// A fill that was given up isn't joined by those who come while it ends.
func TestLoaderAbandonedFillIsNotJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := true
		l := newLoader(t, localNode(t), func(ctx context.Context, _ string) (Loaded, error) {
			if first {
				first = false
				<-ctx.Done()
				advance(time.Minute) // it takes its time
				return Loaded{}, ctx.Err()
			}
			return Loaded{Value: "v"}, nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.Get(ctx, "k"); err != context.DeadlineExceeded {
			t.Errorf("Get = %v", err)
		}
		loaded(t, l, "k", "v")
		advance(time.Minute)
	})
}

type ctxKey struct{}

// A Fill's context has the deadline that FillTimeout sets, whatever those of who waits, and the values
// of the first one.
func TestLoaderFillContext(t *testing.T) {
	for _, tt := range []struct {
		name    string
		timeout time.Duration // FillTimeout
		want    time.Duration // what Deadline says; 0 is none
	}{
		{"default", 0, 30 * time.Second}, {"FillTimeout", time.Hour, time.Hour}, {"none", -1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var fillCtx context.Context
				proceed := make(chan struct{})
				l := newLoader(t, localNode(t), func(ctx context.Context, _ string) (Loaded, error) {
					fillCtx = ctx
					<-proceed
					return Loaded{Value: "v"}, nil
				}, func(c *LoaderConfig) { c.FillTimeout = tt.timeout })
				var wg sync.WaitGroup
				for i, timeout := range []time.Duration{time.Minute, 0, time.Second} {
					ctx := context.WithValue(t.Context(), ctxKey{}, i)
					if timeout > 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, timeout)
						defer cancel()
					}
					wg.Go(func() { l.Get(ctx, "k") })
					synctest.Wait()
					if v := fillCtx.Value(ctxKey{}); v != 0 {
						t.Errorf("the fill has the values of caller %v", v)
					}
					if d, ok := fillCtx.Deadline(); ok != (tt.want != 0) || ok && d.Sub(start) != tt.want {
						t.Errorf("after caller %d: deadline %v, %v", i, d.Sub(start), ok)
					}
				}
				if err := fillCtx.Err(); err != nil {
					t.Error(err)
				}
				close(proceed)
				wg.Wait()
			})
		})
	}
}

// What is derived from a fill's context ends with it, without a goroutine that waits for that.
func TestLoaderDerivedContexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoader(t, localNode(t), func(ctx context.Context, _ string) (Loaded, error) {
			before := runtime.NumGoroutine()
			derived, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			if after := runtime.NumGoroutine(); after > before {
				t.Errorf("%d goroutines more", after-before)
			}
			<-derived.Done()
			return Loaded{}, derived.Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		l.Get(ctx, "k")
		synctest.Wait()
		if took := time.Since(start); took != time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestLoaderFillTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		db := &testDB{took: time.Minute}
		l := newLoader(t, b, db.fill, func(c *LoaderConfig) { c.FillTimeout = 2 * time.Second })
		start := time.Now()
		for range 2 { // the second time it is remembered
			if _, err := l.Get(t.Context(), "k"); err != context.DeadlineExceeded || time.Since(start) != 2*time.Second {
				t.Errorf("Get = %v after %v", err, time.Since(start))
			}
		}
		if n := b.Stats().FillErrors; n != 1 || db.asked() != 1 {
			t.Errorf("FillErrors = %d, %d queries", n, db.asked())
		}
	})
}

func TestLoaderFailures(t *testing.T) {
	errDB := errors.New("the database is down")
	for _, tt := range []struct {
		name string
		fill func() (Loaded, error)
		want []error
		text string
	}{
		{"error", func() (Loaded, error) { return Loaded{Value: "ignored"}, errDB }, []error{errDB}, errDB.Error()},
		{"panic", func() (Loaded, error) { panic("boom") }, []error{ErrFillPanicked}, "boom"},
		{"panic with an error", func() (Loaded, error) { panic(errDB) }, []error{ErrFillPanicked, errDB}, "loader_test.go"},
		{"Goexit", func() (Loaded, error) { runtime.Goexit(); return Loaded{}, nil }, []error{ErrFillAborted}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := localNode(t)
				fills := 0
				fill := func(context.Context, string) (Loaded, error) {
					fills++
					advance(time.Second)
					if fills > 1 {
						return Loaded{Value: "v"}, nil
					}
					return tt.fill()
				}
				l := newLoader(t, b, fill, func(c *LoaderConfig) { c.RetryAfter = 3 * time.Second })
				fails := func() {
					t.Helper()
					val, err := l.Get(t.Context(), "k")
					for _, want := range tt.want {
						if val != "" || !errors.Is(err, want) || !strings.Contains(err.Error(), tt.text) {
							t.Errorf("Get = %q, %v", val, err)
						}
					}
					if tt.name == "error" && err != errDB {
						t.Errorf("the error isn't the Fill's own: %v", err)
					}
				}
				var wg sync.WaitGroup
				for range 20 {
					wg.Go(fails)
				}
				wg.Wait()
				advance(3*time.Second - 1)
				fails() // remembered
				if fills != 1 || b.Stats().FillErrors != 1 {
					t.Errorf("%d fills, %d errors", fills, b.Stats().FillErrors)
				}
				advance(1)
				loaded(t, l, "k", "v")
			})
		})
	}
}

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
		advance(time.Second)
		miss(t, b, "own")
		get(t, b, "usual", "usual")
		advance(time.Minute)
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
			advance(time.Until(time.Date(2000, 1, 1, 0, 0, tt.at, 0, time.UTC)))
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
		advance(time.Minute)
		miss(t, b, "k") // to a plain Get its time is over
		for range 10 {  // while the fill runs
			stale(t, l, "k", "old", nil)
		}
		synctest.Wait()
		if n := db.asked(); n != 2 {
			t.Errorf("%d queries", n)
		}
		advance(time.Second)
		synctest.Wait()
		get(t, b, "k", "new")
		loaded(t, l, "k", "new")
		if s := b.Stats(); s.StaleServed != 10 || s.Refreshes != 1 || s.Fills != 2 {
			t.Errorf("%+v", s)
		}

		advance(time.Minute + 9*time.Second)
		if b.Len() != 1 {
			t.Errorf("a stale value was swept")
		}
		advance(time.Second)
		db.set("k", "newer")
		start := time.Now()
		loaded(t, l, "k", "newer")
		if time.Since(start) != time.Second {
			t.Errorf("what is older than StaleFor was returned")
		}
		advance(time.Minute + 10*time.Second + sweepTurns*tickEvery)
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
		advance(45*time.Second - time.Millisecond)
		loaded(t, l, "k", "v")
		synctest.Wait()
		if n := db.asked(); n != 1 {
			t.Errorf("refreshed too early")
		}
		advance(time.Millisecond)
		for range 600 { // a minute
			start := time.Now()
			if r := l.GetResult(t.Context(), "k"); r != (Result{Value: "v"}) || time.Since(start) > 0 {
				t.Fatalf("%+v after %v", r, time.Since(start))
			}
			advance(100 * time.Millisecond)
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
			advance(30 * time.Second)
			for range 100 { // 10 s
				loaded(t, l, "k", "v")
				advance(100 * time.Millisecond)
			}
			if fills != 1+5 {
				t.Errorf("fails %v: %d fills", fails, fills)
			}
		})
	}
}

func TestLoaderStaleOnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines logLines
		b, err := New(Config{MaxKeys: 10, Logger: &lines})
		must(t, err)
		defer b.Close()
		errDown := errors.New("the database is down")
		db := &testDB{took: 100 * time.Millisecond}
		db.set("k", "v")
		var told []string
		l := newLoader(t, b, db.fill, func(c *LoaderConfig) {
			c.Prefix, c.StaleOnErrorFor = "p:", time.Hour
			c.OnStale = func(key string, err error) {
				told = append(told, fmt.Sprint(key, ": ", err))
				panic("OnStale fails too")
			}
		})
		loaded(t, l, "k", "v")
		advance(time.Minute)
		db.set("k", "w")
		start := time.Now()
		loaded(t, l, "k", "w") // while it works, nothing stale
		if time.Since(start) != db.took {
			t.Error("it didn't wait for the fill")
		}
		advance(time.Minute)
		db.fail(errDown)
		if r := l.GetResult(t.Context(), "k"); r != (Result{"w", true, errDown}) {
			t.Errorf("%+v", r)
		}
		for range 99 { // less than a second, the default of RetryAfter
			stale(t, l, "k", "w", errDown)
			advance(10 * time.Millisecond)
		}
		if n := db.asked(); n != 3 {
			t.Errorf("%d queries", n)
		}
		advance(10 * time.Millisecond)
		stale(t, l, "k", "w", errDown) // and it is tried in the background
		advance(db.took)
		synctest.Wait()
		if n := db.asked(); n != 4 {
			t.Errorf("%d queries", n)
		}
		if want := []string{"k: the database is down", "k: the database is down"}; !slices.Equal(told, want) {
			t.Errorf("OnStale was told %q", told)
		}
		if s := b.Stats(); s.FillErrors != 2 || s.StaleFailures != 2 || s.StaleServed != 101 {
			t.Errorf("%+v", s)
		}
		synctest.Wait() // lines are queued
		text := strings.Join(lines.take(), "\n")
		if !strings.Contains(text, `a fill of "p:k" failed`) || !strings.Contains(text, "OnStale fails too") {
			t.Errorf("logged %s", text)
		}
		advance(time.Hour)
		if _, err := l.Get(t.Context(), "k"); err != errDown {
			t.Errorf("after StaleOnErrorFor: %v", err)
		}
	})
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
		advance(time.Minute)
		stale(t, l, "k", "v", nil)
		advance(1500 * time.Millisecond)
		stale(t, l, "k", "v", errDown) // the background fill has failed
		advance(10 * time.Second)
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
		advance(10 * time.Second)
		missing(2)
		must(t, b.Set("k", "set", 60)) // ends it at once
		loaded(t, l, "k", "set")
		must(t, b.Delete("k"))
		missing(3)
		must(t, b.Delete("k")) // it may be there now
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
			advance(time.Minute)
			stale(t, l, "k", "v", nil)
			synctest.Wait()
			for range 3 {
				if r := l.GetResult(t.Context(), "k"); r.Value != "" || !errors.Is(r.Err, ErrNotFound) {
					t.Errorf("%v: %+v", negative, r)
				}
				advance(2 * time.Second)
			}
		})
	}
}

func TestLoaderMaxConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int32
		l := newLoader(t, localNode(t), func(context.Context, string) (Loaded, error) {
			n := running.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			advance(time.Second)
			running.Add(-1)
			return Loaded{Value: "v"}, nil
		}, func(c *LoaderConfig) { c.MaxConcurrent, c.FillTimeout = 3, 2*time.Second })
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() { loaded(t, l, fmt.Sprint(i), "v") })
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		if _, err := l.Get(ctx, "late"); err != context.DeadlineExceeded || time.Since(start) != time.Second/2 {
			t.Errorf("Get = %v after %v", err, time.Since(start))
		}
		wg.Wait()
		if took := time.Since(start); most.Load() != 3 || took != 10*time.Second {
			t.Errorf("%d at once, %v", most.Load(), took)
		}
	})
}

// Where all slots are taken, fills in the background aren't started, and stale values are served.
func TestLoaderBackgroundNeedsASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		db := &testDB{}
		db.set("k", "v")
		db.set("slow", "v")
		l := newLoader(t, b, db.fill, func(c *LoaderConfig) { c.MaxConcurrent, c.StaleFor = 1, time.Hour })
		loaded(t, l, "k", "v")
		advance(time.Minute)
		db.took = time.Second
		go l.Get(t.Context(), "slow")
		synctest.Wait()
		stale(t, l, "k", "v", nil)
		if n := b.Stats().Refreshes; n != 0 {
			t.Errorf("%d refreshes", n)
		}
		advance(time.Second)
		synctest.Wait()
		stale(t, l, "k", "v", nil)
		synctest.Wait()
		if n := b.Stats().Refreshes; n != 1 {
			t.Errorf("%d refreshes", n)
		}
	})
}

// Who waits isn't behind a queue of fills in the background: as many are started as there are slots. Those
// that somebody has joined wait for one.
func TestLoaderBackgroundDoesNotQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		db := &testDB{}
		var keys []string
		for i := range 100 {
			keys = append(keys, fmt.Sprint(i))
			db.set(keys[i], "v")
		}
		db.set("other", "v")
		l := newLoader(t, b, db.fill, func(c *LoaderConfig) { c.MaxConcurrent, c.StaleFor = 2, time.Hour })
		_, err := l.GetMany(t.Context(), keys)
		must(t, err)
		advance(time.Minute)
		db.took = time.Second
		before := db.asked()
		if got, err := l.GetMany(t.Context(), keys); len(got) != len(keys) || err != nil {
			t.Errorf("%d, %v", len(got), err)
		}
		synctest.Wait()
		if n := db.asked() - before; n != 2 || b.Stats().Refreshes != 2 {
			t.Errorf("%d queries, Refreshes = %d", n, b.Stats().Refreshes)
		}
		start := time.Now()
		loaded(t, l, "other", "v")
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("it took %v", took)
		}
		for range 50 { // the others are refreshed when they are asked for
			_, err = l.GetMany(t.Context(), keys)
			must(t, err)
			advance(time.Second)
			synctest.Wait()
		}
		for _, key := range keys {
			get(t, b, key, "v")
		}
		if n := b.loads.running.Load(); n != 0 {
			t.Errorf("%d loads are left", n)
		}
	})
}

// The fence, for fills that somebody waits for and for those in the background.
func TestLoaderNeverBeatsAWrite(t *testing.T) {
	for _, background := range []bool{false, true} {
		for _, remote := range []bool{false, true} {
			for _, write := range []string{"Delete", "Set", "Clear"} {
				t.Run(fmt.Sprintf("background %v remote %v %s", background, remote, write), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { loaderAgainstWrite(t, background, remote, write) })
				})
			}
		}
	}
}

func loaderAgainstWrite(t *testing.T, background, remote bool, write string) {
	_, nodes := three(t)
	b, writer := nodes[0], nodes[0]
	if remote {
		writer = nodes[1]
	}
	db := &testDB{}
	db.set("k", "old")
	l := newLoader(t, b, db.fill, func(c *LoaderConfig) { c.StaleFor = time.Hour })
	if background {
		loaded(t, l, "k", "old")
		advance(time.Minute)
	}
	db.took = 10 * time.Second
	first := make(chan Result, 1)
	go func() { first <- l.GetResult(t.Context(), "k") }()
	synctest.Wait()
	db.set("k", "new")
	switch write {
	case "Delete":
		must(t, writer.Delete("k"))
	case "Set":
		must(t, writer.Set("k", "new", 3600))
	case "Clear":
		must(t, writer.Clear())
	}
	synctest.Wait()
	loaded(t, l, "k", "new") // it doesn't wait for the first fill
	if r := <-first; r.Err != nil {
		t.Errorf("%+v", r)
	}
	for range 100 {
		advance(time.Second)
		for i, n := range nodes {
			if val, ok := n.Get("k"); ok && val != "new" {
				t.Fatalf("node %d serves %q", i+1, val)
			}
		}
		if r := l.GetResult(t.Context(), "k"); r.Value != "new" {
			t.Fatalf("%+v", r)
		}
	}
}

func TestLoaderTooLarge(t *testing.T) {
	b := localNode(t)
	big := strings.Repeat("x", MaxRecordSize)
	l := newLoader(t, b, func(context.Context, string) (Loaded, error) { return Loaded{Value: big}, nil })
	loaded(t, l, "k", big)
	miss(t, b, "k")
	if n := b.Stats().FillsTooLarge; n != 1 {
		t.Errorf("FillsTooLarge = %d", n)
	}
	missing := newLoader(t, b, func(context.Context, string) (Loaded, error) { return Loaded{}, ErrNotFound },
		func(c *LoaderConfig) { c.NegativeTTL = time.Minute })
	if _, err := missing.Get(t.Context(), big+"x"); err != ErrNotFound || b.Len() != 0 {
		t.Errorf("%v, %d entries", err, b.Len())
	}
}

// After Close Fills are still called, background ones end, and none is left.
func TestLoaderClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		db := &testDB{}
		db.set("k", "v")
		var ended error
		l := newLoader(t, b, func(ctx context.Context, key string) (Loaded, error) {
			if db.asked() > 0 && key == "k" && ended == nil {
				<-ctx.Done()
				ended = context.Cause(ctx)
				return Loaded{}, ctx.Err()
			}
			return db.fill(ctx, key)
		}, func(c *LoaderConfig) { c.StaleFor = time.Hour })
		loaded(t, l, "k", "v")
		advance(time.Minute)
		stale(t, l, "k", "v", nil)
		synctest.Wait()
		must(t, b.Close())
		synctest.Wait()
		if ended != ErrClosed {
			t.Errorf("the fill in the background ended with %v", ended)
		}
		loaded(t, l, "k", "v")
		if s := b.Stats(); s.FillErrors != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// Callers come and go at random, and writes come between: nobody gets another one's context's
// error, and nothing is left.
func TestLoaderUnderLoad(t *testing.T) {
	b := localNode(t)
	var fills atomic.Int64
	l := newLoader(t, b, func(ctx context.Context, key string) (Loaded, error) {
		if fills.Add(1)%3 == 0 {
			<-ctx.Done()
			return Loaded{}, ctx.Err()
		}
		return Loaded{Value: key, TTL: -1}, nil
	}, func(c *LoaderConfig) { c.RetryAfter = 1 })
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 300 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i)*50*time.Microsecond)
				key := fmt.Sprint(j % 4)
				val, err := l.Get(ctx, key)
				if err == nil && val != key || err != nil && ctx.Err() == nil {
					t.Errorf("Get = %q, %v, %v", val, err, ctx.Err())
				}
				cancel()
				if j%10 == 0 {
					b.Delete(key)
				}
			}
		})
	}
	wg.Wait()
	for i := range b.loads.shards {
		for sh := &b.loads.shards[i]; sh.running.Load() != 0; {
			runtime.Gosched()
		}
	}
	for i := range b.loads.shards {
		if sh := &b.loads.shards[i]; len(sh.byKey) != 0 {
			t.Errorf("left: %v", sh.byKey)
		}
	}
}

func TestFailuresAreBounded(t *testing.T) {
	var f failures
	boom := errors.New("boom")
	known := examine(boom)
	held := func() int { return f.byKey.Len() }
	for i := range 3 * maxFailures {
		f.add(time.Duration(i), fmt.Sprint(i), known.kept, known.size, time.Hour)
		f.add(time.Duration(i), "again", known.kept, known.size, time.Hour)
		if held() > maxFailures {
			t.Fatalf("%d after %d", held(), i)
		}
	}
	if err, rests := f.of(0, "again", false); err != boom || !rests {
		t.Error("the last one isn't known")
	}
	const hour = time.Hour
	f.add(3*hour, "k", known.kept, known.size, hour)
	if held() != 1 {
		t.Errorf("%d are left", held())
	}
	for _, tt := range []struct {
		at    time.Duration
		keep  bool
		err   error
		rests bool
	}{
		{4*hour - 1, true, boom, true}, {4 * hour, true, boom, false}, {6*hour - 2, false, boom, false}, {6*hour - 1, false, nil, false},
	} {
		if err, rests := f.of(tt.at, "k", tt.keep); err != tt.err || rests != tt.rests {
			t.Errorf("at %v: %v, %v", tt.at, err, rests)
		}
	}
	f.end(3*hour, "k")
	if err, _ := f.of(3*hour, "k", false); err != nil {
		t.Errorf("%v is still known", err)
	}
	f.add(4*hour, "other", known.kept, known.size, hour)
	if held() != 1 {
		t.Errorf("%d are left", held())
	}
}

// What is remembered is bounded in bytes too, of keys and of errors; an error that has ended isn't held.
func TestFailuresAreBoundedInBytes(t *testing.T) {
	large := errors.New(strings.Repeat("e", 16<<10)) // the body of an answer
	nested := error(KeyErrors{"a": large})
	for range 30 {
		nested = fmt.Errorf("and: %w", nested)
	}
	many := KeyErrors{}
	for i := range 1000 {
		many[fmt.Sprint(i)] = errors.New("down")
	}
	for name, tt := range map[string]struct {
		key string
		err error
		min int // that are remembered
	}{
		"large errors":   {"%d", large, maxFailures},
		"nested errors":  {"%d", nested, maxFailures},
		"many in one":    {"%d", many, maxFailures},
		"joined":         {"%d", errors.Join(large, large), maxFailures},
		"hidden":         {"%d", hidingError{large}, maxFailures},
		"good errors":    {"%d", fmt.Errorf("query: %w", errors.New("refused")), maxFailures},
		"large keys":     {strings.Repeat("k", 1<<20-10) + "%d", errors.New("down"), 30},
		"panics":         {"%d", panickingError{}, maxFailures},
		"goexit":         {"%d", panickingError{goexit: true}, maxFailures},
		"stack":          {"%d", fillFailure("boom"), maxFailures},
		"nothing cached": {"%d", nil, maxFailures},
	} {
		var f failures
		n := 2 * tt.min
		known := knownError{}
		if tt.err != nil {
			known = examine(tt.err)
		}
		for i := range n {
			f.add(0, fmt.Sprintf(tt.key, i), known.kept, known.size, time.Hour)
			if f.bytes > maxFailureBytes {
				t.Fatalf("%s: %d bytes", name, f.bytes)
			}
		}
		if f.byKey.Len() < tt.min {
			t.Errorf("%s: %d of %d are remembered", name, f.byKey.Len(), tt.min)
		}
		small := name == "good errors" || name == "large keys" || name == "stack" || tt.err == nil
		if _, short := known.kept.(*shortError); short == small {
			t.Errorf("%s: %T is kept", name, known.kept)
		}
		if known.size > maxError || len(known.text) > maxErrorText+3 {
			t.Errorf("%s: an error takes %d bytes, its text %d", name, known.size, len(known.text))
		}
		for i := range n {
			f.end(0, fmt.Sprintf(tt.key, i))
		}
		if f.bytes != 0 || f.byKey.Len() != 0 {
			t.Errorf("%s: %d bytes of %d failures after they ended", name, f.bytes, f.byKey.Len())
		}
	}

	// What is small is remembered as it is, of the rest what this package and context define.
	small := fmt.Errorf("query: %w", errors.New("refused"))
	if got := examine(small); got.kept != small || got.text != "query: refused" {
		t.Errorf("%+v", got)
	}
	late := examine(errors.Join(large, context.DeadlineExceeded))
	if got := late.kept; !errors.Is(got, context.DeadlineExceeded) {
		t.Errorf("%T isn't DeadlineExceeded any more", got)
	}
	// What has ended by time goes with the next fill, of whatever key.
	var f failures
	f.add(0, "old", small, 64, time.Second)
	if f.end(time.Hour, "other"); f.byKey.Len() != 0 {
		t.Error("it is still held")
	}
}

// A hidingError doesn't show in its text what it wraps.
type hidingError struct{ error }

func (hidingError) Error() string   { return "failed" }
func (e hidingError) Unwrap() error { return e.error }

type panickingError struct{ goexit bool }

func (e panickingError) Error() string {
	if e.goexit {
		runtime.Goexit()
	}
	panic("Error fails")
}

// A database that hangs isn't felt either, once it is known: fills take longer than RetryAfter, there
// are fewer slots than keys, and nobody waits.
func TestLoaderDatabaseHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{}
		keys := strings.Fields("1 2 3 4 5 6")
		l := newLoader(t, localNode(t), db.fill, func(c *LoaderConfig) {
			c.StaleOnErrorFor, c.FillTimeout, c.MaxConcurrent = time.Hour, 3*time.Second, 2
		})
		for _, key := range keys {
			db.set(key, "v")
			loaded(t, l, key, "v")
		}
		advance(time.Minute)
		db.took = time.Hour
		for _, key := range keys {
			go l.Get(t.Context(), key) // the first ones wait
		}
		advance(9 * time.Second)
		synctest.Wait()
		before := db.asked()
		for range 1000 { // 100 s, for two fills at a time
			for _, key := range keys {
				stale(t, l, key, "v", context.DeadlineExceeded)
			}
			advance(100 * time.Millisecond)
		}
		if n := db.asked() - before; n < 50 || n > 68 {
			t.Errorf("%d queries", n)
		}
		db.took = 0 // it is back
		began := time.Now()
		for l.GetResult(t.Context(), "1") != (Result{Value: "v"}) {
			advance(100 * time.Millisecond)
			synctest.Wait()
		}
		if took := time.Since(began); took > 7*time.Second {
			t.Errorf("that showed after %v", took)
		}
	})
}

// Where a fill finds nothing, and that can't replace what is held, because it was written just now, it
// isn't begun again at once.
func TestLoaderRefusedNotFoundIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		db := &testDB{}
		l := newLoader(t, nodes[0], db.fill, func(c *LoaderConfig) { c.TTL, c.RefreshAhead = time.Minute, 0.999 })
		now := nodes[0].peer.now()
		rec, _ := l.view.policy.value(now, "k", "v", 0, 0)
		must(t, nodes[0].peer.replica.setRecord(nodes[0].peer.instantOf(now), &rec))
		for range 40 { // 400 ms
			advance(10 * time.Millisecond)
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
		advance(time.Minute)
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
	s := newStore(storeConfig{maxKeys: 10})
	now := instant{wall: 1000}
	wall := func() int64 { return now.wall }
	for _, key := range []string{"fresh", "stale"} {
		rec := record{key: key, val: "v", version: version{1, 1}, deadline: 2000}
		if key == "stale" {
			rec.staleUntil = 3000
		}
		s.apply(now, &rec, true)
	}
	held := func(key string) bool { _, ok := s.entry(key, wall()); return ok }
	now.wall = 2000
	if held("fresh") || !held("stale") {
		t.Error("at the deadline")
	}
	now.wall = 3000
	if held("stale") {
		t.Error("it is stale for too long")
	}
	now.wall = 1000
	for _, key := range []string{"fresh", "stale"} {
		if _, ok := s.get(key, wall); ok || held(key) {
			t.Errorf("%s is back", key)
		}
	}
}
