package bcache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
	"github.com/iwanbk/bcache/internal/wire"
)

// leaseExtra is what a Get may take beside one try of another node and its own fill.
const leaseExtra = 150 * time.Millisecond

// slowest calls Get once on each of the nodes, and returns how long the slowest one took.
func slowest(t *testing.T, ls []*Loader, key string) time.Duration {
	t.Helper()
	var most atomic.Int64
	var wg sync.WaitGroup
	for _, l := range ls {
		wg.Go(func() {
			start := time.Now()
			l.Get(t.Context(), key)
			took := int64(time.Since(start))
			for old := most.Load(); took > old && !most.CompareAndSwap(old, took); old = most.Load() {
			}
		})
	}
	wg.Wait()
	return time.Duration(most.Load())
}

// slow sets how long a query takes from now on.
func (db *testDB) slow(took time.Duration) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.took = took
}

// After a write a node asks for the same key once more, while its first ask waits: both are answered.
func TestLeaseTwoAsksOfANode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := leaseUnderWay(t)
		x.db.slow(10 * time.Millisecond)
		testkit.Advance(500 * time.Millisecond)
		first := x.others(t, 0, 1, 3, 4)
		testkit.Advance(100 * time.Millisecond)
		testkit.Must(t, x.nodes[3].Delete(x.key)) // now the value that is being looked up can't be cached
		synctest.Wait()
		second := x.others(t, 0, 1, 3, 4)
		most := 1500*time.Millisecond + x.db.took
		if took := first(); took > most+leaseExtra {
			t.Errorf("the first one took %v", took)
		}
		if took := second(); took > most+leaseExtra {
			t.Errorf("the second one took %v", took)
		}
	})
}

// A newer fill of the holder's node takes its lease over; who waits is answered when the older one ends.
func TestLeaseTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := leaseUnderWay(t)
		wait := x.others(t, 0, 1, 4)
		testkit.Advance(time.Second)
		testkit.Must(t, x.nodes[3].Delete(x.key))
		synctest.Wait()
		x.db.slow(10 * time.Second)
		go x.ls[x.holder].Get(t.Context(), x.key)
		synctest.Wait()
		x.db.slow(10 * time.Millisecond)
		if took := wait(); took > 2*time.Second+x.db.took+leaseExtra {
			t.Errorf("it took %v", took)
		}
	})
}

// Failures don't pass from one who waits to the next.
func TestLeaseNobodyWaitsForTwoFailures(t *testing.T) {
	const query, nodes = 400 * time.Millisecond, 8
	for _, how := range []string{"fails", "hangs", "says nothing", "goes", "is given up by deadline"} {
		synctest.Test(t, func(t *testing.T) {
			var calls, lost atomic.Int32
			db := &testDB{}
			timeout := 5 * time.Second
			if how == "hangs" || how == "says nothing" {
				timeout = query
			}
			net, bs, ls := leased(t, nodes, db, func(c *LoaderConfig) {
				c.FillTimeout = timeout
				c.Fill = func(ctx context.Context, _ string) (Loaded, error) {
					calls.Add(1)
					if how != "fails" && how != "goes" {
						<-ctx.Done()
						return Loaded{}, ctx.Err()
					}
					testkit.Advance(query)
					return Loaded{}, errors.New("down")
				}
			})
			key := keyGrantedBy(t, bs, 0)
			if how == "says nothing" { // the first one's messages are lost when it has the lease
				net.Filter(func(from, to uint64, frame []byte) bool {
					return from != 2 || frame[1] != wire.FrameLease || lost.Add(1) < 2
				})
			}
			ctx, cancel := t.Context(), func() {}
			if how == "is given up by deadline" {
				ctx, cancel = context.WithTimeout(ctx, query)
				timeout = query
			}
			defer cancel()
			go ls[1].Get(ctx, key)
			synctest.Wait()
			rest := ls[2:]
			if how == "goes" {
				go func() {
					testkit.Advance(query / 2)
					bs[1].Close()
				}()
			}
			if how == "is given up by deadline" {
				for _, l := range rest {
					l.cfg.FillTimeout = query
				}
			}
			took := slowest(t, rest, key)
			if most := 2*query + leaseExtra; took > most {
				t.Errorf("the first one's query of %v %s: the last Get took %v", query, how, took)
			}
			if n := calls.Load(); n > nodes {
				t.Errorf("%s: %d queries", how, n)
			}
		})
	}
}

