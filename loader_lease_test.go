package bcache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/fill"
	"github.com/iwanbk/bcache/internal/testkit"
)

func TestLeaseOneFillForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{took: 50 * time.Millisecond}
		db.set("k", "v")
		_, nodes, ls := leased(t, 10, db, func(c *LoaderConfig) { c.TTL = time.Second })
		for i := range 30 {
			if n, took := getAll(t, ls, db, "k", "v"); n != 1 || took != db.took {
				t.Errorf("expiry %d: %d queries, %v", i, n, took)
			}
			testkit.Advance(time.Second)
		}
		granted, missed := uint64(0), uint64(0)
		for _, b := range nodes {
			s := b.Stats()
			granted, missed = granted+s.LeasesGranted, missed+s.LeasesMissed
		}
		if granted != 30 || missed != 0 {
			t.Errorf("%d granted, %d missed", granted, missed)
		}
	})
}

// That another node's fill has failed is a reason to serve an old value. When that is gone, it is
// none not to ask the database.
func TestFailureElsewhereIsNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{}
		_, nodes, ls := leased(t, 2, db, func(c *LoaderConfig) {
			c.TTL, c.StaleOnErrorFor, c.RetryAfter = time.Second, time.Hour, 10*time.Second
		})
		key := keyGrantedBy(t, nodes, 0)
		db.set(key, "v")
		loaded(t, ls[0], key, "v")
		testkit.Advance(time.Second)
		errDown := errors.New("down")
		db.fail(errDown)
		db.mu.Lock()
		db.took = time.Second
		db.mu.Unlock()
		go ls[0].Get(t.Context(), key)
		testkit.Advance(100 * time.Millisecond)
		if r := ls[1].GetResult(t.Context(), key); r != (Result{"v", true, ErrFillElsewhere}) {
			t.Fatalf("%+v", r)
		}
		testkit.Must(t, nodes[0].Delete(key))
		db.fail(nil)
		synctest.Wait()
		loaded(t, ls[1], key, "v")
	})
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
				testkit.Advance(d)
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
		testkit.Advance(query - 50*time.Millisecond)
		ls2 := &Loader{
			cache: ls[2].cache, cfg: ls[2].cfg, view: ls[2].view, slots: ls[2].slots, figures: &fill.Figures{},
		}
		ls2.cfg.ClusterWide = false     // the same slots, no leases
		go ls2.Get(t.Context(), "slot") // has the slot when the turn comes, for 100 ms
		synctest.Wait()
		testkit.Advance(60 * time.Millisecond) // now the lease was granted, and declined
		go ls[3].Get(t.Context(), key)         // gets it
		synctest.Wait()
		wg.Wait()
		if took > 2*query+100*time.Millisecond+leaseExtra {
			t.Errorf("a Get took %v, a query takes %v", took, query)
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
		testkit.Must(t, x.nodes[2].Close())
		closed := time.Since(start)
		wg.Wait()
		if took > closed+query+leaseExtra {
			t.Errorf("closed after %v, the Get took %v", closed, took)
		}
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
			testkit.Advance(10 * time.Millisecond)
		}
		wg.Wait()
		if n := x.db.asked(); n != 1 {
			t.Errorf("%d queries, by callers with deadlines of 50 ms", n)
		}
		testkit.Advance(5 * time.Second)
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
				testkit.Advance(20 * time.Millisecond)
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
				testkit.Must(t, err)
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
