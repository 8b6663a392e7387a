package bcache

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// What else one caller, or one key, mustn't do to others. Each of these has been red.

// A write forgets no filler that only waits for its place: what it brings is newer.
func TestGetWithFillerQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		var calls atomic.Int32
		filler := func(string) (string, error) { calls.Add(1); advance(2 * time.Second); return "v", nil }
		var wg sync.WaitGroup
		var most atomic.Int64
		for range 200 { // 20 s
			wg.Go(func() {
				start := time.Now()
				b.GetWithFiller("k", filler, 60)
				took := int64(time.Since(start))
				for old := most.Load(); took > old && !most.CompareAndSwap(old, took); old = most.Load() {
				}
			})
			synctest.Wait()
			must(t, b.Delete("k"))
			advance(100 * time.Millisecond)
		}
		wg.Wait()
		t.Logf("slowest %v, %d fills", time.Duration(most.Load()), calls.Load())
		if d := time.Duration(most.Load()); d > 6*time.Second {
			t.Errorf("a query takes 2 s, GetWithFiller %v (%d fills)", d, calls.Load())
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

// What GetManys refresh in the background is bounded together, not each by itself.
func TestGetManyRefreshesAreBounded(t *testing.T) {
	for _, many := range []bool{false, true} {
		t.Run(fmt.Sprint(many), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, err := New(Config{MaxKeys: 100_000})
				must(t, err)
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
				must(t, err)
				advance(time.Minute)
				hang = true
				runtime.GC()
				var m0, m1 runtime.MemStats
				runtime.ReadMemStats(&m0)
				g0 := runtime.NumGoroutine()
				for range 20 { // all within 2 s
					l.GetMany(t.Context(), keys)
					synctest.Wait()
					advance(100 * time.Millisecond)
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

// Holders that are cancelled, one after the other: nobody waits for more than one of them.
func TestLeaseCancellationsDoNotPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, query = 8, 3 * time.Second
		db := &testDB{took: query}
		_, bs, ls := leased(t, n, db)
		key := keyGrantedBy(t, bs, 0)
		db.set(key, "v")
		for i := 1; i < n-1; i++ { // client i disconnects after i times 2.5 s
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Duration(i)*2500*time.Millisecond, cancel)
			go ls[i].Get(ctx, key)
			synctest.Wait()
		}
		start := time.Now()
		loaded(t, ls[n-1], key, "v")
		if took := time.Since(start); took > 2*query+leaseExtra {
			t.Errorf("a Get took %v, a query takes %v", took, query)
		}
	})
}

// A lease that was declined for want of a slot doesn't have its load wait for a second try.
func TestLeaseDeclinedForASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const query = 2 * time.Second
		_, bs, ls := leased(t, 5, &testDB{}, func(c *LoaderConfig) {
			c.MaxConcurrent = 1
			c.Fill = func(ctx context.Context, key string) (Loaded, error) {
				d := query
				if key == "slot" {
					d = 100 * time.Millisecond
				}
				advance(d)
				return Loaded{}, errors.New("down")
			}
		})
		key := keyGrantedBy(t, bs, 0)
		go ls[1].Get(t.Context(), key) // holder
		synctest.Wait()
		start := time.Now()
		var took time.Duration
		var wg sync.WaitGroup
		wg.Go(func() {
			ls[2].Get(t.Context(), key) // waits; gives back the slot
			took = time.Since(start)
		})
		synctest.Wait()
		advance(query - 50*time.Millisecond)
		ls2 := &Loader{cache: ls[2].cache, cfg: ls[2].cfg, view: ls[2].view, slots: ls[2].slots}
		ls2.cfg.ClusterWide = false     // the same slots, no leases
		go ls2.Get(t.Context(), "slot") // has the slot when the turn comes, for 100 ms
		synctest.Wait()
		advance(60 * time.Millisecond) // now the lease was granted, and declined
		go ls[3].Get(t.Context(), key) // gets it
		synctest.Wait()
		wg.Wait()
		if took > 2*query+100*time.Millisecond+leaseExtra {
			t.Errorf("a Get took %v, a query takes %v", took, query)
		}
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

type moody struct {
	tagged
	exits *atomic.Bool
}

func (c moody) Decode(s string) (string, error) {
	if c.exits.Load() && s == "poison" {
		runtime.Goexit()
	}
	return c.tagged.Decode(s)
}

// A Codec that calls runtime.Goexit leaves no load behind.
func TestGetManyCodecGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var exits atomic.Bool
		exits.Store(true)
		_, bs, _ := leased(t, 2, &testDB{})
		fills := 0
		hang := make(chan struct{})
		mk := func(b *Bcache) *Typed[string] {
			return taggedLoader(t, b, "", &fills, func(c *TypedConfig[string]) {
				c.Codec = moody{"", &exits}
				c.Loader.ClusterWide = true
				c.FillMany = func(ctx context.Context, keys []string) (map[string]TypedLoaded[string], error) {
					select {
					case <-hang:
					case <-ctx.Done():
					}
					return map[string]TypedLoaded[string]{}, ctx.Err()
				}
				c.Fill = nil
			})
		}
		a, b := mk(bs[0]), mk(bs[1])
		go a.GetMany(t.Context(), []string{"x", "y"})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		go b.GetMany(ctx, []string{"x", "y"}) // waits for the leases
		synctest.Wait()
		must(t, bs[1].Set("x", "poison", 60))
		synctest.Wait()
		exits.Store(false)
		close(hang)
		advance(10 * time.Second)
		synctest.Wait()
		if n := bs[1].loads.running.Load(); n != 0 {
			t.Errorf("%d loads are left for ever", n)
		}
		if v, err := getForTyped(b, time.Second, "y"); err == context.DeadlineExceeded {
			t.Errorf("y fails for ever: %q, %v", v, err)
		}
	})
}

