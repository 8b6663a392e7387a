package bcache

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
)

// ClearTags while fills are under way: whom they concern asks again, and nobody else notices.

// askers are the ways to ask a Loader for one key.
var askers = map[string]struct {
	edit func(c *LoaderConfig, db *teamDB)
	get  func(l *Loader, key string) (string, error)
}{
	"Get":         {func(*LoaderConfig, *teamDB) {}, func(l *Loader, key string) (string, error) { return l.Get(context.Background(), key) }},
	"GetMany":     {func(*LoaderConfig, *teamDB) {}, getOneOfMany},
	"FillMany":    {func(c *LoaderConfig, db *teamDB) { c.Fill, c.FillMany = nil, db.fillMany }, getOneOfMany},
	"ClusterWide": {func(c *LoaderConfig, _ *teamDB) { c.ClusterWide = true }, func(l *Loader, key string) (string, error) { return l.Get(context.Background(), key) }},
}

func getOneOfMany(l *Loader, key string) (string, error) {
	got, err := l.GetMany(context.Background(), []string{key, key})
	var errs KeyErrors
	switch val, ok := got[key]; {
	case errors.As(err, &errs):
		return "", errs[key]
	case !ok:
		return "", ErrNotFound
	default:
		return val, nil
	}
}

// eachAsker runs a test with one node, and with three, of which the last one has all Clears.
func eachAsker(t *testing.T, took time.Duration, edit func(*LoaderConfig), test func(
	t *testing.T, db *teamDB, l *Loader, clear *Bcache, get func(key string) (string, error),
)) {
	for name, how := range askers {
		for _, nodes := range []int{1, 3} {
			t.Run(fmt.Sprint(name, " ", nodes), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := localNode(t)
					clear := b
					if nodes == 3 {
						_, all := three(t)
						b, clear = all[0], all[2]
						testkit.Advance(5 * time.Second)
					}
					db := &teamDB{took: took}
					l := newLoader(t, b, db.fill, func(c *LoaderConfig) { how.edit(c, db); edit(c) })
					test(t, db, l, clear, func(key string) (string, error) { return how.get(l, key) })
				})
			})
		}
	}
}

// askFor has a caller come every 10 ms, for some time. It returns how often the database was asked, and
// the longest Get.
func askFor(db *teamDB, d time.Duration, get func() error) (queries int64, slowest time.Duration) {
	before, end := db.asked.Load(), time.Now().Add(d)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for time.Now().Before(end) {
		wg.Go(func() {
			start := time.Now()
			_ = get()
			mu.Lock()
			defer mu.Unlock()
			slowest = max(slowest, time.Since(start))
		})
		testkit.Advance(10 * time.Millisecond)
	}
	queries = db.asked.Load() - before
	wg.Wait()
	return queries, slowest
}

// clearEvery clears a tag again and again until the test's bubble is told to stop.
func clearEvery(t *testing.T, b *Bcache, tag string, every time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			testkit.Must(t, b.ClearTag(tag))
			testkit.Advance(every)
		}
	})
	return func() { cancel(); wg.Wait() }
}

// Clears of other tags, a hundred a second, cost no query: of a hot key that can't be cached there is
// one at a time, also while the Fill fails, or finds nothing.
func TestClearTagsOfOthers(t *testing.T) {
	const times, took = 10, time.Second
	uncached := func(c *LoaderConfig) {
		c.TTL, c.NegativeTTL, c.RetryAfter = time.Millisecond, 0, time.Millisecond
	}
	for _, key := range []string{"a7", "no7", "failing"} {
		eachAsker(t, took, uncached, func(t *testing.T, db *teamDB, l *Loader, clear *Bcache, get func(string) (string, error)) {
			if key == "failing" {
				l.cfg.Fill, l.cfg.FillMany = func(context.Context, string) (Loaded, error) {
					db.asked.Add(1)
					time.Sleep(took)
					return Loaded{}, errors.New("down")
				}, nil
			}
			stop := clearEvery(t, clear, "team:8", 10*time.Millisecond)
			testkit.Advance(55 * time.Millisecond)
			n, slowest := askFor(db, times*took, func() error { _, err := get(key); return err })
			stop()
			t.Logf("%s: %d queries of %v in %v, the slowest Get %v", key, n, took, times*took, slowest)
			if n > times+2 || slowest > took+took/10 {
				t.Errorf("%s: %d queries of %v in %v, the slowest Get %v", key, n, took, times*took, slowest)
			}
			if s := l.Stats(); s.AskedAnew != 0 {
				t.Errorf("%s: AskedAnew %d", key, s.AskedAnew)
			}
		})
	}
}

// Of its own tag each Clear costs a query, but no more than one at a time: all who came after it share
// the next one, whatever else is cleared meanwhile.
func TestClearTagsOfTheSame(t *testing.T) {
	const times, took = 10, time.Second
	eachAsker(t, took, func(*LoaderConfig) {}, func(t *testing.T, db *teamDB, l *Loader, clear *Bcache, get func(string) (string, error)) {
		stop := clearEvery(t, clear, "team:7", 10*time.Millisecond)
		n, slowest := askFor(db, times*took, func() error { _, err := get("a7"); return err })
		stop()
		t.Logf("%d queries of %v in %v, the slowest Get %v", n, took, times*took, slowest)
		if n > times+2 || slowest > 2*took+took/2 {
			t.Errorf("%d queries of %v in %v, the slowest Get %v", n, took, times*took, slowest)
		}
	})
}

