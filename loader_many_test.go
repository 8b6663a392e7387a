package bcache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
)

func TestGetMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{took: time.Second}
		b, l := many(t, db, func(c *LoaderConfig) { c.NegativeTTL, c.StaleFor = time.Minute, time.Hour })
		wantMany(t, l, "", "")
		loaded(t, l, "a", "value of a") // without a Fill, FillMany does that too
		wantMany(t, l, "a b none c b", "a b c")
		wantMany(t, l, "c none b a", "a b c")
		if want := []string{"a", "b c none"}; !slices.Equal(db.queries, want) {
			t.Errorf("asked for %q", db.queries)
		}
		get(t, b, "p:b", "value of b")
		testkit.Advance(time.Minute)
		start := time.Now()
		wantMany(t, l, "a b c", "a b c") // stale, and one query in the background
		if time.Since(start) != 0 {
			t.Error("it waited")
		}
		synctest.Wait()
		if want := []string{"a", "b c none", "a b c"}; !slices.Equal(db.queries, want) {
			t.Errorf("asked for %q", db.queries)
		}
		testkit.Advance(time.Second)
		synctest.Wait()
		get(t, b, "p:a", "value of a")
	})
}

// Its keys are single-flight with those of all other callers, in both directions.
func TestGetManySharesFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{took: time.Second}
		_, l := many(t, db)
		var wg sync.WaitGroup
		step := func(f func()) {
			wg.Go(f)
			synctest.Wait()
		}
		step(func() { loaded(t, l, "a", "value of a") })
		step(func() { wantMany(t, l, "a b c", "a b c") })
		step(func() { loaded(t, l, "c", "value of c") })
		step(func() { wantMany(t, l, "b c d", "b c d") })
		wg.Wait()
		if want := []string{"a", "b c", "d"}; !slices.Equal(db.queries, want) {
			t.Errorf("asked for %q", db.queries)
		}
	})
}

func TestGetManyPartialResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errDown, errRow := errors.New("down"), errors.New("row is broken")
		for _, tt := range []struct {
			name string
			err  error
			want KeyErrors
		}{
			{"all that are absent", errDown, KeyErrors{"x": errDown, "y": errDown}},
			{"some", fmt.Errorf("wrapped: %w", KeyErrors{"x": errRow}), KeyErrors{"x": errRow}},
		} {
			db := &testDB{err: tt.err}
			b, l := many(t, db)
			got, err := l.GetMany(t.Context(), []string{"a", "x", "y", "b"})
			var errs KeyErrors
			if !errors.As(err, &errs) || !maps.Equal(errs, tt.want) || len(got) != 2 || got["a"] != "value of a" {
				t.Errorf("%s: %v, %v", tt.name, got, err)
			}
			if !errors.Is(err, tt.want["x"]) || !strings.Contains(err.Error(), `"x": `) {
				t.Errorf("%s: %v", tt.name, err)
			}
			get(t, b, "p:a", "value of a")
			if n := b.Stats().FillErrors; n != uint64(len(tt.want)) {
				t.Errorf("%s: FillErrors = %d", tt.name, n)
			}
		}
		if text := (KeyErrors{"d": errDown, "c": errDown, "b": errDown, "a": errDown, "e": errDown}).Error(); text !=
			`bcache: it failed for "a": down; "b": down; "c": down; and 2 more` {
			t.Error(text)
		}
	})
}

func TestGetManyPanic(t *testing.T) {
	l := newLoader(t, localNode(t), nil, func(c *LoaderConfig) {
		c.FillMany = func(context.Context, []string) (map[string]Loaded, error) { panic("boom") }
	})
	got, err := l.GetMany(t.Context(), []string{"a", "b"})
	if errs, _ := err.(KeyErrors); len(got) != 0 || len(errs) != 2 || !errors.Is(errs["a"], ErrFillPanicked) || !errors.Is(errs["b"], ErrFillPanicked) {
		t.Errorf("%v, %v", got, err)
	}
}

// Its context ends: it returns at once, with what there is. The call goes on while somebody waits for
// one of its keys.
func TestGetManyContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended time.Duration
		start := time.Now()
		proceed := make(chan struct{})
		b, l := many(t, &testDB{}, func(c *LoaderConfig) {
			c.FillMany = func(ctx context.Context, keys []string) (map[string]Loaded, error) {
				if len(keys) == 1 {
					return map[string]Loaded{"a": {Value: "value of a"}}, nil
				}
				select {
				case <-ctx.Done():
					ended = time.Since(start)
				case <-proceed:
				}
				return map[string]Loaded{"b": {Value: "value of b"}}, ctx.Err()
			}
		})
		loaded(t, l, "a", "value of a")
		var wg sync.WaitGroup
		for i, keys := range []string{"a b c", "b", "c d"} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*time.Second)
			defer cancel()
			wg.Go(func() {
				got, err := l.GetMany(ctx, strings.Fields(keys))
				if took := time.Since(start); took != time.Duration(i+1)*time.Second || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s: %v, %v after %v", keys, got, err, took)
				}
				if i == 0 && (len(got) != 1 || len(err.(KeyErrors)) != 2) {
					t.Errorf("%v, %v", got, err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		synctest.Wait()
		if ended != 3*time.Second {
			t.Errorf("the call ended after %v", ended)
		}
		close(proceed)
		if n := b.Stats().FillErrors; n != 0 {
			t.Errorf("FillErrors = %d", n)
		}
	})
}