func getForTyped(l *Typed[string], d time.Duration, key string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return l.Get(ctx, key)
}

// A Fill that goes on after its FillTimeout isn't joined.
func TestLoaderFillIgnoresItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &hangingDB{hangs: 1, release: make(chan struct{})}
		defer close(db.release)
		b := localNode(t)
		l := newLoader(t, b, db.fill)
		go l.Get(t.Context(), "k")
		advance(2 * defaultFillTimeout)
		done := make(chan error, 1)
		go func() { _, err := l.Get(context.Background(), "k"); done <- err }()
		select {
		case err := <-done:
			must(t, err)
		case <-time.After(time.Hour):
			t.Errorf("an hour after FillTimeout a Get without a deadline still joins the query that hangs (%d queries)", db.asked())
		}
	})
}

// Close has who waits for another node fill for himself.
func TestLeaseCloseWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const query = 50 * time.Millisecond
		x := leaseUnderWay(t)
		x.db.slow(query)
		start := time.Now()
		var took time.Duration
		var wg sync.WaitGroup
		wg.Go(func() { x.ls[2].Get(t.Context(), x.key); took = time.Since(start) })
		synctest.Wait()
		must(t, x.nodes[2].Close())
		closed := time.Since(start)
		wg.Wait()
		if took > closed+query+leaseExtra {
			t.Errorf("closed after %v, the Get took %v", closed, took)
		}
	})
}

// That a FillMany failed is remembered for all its keys, whoever waited for which.
func TestLoaderFailureOfABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		down := false
		l := newLoader(t, b, nil, func(c *LoaderConfig) {
			c.StaleFor, c.StaleOnErrorFor, c.RetryAfter = 100*time.Millisecond, time.Hour, time.Minute
			c.OnStale = func(string, error) { advance(time.Millisecond) }
			c.FillMany = func(ctx context.Context, keys []string) (map[string]Loaded, error) {
				m := map[string]Loaded{}
				for _, k := range keys {
					m[k] = Loaded{Value: "v"}
				}
				if down {
					advance(time.Second)
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
		advance(time.Minute)
		down = true
		l.GetMany(t.Context(), keys) // stale: a refresh of all
		synctest.Wait()
		advance(200 * time.Millisecond)
		l.Get(t.Context(), "0") // joins it, and is served
		advance(time.Second)
		synctest.Wait()
		start := time.Now()
		l.Get(t.Context(), "50") // its fill has failed a moment ago: it rests for a minute
		if took := time.Since(start); took > 0 || b.Stats().FillErrors < 100 {
			t.Errorf("FillErrors = %d of 100, a Get of another one waits for %v", b.Stats().FillErrors, took)
		}
	})
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

// R9a

// Nor does it keep a slot.
func TestLoaderCodecGoexitKeepsNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var exits atomic.Bool
		exits.Store(true)
		net, bs, _ := leased(t, 2, &testDB{})
		fills := 0
		typed := taggedLoader(t, bs[1], "", &fills, func(c *TypedConfig[string]) {
			c.Codec = moody{"", &exits}
			c.Loader.MaxConcurrent, c.Loader.ClusterWide = 1, true
		})
		net.mu.Lock()
		net.filter = func(from, _ uint64, _ []byte) bool { return from != 1 } // it doesn't answer for a while
		net.mu.Unlock()
		key := keyGrantedBy(t, bs, 0)
		go typed.Get(t.Context(), key)
		synctest.Wait()
		must(t, bs[1].Set(key, "poison", 60))
		synctest.Wait()
		exits.Store(false)
		if n := len(typed.loader.slots); n != 0 {
			t.Errorf("%d slots of 1 are taken for ever", n)
		}
	})
}