// Who comes after a Clear of what a fill brings that is under way isn't given that, and all of them ask
// once. Who came before has it.
func TestClearTagDuringAFill(t *testing.T) {
	for _, key := range []string{"a7", "no7"} {
		for _, negative := range []time.Duration{0, time.Minute} {
			edit := func(c *LoaderConfig) { c.NegativeTTL = negative }
			eachAsker(t, time.Second, edit, func(t *testing.T, db *teamDB, l *Loader, clear *Bcache, get func(string) (string, error)) {
				var wg sync.WaitGroup
				callers := func(want string, within time.Duration) {
					for range 50 {
						wg.Go(func() {
							start := time.Now()
							val, err := get(key)
							if err != nil && errors.Is(err, ErrNotFound) {
								val = "none"
							}
							if took := time.Since(start); val != want || took > within {
								t.Errorf("%s: it has %q, %v after %v, and not %q", key, val, err, took, want)
							}
						})
					}
					synctest.Wait()
				}
				first := key + " v0"
				if key == "no7" {
					first = "none"
				}
				callers(first, time.Second)
				testkit.Advance(300 * time.Millisecond)
				db.version.Store(1)
				if key == "no7" { // the row has come: who is told that it isn't there was told what was before
					db.rows.Store(true)
				}
				testkit.Must(t, clear.ClearTag("team:7"))
				synctest.Wait()
				callers(key+" v1", 1800*time.Millisecond)
				testkit.Advance(300 * time.Millisecond)
				callers(key+" v1", 1500*time.Millisecond)
				wg.Wait()
				if n := db.asked.Load(); n != 2 {
					t.Errorf("%s: %d queries", key, n)
				}
				if s := l.Stats(); s.AskedAnew != 100 {
					t.Errorf("%s: AskedAnew %d of 100", key, s.AskedAnew)
				}
				callers(key+" v1", 0)
				wg.Wait()
			})
		}
	}
}

// An old value that is served as a Fill fails has tags too.
func TestClearTagWhileAFillFails(t *testing.T) {
	for tag, want := range map[string]Result{
		"t": {Err: errors.New("down")},
		"u": {Value: "old", Stale: true, Err: errors.New("down")},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := localNode(t)
			var fills atomic.Int64
			l := newLoader(t, b, func(context.Context, string) (Loaded, error) {
				fills.Add(1)
				time.Sleep(time.Second)
				return Loaded{}, want.Err
			}, func(c *LoaderConfig) { c.StaleOnErrorFor = time.Hour })
			testkit.Must(t, l.Put("k", "old", time.Second, "t"))
			testkit.Advance(2 * time.Second)
			var wg sync.WaitGroup
			ask := func() {
				wg.Go(func() {
					if r := l.GetResult(t.Context(), "k"); r != want {
						t.Errorf("after a Clear of %s: %+v, want %+v", tag, r, want)
					}
				})
			}
			ask()
			testkit.Advance(time.Second / 2)
			testkit.Must(t, b.ClearTag(tag))
			ask()
			wg.Wait()
			if n, anew := fills.Load(), l.Stats().AskedAnew; n != 1 || anew != 0 {
				t.Errorf("after a Clear of %s: %d fills, %d asked anew", tag, n, anew)
			}
		})
	}
}

// However Clears, fills and callers meet, nobody who comes after a Clear gets what was before it.
func TestClearTagsRace(t *testing.T) {
	const rounds = 3000
	for _, how := range []string{"Get", "GetMany", "FillMany", "GetWithFiller"} {
		t.Run(how, func(t *testing.T) {
			b := localNode(t)
			db := &teamDB{}
			l := newLoader(t, b, db.fill, func(c *LoaderConfig) {
				if how == "FillMany" {
					c.Fill, c.FillMany = nil, db.fillMany
				}
			})
			get := func() (string, error) { return getOneOfMany(l, "7") }
			switch how {
			case "Get":
				get = func() (string, error) { return l.Get(t.Context(), "7") }
			case "GetWithFiller":
				filler := func(string) (string, error) { return fmt.Sprint("7 v", rounds), nil }
				get = func() (string, error) { return b.GetWithFiller("7", filler, 0) }
			}
			var cleared atomic.Int64
			var wg sync.WaitGroup
			wg.Go(func() {
				for i := int64(1); i <= rounds; i++ {
					if how == "GetWithFiller" {
						testkit.Must(t, b.Put("7", fmt.Sprint("7 v", i-1), time.Minute, "team:7"))
					}
					db.version.Store(i)
					testkit.Must(t, b.ClearTag("team:7"))
					cleared.Store(i)
				}
			})
			for range 4 {
				wg.Go(func() {
					for {
						before := cleared.Load()
						if before == rounds {
							return
						}
						val, err := get()
						if n, _ := strconv.ParseInt(val[min(len(val), 3):], 10, 64); err != nil || n < before {
							t.Errorf("after Clear %d it has %q, %v", before, val, err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}
