package bcache

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/fill"
	"github.com/iwanbk/bcache/internal/testkit"
)

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
		{"panic with an error", func() (Loaded, error) { panic(errDB) }, []error{ErrFillPanicked, errDB}, "loader_fail_test.go"},
		{"Goexit", func() (Loaded, error) { runtime.Goexit(); return Loaded{}, nil }, []error{ErrFillAborted}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := localNode(t)
				fills := 0
				fl := func(context.Context, string) (Loaded, error) {
					fills++
					testkit.Advance(time.Second)
					if fills > 1 {
						return Loaded{Value: "v"}, nil
					}
					return tt.fill()
				}
				l := newLoader(t, b, fl, func(c *LoaderConfig) { c.RetryAfter = 3 * time.Second })
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
				testkit.Advance(3*time.Second - 1)
				fails() // remembered
				if fills != 1 || b.Stats().FillErrors != 1 {
					t.Errorf("%d fills, %d errors", fills, b.Stats().FillErrors)
				}
				testkit.Advance(1)
				loaded(t, l, "k", "v")
			})
		})
	}
}

func TestLoaderStaleOnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines testkit.Log
		b, err := New(Config{MaxKeys: 10, Logger: &lines})
		testkit.Must(t, err)
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
		testkit.Advance(time.Minute)
		db.set("k", "w")
		start := time.Now()
		loaded(t, l, "k", "w") // while it works, nothing stale
		if time.Since(start) != db.took {
			t.Error("it didn't wait for the fill")
		}
		testkit.Advance(time.Minute)
		db.fail(errDown)
		if r := l.GetResult(t.Context(), "k"); r != (Result{"w", true, errDown}) {
			t.Errorf("%+v", r)
		}
		for range 99 { // less than a second, the default of RetryAfter
			stale(t, l, "k", "w", errDown)
			testkit.Advance(10 * time.Millisecond)
		}
		if n := db.asked(); n != 3 {
			t.Errorf("%d queries", n)
		}
		testkit.Advance(10 * time.Millisecond)
		stale(t, l, "k", "w", errDown) // and it is tried in the background
		testkit.Advance(db.took)
		synctest.Wait()
		if n := db.asked(); n != 4 {
			t.Errorf("%d queries", n)
		}
		if want := []string{"k: the database is down", "k: the database is down"}; !slices.Equal(told, want) {
			t.Errorf("OnStale was told %q", told)
		}
		if s := b.Stats(); s.FillErrors != 2 || s.StaleFailures != 2 || s.StaleServed != 101 || s.StaleHits != 100 {
			t.Errorf("%+v", s)
		}
		synctest.Wait() // lines are queued
		text := strings.Join(lines.Take(), "\n")
		if !strings.Contains(text, `a fill of "p:k" failed`) || !strings.Contains(text, "OnStale fails too") {
			t.Errorf("logged %s", text)
		}
		testkit.Advance(time.Hour)
		if _, err := l.Get(t.Context(), "k"); err != errDown {
			t.Errorf("after StaleOnErrorFor: %v", err)
		}
	})
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
		testkit.Advance(time.Minute)
		db.took = time.Hour
		for _, key := range keys {
			go l.Get(t.Context(), key) // the first ones wait
		}
		testkit.Advance(9 * time.Second)
		synctest.Wait()
		before := db.asked()
		for range 1000 { // 100 s, for two fills at a time
			for _, key := range keys {
				stale(t, l, key, "v", context.DeadlineExceeded)
			}
			testkit.Advance(100 * time.Millisecond)
		}
		if n := db.asked() - before; n < 50 || n > 68 {
			t.Errorf("%d queries", n)
		}
		db.took = 0 // it is back
		began := time.Now()
		for l.GetResult(t.Context(), "1") != (Result{Value: "v"}) {
			testkit.Advance(100 * time.Millisecond)
			synctest.Wait()
		}
		if took := time.Since(began); took > 7*time.Second {
			t.Errorf("that showed after %v", took)
		}
	})
}