// A hung fill of one node makes the key fail nowhere for longer than one caller's deadline, however many
// callers there are.
func TestLeaseHolderHangsWithDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const deadline = time.Second
		var running, most, calls atomic.Int32
		hang := make(chan struct{})
		_, bs, ls := leased(t, 5, &testDB{}, func(c *LoaderConfig) {
			c.FillTimeout = 30 * time.Second
			c.Fill = func(ctx context.Context, _ string) (Loaded, error) {
				n := running.Add(1)
				defer running.Add(-1)
				most.Store(max(most.Load(), n))
				if calls.Add(1) == 1 {
					<-hang
				}
				testkit.Advance(10 * time.Millisecond)
				return Loaded{Value: "v"}, nil
			}
		})
		key := keyGrantedBy(t, bs, 0)
		go ls[1].Get(t.Context(), key)
		synctest.Wait()
		go ls[3].Get(t.Context(), key) // it has all time
		start := time.Now()
		var wg sync.WaitGroup
		for i, l := range ls {
			if i == 1 {
				continue
			}
			for range 30 { // every 100 ms
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), deadline)
					defer cancel()
					began := time.Since(start)
					if _, err := l.Get(ctx, key); err != nil && began > deadline+leaseExtra {
						t.Errorf("node %d, after %v: %v", i+1, began, err)
					}
				})
				testkit.Advance(10 * time.Millisecond)
			}
		}
		wg.Wait()
		testkit.Advance(deadline)
		for i, l := range ls {
			if i == 1 {
				continue
			}
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			if val, err := l.Get(ctx, key); val != "v" || err != nil {
				t.Errorf("node %d: %q, %v", i+1, val, err)
			}
			cancel()
		}
		if n := most.Load(); n > 3 {
			t.Errorf("%d fills at a time", n)
		}
		close(hang)
		testkit.Advance(time.Second)
	})
}

// A caller's deadline helps the others who wait for the same load, on the same node, and have all time.
func TestLeasePatientCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := leaseUnderWay(t, func(c *LoaderConfig) { c.FillTimeout = 30 * time.Second })
		x.db.slow(10 * time.Millisecond)
		x.db.rows = nil // whatever the first one brings, and it takes two seconds
		testkit.Advance(500 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go x.ls[2].Get(ctx, x.key)
		start := time.Now()
		x.ls[2].Get(t.Context(), x.key)
		if took := time.Since(start); took > time.Second+x.db.took+leaseExtra {
			t.Errorf("it took %v", took)
		}
	})
}

// Three fills of a key that hang are enough; and callers who disconnect make none more.
func TestLeaseSuspectsAreFew(t *testing.T) {
	for _, why := range []error{context.DeadlineExceeded, context.Canceled} {
		synctest.Test(t, func(t *testing.T) {
			var calls atomic.Int32
			hang := make(chan struct{})
			_, bs, ls := leased(t, 8, &testDB{}, func(c *LoaderConfig) {
				c.FillTimeout = 30 * time.Second
				c.Fill = func(context.Context, string) (Loaded, error) {
					calls.Add(1)
					<-hang
					return Loaded{Value: "v"}, nil
				}
			})
			key := keyGrantedBy(t, bs, 0)
			go ls[1].Get(t.Context(), key)
			synctest.Wait()
			for range 15 {
				var wg sync.WaitGroup
				for _, l := range ls[2:] {
					wg.Go(func() {
						ctx, cancel := context.WithTimeout(t.Context(), time.Second)
						if why == context.Canceled {
							ctx, cancel = context.WithCancel(t.Context())
							time.AfterFunc(time.Second, cancel)
						}
						defer cancel()
						l.Get(ctx, key)
					})
				}
				wg.Wait()
			}
			n, most := calls.Load(), int32(1)
			if why == context.DeadlineExceeded {
				most = 3
			}
			if n != most {
				t.Errorf("%v: %d fills, want %d", why, n, most)
			}
			close(hang)
			synctest.Wait()
		})
	}
}

