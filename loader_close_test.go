package bcache

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
)

// Nodes close, one after the other, while Loaders do all that they can: nobody gets what he mustn't,
// no subscriber is called after Close, and no goroutine is left, of which synctest makes sure.
func TestLoaderCloseDuringEverything(t *testing.T) {
	for range 5 {
		synctest.Test(t, func(t *testing.T) {
			errDown := errors.New("down")
			keys := strings.Fields("a b c d e f g h")
			answer := func(ctx context.Context, key string) (Loaded, error) {
				select {
				case <-ctx.Done():
					return Loaded{}, ctx.Err()
				case <-time.After(rand.N(10 * time.Millisecond)):
				}
				switch rand.IntN(20) {
				case 0:
					return Loaded{}, errDown
				case 1:
					panic(errDown)
				case 2:
					return Loaded{}, ErrNotFound
				}
				return Loaded{Value: "value of " + key}, nil
			}
			edit := func(c *LoaderConfig) {
				c.FillMany = func(ctx context.Context, keys []string) (map[string]Loaded, error) {
					found, failed := map[string]Loaded{}, KeyErrors{}
					for _, key := range keys {
						if v, err := answer(ctx, key); err != nil {
							failed[key] = err
						} else {
							found[key] = v
						}
					}
					return found, failed
				}
				c.TTL, c.Jitter, c.RefreshAhead = 20*time.Millisecond, 0.5, 0.3
				c.StaleFor, c.StaleOnErrorFor, c.NegativeTTL = 5*time.Millisecond, 30*time.Millisecond, 10*time.Millisecond
				c.RetryAfter, c.FillTimeout, c.MaxConcurrent = 5*time.Millisecond, 50*time.Millisecond, 3
				c.OnStale = func(string, error) {}
			}
			_, nodes, ls := leased(t, 3, &testDB{}, edit)
			for i, b := range nodes { // every other one with a Fill too
				if i%2 == 0 {
					ls[i] = newLoader(t, b, answer, edit, func(c *LoaderConfig) { c.ClusterWide = true })
				}
			}
			check := func(ctx context.Context, key, val string, err error) {
				switch {
				case err == nil && val == "value of "+key, errors.Is(err, ErrNotFound), errors.Is(err, errDown):
				case errors.Is(err, context.DeadlineExceeded): // its own, or FillTimeout
				case err != nil && errors.Is(err, ctx.Err()):
				default:
					t.Errorf("%s: %q, %v", key, val, err)
				}
			}
			var wg sync.WaitGroup
			for i, b := range nodes {
				var closed atomic.Bool
				b.Subscribe(func(Event) {
					if closed.Load() {
						t.Error("called after Close")
					}
				})
				for range 8 {
					wg.Go(func() {
						for range 300 {
							ctx, cancel := context.WithTimeout(t.Context(), rand.N(15*time.Millisecond))
							key := keys[rand.IntN(len(keys))]
							switch rand.IntN(8) {
							case 0:
								got, err := ls[i].GetMany(ctx, keys)
								for key, val := range got {
									check(ctx, key, val, nil)
								}
								errs, _ := err.(KeyErrors)
								for key, err := range errs {
									check(ctx, key, "", err)
								}
							case 1:
								b.Delete(key)
							case 2:
								b.Set(key, "value of "+key, 1)
							case 3:
								for key, val := range b.All() {
									check(ctx, key, val, nil)
								}
							case 4:
								defer b.Subscribe(func(Event) {})()
							default:
								val, err := ls[i].Get(ctx, key)
								check(ctx, key, val, err)
							}
							cancel()
							testkit.Advance(rand.N(3 * time.Millisecond))
						}
					})
				}
				wg.Go(func() {
					testkit.Advance(time.Duration(i+1) * 100 * time.Millisecond)
					b.Close()
					closed.Store(true)
				})
			}
			wg.Wait()
			testkit.Advance(time.Minute)
			synctest.Wait()
			for i, b := range nodes {
				_, _, asks := b.peer.replica.Leases.Load()
				if n := b.loads.Len(); n != 0 || asks != 0 {
					t.Errorf("node %d is left with %d loads, %d asks", i, n, asks)
				}
			}
		})
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
		testkit.Advance(time.Minute)
		stale(t, l, "k", "v", nil)
		synctest.Wait()
		testkit.Must(t, b.Close())
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