// A Fill that goes on after its FillTimeout isn't joined.
func TestLoaderFillIgnoresItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &hangingDB{hangs: 1, release: make(chan struct{})}
		defer close(db.release)
		b := localNode(t)
		l := newLoader(t, b, db.fill)
		go l.Get(t.Context(), "k")
		testkit.Advance(2 * defaultFillTimeout)
		done := make(chan error, 1)
		go func() { _, err := l.Get(context.Background(), "k"); done <- err }()
		select {
		case err := <-done:
			testkit.Must(t, err)
		case <-time.After(time.Hour):
			t.Errorf("an hour after FillTimeout a Get without a deadline still joins the query that hangs (%d queries)", db.asked())
		}
	})
}

func getForTyped(l *Typed[string], d time.Duration, key string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return l.Get(ctx, key)
}

// That a FillMany failed is remembered for all its keys, whoever waited for which.
func TestLoaderFailureOfABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		down := false
		l := newLoader(t, b, nil, func(c *LoaderConfig) {
			c.StaleFor, c.StaleOnErrorFor, c.RetryAfter = 100*time.Millisecond, time.Hour, time.Minute
			c.OnStale = func(string, error) { testkit.Advance(time.Millisecond) }
			c.FillMany = func(ctx context.Context, keys []string) (map[string]Loaded, error) {
				m := map[string]Loaded{}
				for _, k := range keys {
					m[k] = Loaded{Value: "v"}
				}
				if down {
					testkit.Advance(time.Second)
					return nil, errors.New("down")
				}
				return m, nil
			}
		})
		var keys []string
		for i := range 100 {
			keys = append(keys, fmt.Sprint(i))
		}
		l.GetMany(t.Context(), keys)
		testkit.Advance(time.Minute)
		down = true
		l.GetMany(t.Context(), keys) // stale: a refresh of all
		synctest.Wait()
		testkit.Advance(200 * time.Millisecond)
		l.Get(t.Context(), "0") // joins it, and is served
		testkit.Advance(time.Second)
		synctest.Wait()
		start := time.Now()
		l.Get(t.Context(), "50") // its fill has failed a moment ago: it rests for a minute
		if took := time.Since(start); took > 0 || b.Stats().FillErrors < 100 {
			t.Errorf("FillErrors = %d of 100, a Get of another one waits for %v", b.Stats().FillErrors, took)
		}
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
		testkit.Advance(28 * time.Second)
		loaded(t, l, "k", "v")
		wg.Wait()
		if s := b.Stats(); s.FillErrors != 1 || s.StaleFailures != 0 || s.FillsGivenUp != 1 {
			t.Errorf("%+v", s)
		}
		testkit.Advance(10 * time.Second)
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

// Of an error of the user's a bounded part is remembered, whatever it wraps, and whatever its methods do.
func TestErrorsAreExamined(t *testing.T) {
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
		err   error
		small bool // it is remembered as it is
	}{
		"large":  {large, false},
		"nested": {nested, false},
		"many":   {many, false},
		"joined": {errors.Join(large, large), false},
		"hidden": {hidingError{large}, false},
		"good":   {fmt.Errorf("query: %w", errors.New("refused")), true},
		"panics": {panickingError{}, false},
		"goexit": {panickingError{goexit: true}, false},
		"stack":  {fillFailure("boom"), true},
	} {
		known := examine(tt.err)
		if _, short := known.kept.(*shortError); short == tt.small {
			t.Errorf("%s: %T is kept", name, known.kept)
		}
		most := errorOverhead + maxErrorText + 3
		if tt.small {
			most = maxError
		}
		if known.size > most || len(known.text) > maxErrorText+3 {
			t.Errorf("%s: an error takes %d bytes, its text %d", name, known.size, len(known.text))
		}
		var f fill.Failures
		f.Add(0, "k", known.kept, known.size, time.Hour)
		if err, rests := f.Of(0, "k", false); err != known.kept || !rests {
			t.Errorf("%s: %v is remembered", name, err)
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
}

// A hidingError doesn't show in its text what it wraps.
type hidingError struct{ error }

func (hidingError) Error() string { return "failed" }

func (e hidingError) Unwrap() error { return e.error }

type panickingError struct{ goexit bool }

func (e panickingError) Error() string {
	if e.goexit {
		runtime.Goexit()
	}
	panic("Error fails")
}