// That a fill failed on another node is why a value is stale, never why there is none: without an old
// value a node asks for itself.
func TestLeaseFailedElsewhereIsNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{}
		db.set("k", "v")
		_, _, ls := leased(t, 3, db, func(c *LoaderConfig) {
			c.TTL, c.StaleOnErrorFor, c.RetryAfter = time.Second, time.Second, 10*time.Second
		})
		getAll(t, ls, db, "k", "v")
		errDown := errors.New("down")
		db.fail(errDown)
		db.slow(10 * time.Millisecond)
		testkit.Advance(time.Second)
		elsewhere := 0
		for _, l := range ls {
			if r := l.GetResult(t.Context(), "k"); r.Err == ErrFillElsewhere {
				elsewhere++
			}
		}
		if elsewhere == 0 {
			t.Error("nobody has heard of a failure of another node")
		}
		testkit.Advance(time.Second) // nothing is left
		for i, l := range ls {
			if _, err := l.Get(t.Context(), "k"); err != errDown {
				t.Errorf("node %d: %v", i+1, err)
			}
		}
	})
}

// A node whose slots are taken has no lease while an idle node wants it.
func TestLeaseSlotComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const query = time.Second
		_, bs, ls := leased(t, 2, &testDB{}, func(c *LoaderConfig) {
			c.MaxConcurrent, c.FillTimeout = 1, 5*time.Second
			c.Fill = func(context.Context, string) (Loaded, error) {
				testkit.Advance(query)
				return Loaded{Value: "v"}, nil
			}
		})
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() { ls[0].Get(t.Context(), fmt.Sprint("k", i)) })
			testkit.Advance(time.Millisecond)
		}
		start := time.Now()
		loaded(t, ls[1], "k29", "v")
		if took := time.Since(start); took > query+leaseExtra {
			t.Errorf("the idle node's Get took %v", took)
		}
		wg.Wait()
		if n := bs[0].Stats().Fills + bs[1].Stats().Fills; n != 30 {
			t.Errorf("%d fills of 30 keys", n)
		}
	})
}

// The same for a batch: its leases are asked for when it has a slot, and given away if one is granted
// while it has none.
func TestLeaseGetManySlotComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{took: time.Second}
		_, bs, ls := leased(t, 3, db, func(c *LoaderConfig) {
			c.MaxConcurrent, c.FillTimeout = 1, 30*time.Second
			c.FillMany = db.fillMany
		})
		keys := make([]string, 10)
		for i := range keys {
			keys[i] = keyGrantedBy(t, bs, 2) + fmt.Sprint(i)
			db.set(keys[i], "v")
		}
		db.set("busy", "v")
		db.slow(5 * time.Second)
		go ls[0].Get(t.Context(), "busy")
		synctest.Wait()
		db.slow(100 * time.Millisecond)
		go ls[0].GetMany(t.Context(), keys) // it queues
		synctest.Wait()
		start := time.Now()
		loaded(t, ls[1], keys[3], "v")
		if took := time.Since(start); took > db.took+leaseExtra {
			t.Errorf("the idle node's Get took %v", took)
		}
		testkit.Advance(10 * time.Second)

		// The idle node has a lease when the batch has its slot, and leaves it while that has none.
		for _, b := range bs {
			testkit.Must(t, b.Clear())
		}
		testkit.Advance(time.Second)
		db.slow(2 * time.Second)
		ctx, leave := context.WithCancel(t.Context())
		go ls[1].Get(ctx, keys[3])
		synctest.Wait()
		db.slow(100 * time.Millisecond)
		go ls[0].GetMany(t.Context(), keys)
		testkit.Advance(500 * time.Millisecond) // all but that one are there
		db.set("busy", "v")
		db.slow(10 * time.Second)
		go ls[0].Get(t.Context(), "busy")
		synctest.Wait()
		db.slow(100 * time.Millisecond)
		leave() // the batch is the first in the queue
		synctest.Wait()
		start = time.Now()
		loaded(t, ls[2], keys[3], "v")
		if took := time.Since(start); took > db.took+leaseExtra {
			t.Errorf("the node with a free slot took %v", took)
		}
	})
}

// While it waits for another node's fill, a load has no slot that another key needs.
func TestLeaseGivesTheSlotBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := leaseUnderWay(t, func(c *LoaderConfig) { c.MaxConcurrent = 1 })
		wait := x.others(t, 0, 1, 3, 4)
		x.db.slow(10 * time.Millisecond)
		x.db.set("other", "v")
		start := time.Now()
		loaded(t, x.ls[2], "other", "v")
		if took := time.Since(start); took != x.db.took {
			t.Errorf("another key took %v", took)
		}
		if took := wait(); took > 2*time.Second {
			t.Errorf("the key took %v", took)
		}
	})
}

