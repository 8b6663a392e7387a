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
	"github.com/iwanbk/bcache/internal/lease"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
	"github.com/iwanbk/bcache/internal/wire"
)

// granterOf says which of the nodes grants the lease of a key.
func granterOf(t *testing.T, nodes []*Bcache, key string) int {
	t.Helper()
	id := nodes[0].peer.replica.Leases.Granter(key)
	if id == 0 {
		t.Fatal("nobody grants leases")
	}
	for i, b := range nodes {
		if b.peer.replica.ID == id {
			return i
		}
	}
	t.Fatalf("node %x isn't one of them", id)
	return 0
}

// keyGrantedBy returns a key whose lease node i grants.
func keyGrantedBy(t *testing.T, nodes []*Bcache, i int) string {
	for n := 0; ; n++ {
		if key := fmt.Sprint("key", n); granterOf(t, nodes, key) == i {
			return key
		}
	}
}

// What is true of leases, with the database asked by one node and another one granting.
type leaseTest struct {
	net     *memnet.Net
	nodes   []*Bcache
	ls      []*Loader
	db      *testDB
	key     string
	granter int
	holder  int
	leave   func() // the holder's only caller disconnects
}

// leaseUnderWay starts a fill of two seconds on one node.
func leaseUnderWay(t *testing.T, edits ...func(*LoaderConfig)) *leaseTest {
	t.Helper()
	x := &leaseTest{db: &testDB{took: 2 * time.Second}, granter: 0, holder: 1}
	x.net, x.nodes, x.ls = leased(t, 5, x.db, edits...)
	x.key = keyGrantedBy(t, x.nodes, x.granter)
	x.db.set(x.key, "v")
	ctx, leave := context.WithCancel(t.Context())
	x.leave = leave
	go x.ls[x.holder].Get(ctx, x.key)
	synctest.Wait()
	if n := x.db.asked(); n != 1 {
		t.Fatalf("%d queries", n)
	}
	return x
}

// others has all nodes but some wait for the key, and returns what waits for them.
func (x *leaseTest) others(t *testing.T, but ...int) (wait func() time.Duration) {
	t.Helper()
	start := time.Now()
	var wg sync.WaitGroup
	for i, l := range x.ls {
		skip := false
		for _, b := range but {
			skip = skip || b == i
		}
		if skip {
			continue
		}
		wg.Go(func() {
			if val, err := l.Get(t.Context(), x.key); val != "v" || err != nil {
				t.Errorf("node %d: %q, %v", i, val, err)
			}
		})
	}
	synctest.Wait()
	return func() time.Duration {
		wg.Wait()
		return time.Since(start)
	}
}

// All who waited for it have waited enough: each fills for itself.
func TestLeaseHolderCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := leaseUnderWay(t)
		wait := x.others(t, x.holder)
		testkit.Advance(time.Second)
		testkit.Must(t, x.nodes[x.holder].Close())
		if took := wait(); took != 3*time.Second || x.db.asked() != 5 {
			t.Errorf("%d queries, %v", x.db.asked(), took)
		}
	})
}

// Without a word, as a killed process.
func TestLeaseHolderDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := leaseUnderWay(t)
		wait := x.others(t, x.holder)
		testkit.Advance(time.Second)
		x.net.Filter(func(from, to uint64, _ []byte) bool { return from != 2 && to != 2 })
		x.net.Relink = time.Hour
		for id := uint64(1); id <= 5; id++ {
			if id != 2 {
				x.nodes[x.holder].peer.transport.Disconnect(id)
			}
		}
		if took := wait(); took != 3*time.Second || x.db.asked() != 5 {
			t.Errorf("%d queries, %v", x.db.asked(), took)
		}
	})
}

// It hangs: then the lease runs out.
func TestLeaseHolderHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := leaseUnderWay(t, func(c *LoaderConfig) { c.FillTimeout = 4 * time.Second })
		wait := x.others(t, x.holder)
		x.net.Filter(func(from, _ uint64, _ []byte) bool { return from != 2 })
		if took := wait(); took != 4*time.Second+fill.FillSlack+x.db.took || x.db.asked() != 5 {
			t.Errorf("%d queries, %v", x.db.asked(), took)
		}
	})
}

func TestLeaseGranterCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := leaseUnderWay(t)
		wait := x.others(t, x.holder, x.granter)
		testkit.Advance(time.Second)
		testkit.Must(t, x.nodes[x.granter].Close())
		// The others ask another node, which knows nothing of the lease: one more query.
		if took := wait(); took > 3*time.Second || x.db.asked() > 2 {
			t.Errorf("%d queries, %v", x.db.asked(), took)
		}
	})
}

// It hangs: who asks it fills for itself after 100 ms, who waits already within a second more.
func TestLeaseGranterHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := leaseUnderWay(t, func(c *LoaderConfig) { c.FillTimeout = 10 * time.Second })
		x.db.took = 10 * time.Millisecond
		wait := x.others(t, x.holder, x.granter, 4)
		x.net.Filter(func(from, _ uint64, _ []byte) bool { return from != 1 })
		start := time.Now()
		loaded(t, x.ls[4], x.key, "v")
		if took := time.Since(start); took != lease.Reach+x.db.took {
			t.Errorf("it took %v", took)
		}
		if took := wait(); took > lease.Again+lease.Reach+x.db.took {
			t.Errorf("the others took %v", took)
		}
		if n := x.nodes[4].Stats().LeasesMissed; n != 1 {
			t.Errorf("LeasesMissed = %d", n)
		}
	})
}

// After a fill that fails nobody waits for another one.
func TestLeaseFillFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := leaseUnderWay(t)
		x.db.fail(nil)
		b := x.nodes[x.holder]
		errDown := errors.New("down")
		failing := newLoader(t, b, func(context.Context, string) (Loaded, error) {
			testkit.Advance(time.Second)
			return Loaded{}, errDown
		}, func(c *LoaderConfig) { c.ClusterWide = true })
		key := "x" + keyGrantedBy(t, x.nodes, x.granter)
		x.db.set(key, "v")
		x.key = key
		testkit.Advance(3 * time.Second)
		start := time.Now()
		go failing.Get(t.Context(), key)
		synctest.Wait()
		before := x.db.asked()
		took := x.others(t, x.holder)()
		if took != time.Second+x.db.took || x.db.asked() != before+4 || time.Since(start) != took {
			t.Errorf("%d queries, %v", x.db.asked()-before, took)
		}
	})
}

// A value that can't be cached isn't waited for.
func TestLeaseUncached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := leaseUnderWay(t)
		wait := x.others(t, x.holder)
		testkit.Advance(time.Second)
		testkit.Must(t, x.nodes[3].Delete(x.key)) // the fence: for MaxClockSkew fills aren't cached
		testkit.Advance(time.Second)
		synctest.Wait()
		if took := wait(); took > 2*x.db.took {
			t.Errorf("it took %v", took)
		}
	})
}

// Who waits obeys its own context, wherever the fill runs; and then it isn't given the lease.
func TestLeaseWaiterLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := leaseUnderWay(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := x.ls[2].Get(ctx, x.key); err != context.DeadlineExceeded || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		synctest.Wait()
		for i, b := range x.nodes {
			if _, waiting, asks := b.peer.replica.Leases.Load(); waiting != 0 || asks > 1 {
				t.Errorf("node %d: %d turns wait, %d asks", i, waiting, asks)
			}
		}
		testkit.Advance(3 * time.Second)
		if n := x.db.asked(); n != 1 {
			t.Errorf("%d queries", n)
		}
	})
}

// Who has nobody to ask, or a key that is too long, fills for itself.
func TestLeaseNobodyToAsk(t *testing.T) {
	l := newLoader(t, localNode(t), func(context.Context, string) (Loaded, error) { return Loaded{Value: "v"}, nil },
		func(c *LoaderConfig) { c.ClusterWide = true })
	loaded(t, l, string(make([]byte, wire.MaxLeaseKey+1)), "v")
	loaded(t, l, "k", "v")
}

