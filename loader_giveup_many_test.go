package bcache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
)

// A GetMany that is given up doesn't hold up any of its keys.
func TestGetManyIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		release := make(chan struct{})
		b, l := many(t, &testDB{}, func(c *LoaderConfig) {
			fl := c.FillMany
			c.FillMany = func(ctx context.Context, keys []string) (map[string]Loaded, error) {
				if calls++; calls <= 1 {
					<-release // whatever its context
				}
				return fl(ctx, keys)
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
				testkit.Advance(2 * time.Second)
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
		testkit.Advance(3 * time.Second)
	})
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
				testkit.Advance(time.Minute)
				slow = true
				l.GetMany(t.Context(), keys) // stale: one refresh of all
				synctest.Wait()
				testkit.Advance(200 * time.Millisecond)
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
					testkit.Advance(2 * time.Second)
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
		testkit.Must(t, err)
		synctest.Wait()
		testkit.Advance(time.Minute)
		mu.Lock()
		slow = true
		mu.Unlock()
		go ls[0].Get(t.Context(), "a") // stale: a refresh of 300 ms, with the lease
		synctest.Wait()
		testkit.Advance(10 * time.Millisecond)
		ls[1].GetMany(t.Context(), keys) // stale: a refresh; that of b and c takes 600 ms
		synctest.Wait()
		testkit.Advance(150 * time.Millisecond)
		loaded(t, ls[1], "a", "v") // too old: joins, and is served as node 0 has filled it
		testkit.Advance(time.Second)
		synctest.Wait()
		if len(ended) > 0 {
			t.Errorf("a Get of a was served, and the query for %q ended because of that", ended)
		}
	})
}