// A lease that is granted while all slots are taken goes to who has one.
func TestLeaseWithoutASlotIsDeclined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := leaseUnderWay(t, func(c *LoaderConfig) {
			c.MaxConcurrent, c.FillTimeout = 1, time.Minute
		})
		busy := x.others(t, 0, 1, 3, 4) // it is the first in the queue,
		free := x.others(t, 0, 1, 2, 4)
		x.db.set("other", "v")
		x.db.slow(10 * time.Second)
		go x.ls[2].Get(t.Context(), "other") // and has no slot
		synctest.Wait()
		x.db.slow(10 * time.Millisecond)
		start := time.Now()
		x.leave()
		if free(); time.Since(start) > x.db.took {
			t.Errorf("the node with a free slot took %v", time.Since(start))
		}
		if busy(); time.Since(start) > x.db.took {
			t.Errorf("the one without took %v", time.Since(start))
		}
	})
}

// Leases of tens of thousands of keys at once cost no ping.
func TestLeaseManyKeysDropNoMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keys = 30_000
		n := memnet.New()
		var bs []*Bcache
		for i := range 3 {
			bs = append(bs, memNode(t, n, uint64(i+1), 0, func(c *Config) { c.MaxKeys = 100_000 }))
		}
		testkit.Advance(5 * time.Second)
		l := newLoader(t, bs[0], nil, func(c *LoaderConfig) {
			c.ClusterWide = true
			c.FillMany = func(_ context.Context, keys []string) (map[string]Loaded, error) {
				m := map[string]Loaded{}
				for _, k := range keys {
					m[k] = Loaded{Value: "v"}
				}
				return m, nil
			}
		})
		var ks []string
		for i := range keys {
			ks = append(ks, fmt.Sprint("k", i))
		}
		values, err := l.GetMany(t.Context(), ks)
		if len(values) != keys || err != nil {
			t.Errorf("%d values, %v", len(values), err)
		}
		for i, b := range bs {
			if n := b.Stats().DroppedMessages; n != 0 {
				t.Errorf("node %d: %d messages dropped", i+1, n)
			}
		}
	})
}

// Deletes, failures, values that aren't cached, evictions: none of it says that leases don't work.
func TestLeasesMissedOfAHealthyCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		var bs []*Bcache
		for i := range 5 {
			bs = append(bs, memNode(t, n, uint64(i+1), 0, func(c *Config) { c.MaxKeys = 30 }))
		}
		testkit.Advance(5 * time.Second)
		ls := loaders(t, bs, &testDB{}, func(c *LoaderConfig) {
			c.ClusterWide, c.TTL, c.StaleOnErrorFor, c.FillTimeout = true, time.Second, time.Second, time.Second
			c.Fill = func(ctx context.Context, _ string) (Loaded, error) {
				testkit.Advance(time.Duration(rand.IntN(20)) * time.Millisecond)
				switch rand.IntN(6) {
				case 0:
					return Loaded{}, errors.New("down")
				case 1:
					return Loaded{Value: "v", TTL: -1}, nil
				case 2:
					return Loaded{}, ErrNotFound
				}
				return Loaded{Value: "v"}, nil
			}
		})
		end := time.Now().Add(time.Duration(testkit.Rounds(30)) * time.Second)
		var wg sync.WaitGroup
		for i, l := range ls {
			for range 10 {
				wg.Go(func() {
					for time.Now().Before(end) {
						key := fmt.Sprint("k", rand.IntN(50))
						switch rand.IntN(20) {
						case 0:
							bs[i].Delete(key)
						case 1:
							ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
							l.Get(ctx, key)
							cancel()
						default:
							l.Get(t.Context(), key)
						}
						testkit.Advance(time.Duration(rand.IntN(20)) * time.Millisecond)
					}
				})
			}
		}
		wg.Wait()
		for i, b := range bs {
			if s := b.Stats(); s.LeasesMissed != 0 || s.LeasesGranted == 0 {
				t.Errorf("node %d: LeasesGranted %d, LeasesMissed %d", i+1, s.LeasesGranted, s.LeasesMissed)
			}
		}
	})
}