// Without FillMany there is a Fill for each key.
func TestGetManyWithoutFillMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{took: time.Second}
		_, l := many(t, db, func(c *LoaderConfig) { c.FillMany, c.Fill, c.MaxConcurrent = nil, db.fill, 2 })
		start := time.Now()
		wantMany(t, l, "a b c d", "a b c d")
		if took := time.Since(start); db.asked() != 4 || took != 2*time.Second {
			t.Errorf("%d queries, %v", db.asked(), took)
		}
	})
}

func TestLoaderConfig(t *testing.T) {
	b := localNode(t)
	_, err := NewLoader(b, LoaderConfig{Jitter: 1.5, RefreshAhead: 1, StaleFor: -1, StaleOnErrorFor: -1,
		RetryAfter: -1, NegativeTTL: -1, AwaitToken: -1, FillTimeout: NoExpiry, Settle: NoExpiry, BatchSize: -1,
		MaxConcurrent: -1, Prefix: strings.Repeat("p", MaxRecordSize)})
	if !errors.Is(err, ErrConfig) {
		t.Fatal(err)
	}
	if _, err := NewLoader(nil, LoaderConfig{TTL: 1, Fill: (&testDB{}).fill}); !errors.Is(err, ErrConfig) {
		t.Error(err)
	}
	for _, field := range strings.Fields("Fill FillMany TTL Jitter RefreshAhead StaleFor StaleOnErrorFor RetryAfter " +
		"NegativeTTL FillTimeout Settle AwaitToken BatchSize MaxConcurrent Prefix") {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%s isn't named", field)
		}
	}
}

// Of its Fills those are cancelled for which nobody waits any more, whatever became of the others.
func TestGetManyLeavesTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ended := time.Duration(-1)
		_, l := many(t, &testDB{}, func(c *LoaderConfig) {
			c.FillMany = nil
			c.Fill = func(ctx context.Context, key string) (Loaded, error) {
				if key != "hangs" {
					return Loaded{Value: "value of " + key}, nil
				}
				<-ctx.Done()
				ended = time.Since(start)
				return Loaded{}, ctx.Err()
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go l.GetMany(t.Context(), []string{"c"})
		got, err := l.GetMany(ctx, []string{"a", "b", "c", "hangs"})
		if errs, _ := err.(KeyErrors); len(got) != 3 || len(errs) != 1 || errs["hangs"] != context.DeadlineExceeded {
			t.Errorf("%v, %v", got, err)
		}
		synctest.Wait()
		if ended != time.Second {
			t.Errorf("the fill for nobody ended after %v", ended)
		}
	})
}

// What GetManys refresh in the background is bounded together, not each by itself.
func TestGetManyRefreshesAreBounded(t *testing.T) {
	for _, many := range []bool{false, true} {
		t.Run(fmt.Sprint(many), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, err := New(Config{MaxKeys: 100_000})
				testkit.Must(t, err)
				defer b.Close()
				var running, most atomic.Int32
				hang := false
				l := newLoader(t, b, func(ctx context.Context, key string) (Loaded, error) {
					if hang {
						most.Store(max(most.Load(), running.Add(1)))
						<-ctx.Done()
						running.Add(-1)
						return Loaded{}, ctx.Err()
					}
					return Loaded{Value: "v"}, nil
				}, func(c *LoaderConfig) {
					c.StaleFor = time.Hour
					if many {
						c.FillMany = func(ctx context.Context, keys []string) (map[string]Loaded, error) {
							if hang {
								most.Store(max(most.Load(), running.Add(1)))
								<-ctx.Done()
								running.Add(-1)
								return nil, ctx.Err()
							}
							m := map[string]Loaded{}
							for _, k := range keys {
								m[k] = Loaded{Value: "v"}
							}
							return m, nil
						}
					}
				})
				var keys []string
				for i := range 20_000 {
					keys = append(keys, fmt.Sprint("some-key-of-a-usual-length-", i))
				}
				_, err = l.GetMany(t.Context(), keys)
				testkit.Must(t, err)
				testkit.Advance(time.Minute)
				hang = true
				runtime.GC()
				var m0, m1 runtime.MemStats
				runtime.ReadMemStats(&m0)
				g0 := runtime.NumGoroutine()
				for range 20 { // all within 2 s
					l.GetMany(t.Context(), keys)
					synctest.Wait()
					testkit.Advance(100 * time.Millisecond)
				}
				g1 := runtime.NumGoroutine()
				runtime.GC()
				runtime.ReadMemStats(&m1)
				if most.Load() > 16 {
					t.Errorf("FillMany %v: 20 GetManys of stale keys: %d calls at a time, %d goroutines more, %d KiB more",
						many, most.Load(), g1-g0, (int64(m1.HeapAlloc)-int64(m0.HeapAlloc))>>10)
				}
			})
		})
	}
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
