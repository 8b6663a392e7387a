package bcache

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// loaders makes a Loader for each node, all with the same database and configuration.
func loaders(t *testing.T, nodes []*Bcache, db *testDB, edit func(*LoaderConfig)) (ls []*Loader) {
	t.Helper()
	for _, b := range nodes {
		ls = append(ls, newLoader(t, b, db.fill, edit))
	}
	return ls
}

// What one node's fill brought, all nodes treat alike: those that join later too.
func TestLoaderReplicates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, nodes := three(t)
		db := &testDB{}
		db.set("k", "old")
		edit := func(c *LoaderConfig) {
			c.RefreshAhead, c.StaleFor, c.NegativeTTL = 0.5, 20*time.Second, 100*time.Second
		}
		ls := loaders(t, nodes, db, edit)
		loaded(t, ls[0], "k", "old")
		if _, err := ls[0].Get(t.Context(), "none"); !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
		synctest.Wait()
		advance(2 * time.Second)
		joiner := memNode(t, net, 9, 0, func(c *Config) { c.Peers = []string{"mem:1"} })
		advance(2 * time.Second)
		must(t, joiner.WaitSynced(t.Context()))
		nodes = append(nodes, joiner)
		ls = loaders(t, nodes, db, edit)
		first := nodes[0].store
		for i, b := range nodes {
			for _, key := range []string{"k", "none"} {
				want, _ := first.peek(key)
				if got, ok := b.store.peek(key); !ok || got != want {
					t.Errorf("node %d holds %+v, node 0 %+v", i, got, want)
				}
			}
			loaded(t, ls[i], "k", "old")
			if _, err := ls[i].Get(t.Context(), "none"); err != ErrNotFound {
				t.Errorf("node %d: %v", i, err)
			}
		}
		if n := db.asked(); n != 2 {
			t.Fatalf("%d queries", n)
		}

		// A refresh by one node is a refresh for all.
		db.set("k", "new")
		advance(30 * time.Second)
		loaded(t, ls[3], "k", "old")
		synctest.Wait()
		for _, l := range ls {
			loaded(t, l, "k", "new")
		}
		if n := db.asked(); n != 3 {
			t.Fatalf("%d queries", n)
		}
		advance(70 * time.Second) // its deadline was 10 s ago
		for _, b := range nodes {
			miss(t, b, "k")
		}
		db.took = time.Second
		for _, l := range ls {
			stale(t, l, "k", "new", nil)
		}
		advance(time.Second)
		synctest.Wait()

		// A Set, wherever, ends what is known to be missing.
		must(t, nodes[2].Set("none", "some", 60))
		synctest.Wait()
		for _, l := range ls {
			loaded(t, l, "none", "some")
		}
	})
}

// A refresh in the background doesn't beat what another node writes meanwhile, whatever the
// clocks say within MaxClockSkew, and whichever arrives first.
func TestLoaderRefreshNeverBeatsAWrite(t *testing.T) {
	const skew = 500 * time.Millisecond
	for _, clocks := range [][]time.Duration{{0, 0, 0}, {skew, 0, 0}, {0, skew, 0}} {
		for _, late := range []uint64{0, 1, 2, 3} {
			for _, del := range []bool{true, false} {
				synctest.Test(t, func(t *testing.T) {
					net, nodes := three(t, clocks...)
					db := &testDB{}
					db.set("k", "old")
					ls := loaders(t, nodes, db, func(c *LoaderConfig) { c.StaleFor = time.Hour })
					loaded(t, ls[0], "k", "old")
					advance(time.Minute)
					db.took = time.Second
					stale(t, ls[0], "k", "old", nil)
					synctest.Wait() // the refresh has begun
					release := func() {}
					if late != 0 {
						release = net.hold(late)
					}
					db.set("k", "new")
					if del {
						must(t, nodes[1].Delete("k"))
					} else {
						must(t, nodes[1].Set("k", "new", 3600))
					}
					advance(2 * time.Second)
					release()
					synctest.Wait()
					for i, l := range ls {
						if r := l.GetResult(t.Context(), "k"); r.Err != nil || r.Value != "new" {
							t.Errorf("clocks %v, late %d, delete %v: node %d returns %+v", clocks, late, del, i+1, r)
						}
					}
				})
			}
		}
	}
}

// leased is a cluster of nodes that are synced, with a Loader each that fills ClusterWide.
func leased(t *testing.T, n int, db *testDB, edits ...func(*LoaderConfig)) (*memNet, []*Bcache, []*Loader) {
	t.Helper()
	net := newMemNet()
	var nodes []*Bcache
	for i := range n {
		nodes = append(nodes, memNode(t, net, uint64(i+1), 0))
	}
	advance(3 * time.Second) // they have told each other that they are synced
	synctest.Wait()
	return net, nodes, loaders(t, nodes, db, func(c *LoaderConfig) {
		c.ClusterWide = true
		for _, e := range edits {
			e(c)
		}
	})
}

// getters calls Get once on every node, and returns how often the database was asked, and how
// long the slowest took.
func getAll(t *testing.T, ls []*Loader, db *testDB, key, want string) (queries int, took time.Duration) {
	t.Helper()
	before, start := db.asked(), time.Now()
	var wg sync.WaitGroup
	var slowest atomic.Int64
	for i, l := range ls {
		wg.Go(func() {
			if val, err := l.Get(t.Context(), key); val != want || err != nil {
				t.Errorf("node %d: Get(%q) = %q, %v", i, key, val, err)
			}
			if d := int64(time.Since(start)); d > slowest.Load() {
				slowest.Store(d)
			}
		})
	}
	wg.Wait()
	synctest.Wait()
	return db.asked() - before, time.Duration(slowest.Load())
}

func TestLeaseOneFillForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &testDB{took: 50 * time.Millisecond}
		db.set("k", "v")
		_, nodes, ls := leased(t, 10, db, func(c *LoaderConfig) { c.TTL = time.Second })
		for i := range 30 {
			if n, took := getAll(t, ls, db, "k", "v"); n != 1 || took != db.took {
				t.Errorf("expiry %d: %d queries, %v", i, n, took)
			}
			advance(time.Second)
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
		advance(time.Second)
		errDown := errors.New("down")
		db.fail(errDown)
		db.mu.Lock()
		db.took = time.Second
		db.mu.Unlock()
		go ls[0].Get(t.Context(), key)
		advance(100 * time.Millisecond)
		if r := ls[1].GetResult(t.Context(), key); r != (Result{"v", true, ErrFillElsewhere}) {
			t.Fatalf("%+v", r)
		}
		must(t, nodes[0].Delete(key))
		db.fail(nil)
		synctest.Wait()
		loaded(t, ls[1], key, "v")
	})
}
