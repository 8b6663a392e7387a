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
		if n := b.loads.len(); n != 0 {
			t.Errorf("%d loads are left", n)
		}
		loaded(t, l, "k", "v")
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
					advance(10 * time.Millisecond)
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

// A key that hangs in another caller's Fill holds up no later batch.
func TestGetManyHungKey(t *testing.T) {
	for _, many := range []bool{true, false} {
		t.Run(fmt.Sprint(many), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hang := make(chan struct{})
				defer close(hang)
				b := localNode(t)
				one := func(_ context.Context, key string) (Loaded, error) {
					if key[0] == 'h' {
						<-hang
					}
					return Loaded{Value: "v"}, nil
				}
				l := newLoader(t, b, one, func(c *LoaderConfig) {
					c.BatchSize = 10
					if many {
						c.FillMany = func(_ context.Context, keys []string) (map[string]Loaded, error) {
							m := map[string]Loaded{}
							for _, k := range keys {
								m[k] = Loaded{Value: "v"}
							}
							return m, nil
						}
					}
				})
				hung := 1
				if !many {
					hung = 16
				}
				var keys []string
				for i := range hung {
					k := fmt.Sprint("h", i)
					go l.Get(t.Context(), k)
					keys = append(keys, k)
				}
				synctest.Wait()
				for i := range 100 {
					keys = append(keys, fmt.Sprint(i))
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				vals, err := l.GetMany(ctx, keys)
				if len(vals) != 100 {
					var ke KeyErrors
					errors.As(err, &ke)
					t.Errorf("FillMany %v: %d hung keys: %d of 100 others have a value, %d errors",
						many, hung, len(vals), len(ke))
				}
			})
		})
	}
}

// A client that disconnects from one key of a refresh doesn't end that of the others.
func TestLoaderRefreshOfOthersGoesOn(t *testing.T) {
	for _, how := range []string{"cancelled", "served"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := localNode(t)
				var ended atomic.Value
				slow := false
				l := newLoader(t, b, nil, func(c *LoaderConfig) {
					c.StaleFor = 100 * time.Millisecond
					c.FillMany = func(ctx context.Context, keys []string) (map[string]Loaded, error) {
						if slow {
							select {
							case <-ctx.Done():
								ended.Store(ctx.Err())
								return nil, ctx.Err()
							case <-time.After(time.Second):
							}
						}
						m := map[string]Loaded{}
						for _, k := range keys {
							m[k] = Loaded{Value: "v"}
						}
						return m, nil
					}
				})
				keys := []string{"a", "b", "c"}
				l.GetMany(t.Context(), keys)
				advance(time.Minute)
				slow = true
				l.GetMany(t.Context(), keys) // stale: one refresh of all
				synctest.Wait()
				advance(200 * time.Millisecond)
				ctx, cancel := context.WithCancel(t.Context())
				if how == "cancelled" {
					time.AfterFunc(50*time.Millisecond, cancel)
				}
				_, err := l.Get(ctx, "a")
				cancel()
				synctest.Wait()
				t.Log(how, err, ended.Load())
				if ended.Load() != nil {
					t.Errorf("%s: the refresh of the other keys ended: %v", how, ended.Load())
				}
				if how == "cancelled" {
					advance(2 * time.Second)
				}
			})
		})
	}
}

// Who joined one key of a refresh, and is served, doesn't end that of the others.
func TestLoaderServedEndsNoOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		slow := false
		var ended []string
		_, bs, ls := leased(t, 2, &testDB{}, func(c *LoaderConfig) {
			c.StaleFor = 100 * time.Millisecond
			c.Fill = nil
			c.FillMany = func(ctx context.Context, keys []string) (map[string]Loaded, error) {
				d := time.Millisecond
				mu.Lock()
				if slow {
					d = 300 * time.Millisecond * time.Duration(len(keys))
				}
				mu.Unlock()
				select {
				case <-ctx.Done():
					mu.Lock()
					ended = append(ended, keys...)
					mu.Unlock()
					return nil, ctx.Err()
				case <-time.After(d):
				}
				m := map[string]Loaded{}
				for _, k := range keys {
					m[k] = Loaded{Value: "v"}
				}
				return m, nil
			}
		})
		_ = bs
		keys := []string{"a", "b", "c"}
		_, err := ls[1].GetMany(t.Context(), keys)
		must(t, err)
		synctest.Wait()
		advance(time.Minute)
		mu.Lock()
		slow = true
		mu.Unlock()
		go ls[0].Get(t.Context(), "a") // stale: a refresh of 300 ms, with the lease
		synctest.Wait()
		advance(10 * time.Millisecond)
		ls[1].GetMany(t.Context(), keys) // stale: a refresh; that of b and c takes 600 ms
		synctest.Wait()
		advance(150 * time.Millisecond)
		loaded(t, ls[1], "a", "v") // too old: joins, and is served as node 0 has filled it
		advance(time.Second)
		synctest.Wait()
		if len(ended) > 0 {
			t.Errorf("a Get of a was served, and the query for %q ended because of that", ended)
		}
	})
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
		advance(10 * time.Second)
	})
}

// typed: error of one undecodable in FillMany etc. counters

// GetMany: an impatient Get of one key gives up a whole healthy batch.

// Who gives up one key of a GetMany doesn't give up the others.
func TestGetManyOneKeyGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		asked := 0
		l := newLoader(t, b, nil, func(c *LoaderConfig) {
			c.FillMany = func(ctx context.Context, keys []string) (map[string]Loaded, error) {
				asked += len(keys)
				m := map[string]Loaded{}
				for _, k := range keys {
					m[k] = Loaded{Value: "v"}
				}
				advance(2 * time.Second)
				return m, nil
			}
		})
		var keys []string
		for i := range 1000 {
			keys = append(keys, fmt.Sprint(i))
		}
		go l.GetMany(t.Context(), keys)
		synctest.Wait()
		getFor(l, 150*time.Millisecond, "7") // one impatient caller of one key
		l.GetMany(t.Context(), keys[100:])
		if asked > 1010 {
			t.Errorf("%d keys asked for", asked)
		}
		synctest.Wait()
		advance(3 * time.Second)
	})
}