// GetMany takes leases for all its keys, fills at once those that it gets, and waits for the rest.
func TestLeaseGetMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{took: time.Second}
		_, nodes, ls := leased(t, 3, db, func(c *LoaderConfig) { c.FillMany = db.fillMany })
		keys := []string{"a", "b", "c", "d", "e", "f"}
		for _, key := range keys {
			db.set(key, "value of "+key)
		}
		start := time.Now()
		go ls[0].Get(t.Context(), "c")
		synctest.Wait()
		testkit.Advance(100 * time.Millisecond)
		var wg sync.WaitGroup
		for _, l := range ls[1:] {
			wg.Go(func() { wantMany(t, l, "a b c d e f", "a b c d e f") })
			synctest.Wait()
		}
		wg.Wait()
		if took := time.Since(start); took != 1100*time.Millisecond || db.asked() != 2 {
			t.Errorf("%v, asked for %q", took, db.queries)
		}
		synctest.Wait()
		for _, b := range nodes {
			for _, key := range keys {
				get(t, b, key, "value of "+key)
			}
		}
	})
}

// The database is down for five seconds: one try per RetryAfter of all nodes, and nobody waits but for
// that.
func TestLeaseDatabaseDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errDown := errors.New("down")
		db := &testDB{took: 10 * time.Millisecond}
		db.set("k", "v")
		_, _, ls := leased(t, 10, db, func(c *LoaderConfig) { c.TTL, c.StaleOnErrorFor = time.Second, time.Hour })
		getAll(t, ls, db, "k", "v")
		db.fail(errDown)
		testkit.Advance(time.Second)
		before, slow, gets := db.asked(), 0, 0
		for range 250 { // 5 s
			for _, l := range ls {
				start := time.Now()
				if r := l.GetResult(t.Context(), "k"); r.Value != "v" || !r.Stale || r.Err != errDown && r.Err != ErrFillElsewhere {
					t.Fatalf("%+v", r)
				}
				if gets++; time.Since(start) > 0 {
					slow++
				}
			}
			testkit.Advance(20 * time.Millisecond)
		}
		if n := db.asked() - before; n < 3 || n > 6 {
			t.Errorf("%d tries in 5 s and a bit", n)
		}
		for i := before; i < db.asked()-1; i++ {
			if gap := db.times[i+1].Sub(db.times[i]); gap < time.Second {
				t.Errorf("it was tried again after %v", gap)
			}
		}
		if slow > len(ls) { // the first time
			t.Errorf("%d of %d Gets waited", slow, gets)
		}
		db.fail(nil)
		testkit.Advance(time.Second)
		if n, took := getAll(t, ls, db, "k", "v"); n != 1 || took != 0 {
			t.Errorf("when it is back: %d queries, %v", n, took)
		}
		testkit.Advance(db.took)
		synctest.Wait()
		for _, l := range ls {
			if r := l.GetResult(t.Context(), "k"); r != (Result{Value: "v"}) {
				t.Errorf("%+v", r)
			}
		}
	})
}

// A row that is missing is asked for once per NegativeTTL, by all nodes.
func TestLeaseNotFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{took: 10 * time.Millisecond}
		_, _, ls := leased(t, 10, db, func(c *LoaderConfig) { c.NegativeTTL = time.Second })
		for range 5 {
			before := db.asked()
			var wg sync.WaitGroup
			for _, l := range ls {
				wg.Go(func() {
					for range 40 {
						if _, err := l.Get(t.Context(), "k"); !errors.Is(err, ErrNotFound) {
							t.Error(err)
						}
						testkit.Advance(20 * time.Millisecond)
					}
				})
			}
			wg.Wait()
			if n := db.asked() - before; n != 1 {
				t.Errorf("%d queries", n)
			}
			testkit.Advance(time.Second)
		}
	})
}