// R9b

type second struct {
	tagged
	n *atomic.Int32
}

func (c second) Decode(s string) (string, error) {
	if s == "poison" && c.n.Add(1) > 1 {
		runtime.Goexit()
	}
	return c.tagged.Decode(s)
}

// Nor does it have a GetMany hang.
func TestGetManyCodecGoexitHangsNobody(t *testing.T) {
	b := localNode(t)
	fills := 0
	typed := taggedLoader(t, b, "", &fills, func(c *TypedConfig[string]) {
		c.Codec = second{"", new(atomic.Int32)}
		c.Fill = func(_ context.Context, key string) (TypedLoaded[string], error) {
			if key == "a" {
				return TypedLoaded[string]{Value: "poison"}, nil
			}
			time.Sleep(100 * time.Millisecond)
			return TypedLoaded[string]{Value: "v"}, nil
		}
	})
	done := make(chan struct{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	go func() {
		defer close(done)
		typed.GetMany(ctx, []string{"a", "b", "c"})
	}()
	select {
	case <-done:
	case <-time.After(3 * time.Second):
		t.Error("GetMany hangs beyond its context, and for ever")
	}
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

type cipher struct{ key []byte }

func (c cipher) Encode(s string) (string, error) { return string(c.key) + s, nil }

func (c cipher) Decode(s string) (string, error) { return tagged(c.key).Decode(s) }

// Codecs that can't be compared share nothing.
func TestTypedIncomparableCodecs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := localNode(t)
		mk := func(key string) *Typed[string] {
			l, err := NewTyped(b, TypedConfig[string]{
				Codec: cipher{[]byte(key)},
				Fill: func(context.Context, string) (TypedLoaded[string], error) {
					advance(time.Second)
					return TypedLoaded[string]{Value: "v"}, nil
				},
				Loader: LoaderConfig{TTL: time.Hour},
			})
			must(t, err)
			return l
		}
		one, two := mk("1:"), mk("2:")
		go one.Get(t.Context(), "k")
		synctest.Wait()
		typedGet(t, two, "k", "v")
	})
}

// hurried callers elsewhere have other nodes fill

// Nor do they on other nodes.
func TestLeaseHurriedCallersSuspectNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := leaseUnderWay(t) // 2 s
		var wg sync.WaitGroup
		for range 100 { // 1 s
			wg.Go(func() { getFor(x.ls[2], 50*time.Millisecond, x.key) })
			advance(10 * time.Millisecond)
		}
		wg.Wait()
		if n := x.db.asked(); n != 1 {
			t.Errorf("%d queries, by callers with deadlines of 50 ms", n)
		}
		advance(5 * time.Second)
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

// Bulk loads of cold keys miss no lease.
func TestLeasesMissedByBulk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, bs, ls := leased(t, 3, &testDB{}, func(c *LoaderConfig) {
			c.Fill = nil
			c.FillMany = func(ctx context.Context, keys []string) (map[string]Loaded, error) {
				m := map[string]Loaded{}
				for _, k := range keys {
					m[k] = Loaded{Value: "v"}
				}
				advance(20 * time.Millisecond)
				return m, nil
			}
		})
		var wg sync.WaitGroup
		for i := range 15 {
			wg.Go(func() {
				var keys []string
				for j := range 1000 {
					keys = append(keys, fmt.Sprint("key", i, "-", j))
				}
				_, err := ls[i%3].GetMany(t.Context(), keys)
				must(t, err)
			})
		}
		wg.Wait()
		for i, b := range bs {
			if n := b.Stats().LeasesMissed; n > 0 {
				t.Errorf("node %d: LeasesMissed = %d", i, n)
			}
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
			must(t, b.Delete("h"))
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
