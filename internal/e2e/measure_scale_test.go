package e2e_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/bcachetest"
	"github.com/iwanbk/bcache/internal/testkit"
)

// What a Delete of a hot key costs the database when there are many nodes, in virtual time: what they
// tell each other takes a millisecond, a query 20.
func TestMeasureScaleHotKey(t *testing.T) {
	measuring(t)
	t.Logf("a hot key, asked for every %v on each node, deleted every %v, a query takes 20ms", hotEvery, hotUpdate)
	t.Logf("%5s  %18s  %9s  %9s", "nodes", "queries per Delete", "hits", "worst Get")
	most := 0.0
	for _, n := range []int{5, 20, 50} {
		synctest.Test(t, func(t *testing.T) {
			c := bcachetest.New(t, n, bcache.Config{MaxKeys: 1000})
			c.Delay(time.Millisecond)
			h := &hotKey{db: &versionedDB{took: 20 * time.Millisecond}}
			h.end = func(b *bcache.Bcache) error { return b.Delete("hot") }
			for i := range n {
				l, err := bcache.NewLoader(c.Node(i), bcache.LoaderConfig{
					Fill: h.db.fill, TTL: time.Minute, FillTimeout: 10 * time.Second, ClusterWide: true,
				})
				testkit.Ok(t, err)
				h.nodes, h.loaders = append(h.nodes, c.Node(i)), append(h.loaders, l)
			}
			queries, hits, worst := h.run(t)
			t.Logf("%5d  %18.2f  %7.1f %%  %9v", n, queries, 100*hits, worst.Round(time.Millisecond))
			most = max(most, queries)
		})
	}
	if most > 1.5 {
		t.Errorf("%.2f queries per Delete", most)
	}
}
