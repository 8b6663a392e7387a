package bcache

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
)

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
		testkit.Advance(2 * time.Second)
		joiner := memNode(t, net, 9, 0, func(c *Config) { c.Peers = []string{"mem:1"} })
		testkit.Advance(2 * time.Second)
		testkit.Must(t, joiner.WaitSynced(t.Context()))
		nodes = append(nodes, joiner)
		ls = loaders(t, nodes, db, edit)
		first := nodes[0].store
		for i, b := range nodes {
			for _, key := range []string{"k", "none"} {
				want, _ := first.Peek(key)
				if got, ok := b.store.Peek(key); !ok || got != want {
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
		testkit.Advance(30 * time.Second)
		loaded(t, ls[3], "k", "old")
		synctest.Wait()
		for _, l := range ls {
			loaded(t, l, "k", "new")
		}
		if n := db.asked(); n != 3 {
			t.Fatalf("%d queries", n)
		}
		testkit.Advance(70 * time.Second) // its deadline was 10 s ago
		for _, b := range nodes {
			miss(t, b, "k")
		}
		db.took = time.Second
		for _, l := range ls {
			stale(t, l, "k", "new", nil)
		}
		testkit.Advance(time.Second)
		synctest.Wait()

		// A Set, wherever, ends what is known to be missing.
		testkit.Must(t, nodes[2].Set("none", "some", 60))
		synctest.Wait()
		for _, l := range ls {
			loaded(t, l, "none", "some")
		}
	})
}
