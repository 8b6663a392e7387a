package bcache

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
)

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
		testkit.Advance(time.Minute)
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
				testkit.Advance(time.Minute) // it takes its time
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
		testkit.Advance(time.Minute)
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

func TestLoaderMaxConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int32
		l := newLoader(t, localNode(t), func(context.Context, string) (Loaded, error) {
			n := running.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			testkit.Advance(time.Second)
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
		testkit.Advance(time.Minute)
		db.took = time.Second
		go l.Get(t.Context(), "slow")
		synctest.Wait()
		stale(t, l, "k", "v", nil)
		if n := b.Stats().Refreshes; n != 0 {
			t.Errorf("%d refreshes", n)
		}
		testkit.Advance(time.Second)
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
		testkit.Must(t, err)
		testkit.Advance(time.Minute)
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
			testkit.Must(t, err)
			testkit.Advance(time.Second)
			synctest.Wait()
		}
		for _, key := range keys {
			get(t, b, key, "v")
		}
		if n := b.loads.Len(); n != 0 {
			t.Errorf("%d loads are left", n)
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
	for b.loads.Len() != 0 {
		runtime.Gosched()
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
