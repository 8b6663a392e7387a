package replica

import (
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/store"
	"github.com/iwanbk/bcache/internal/testkit"
)

// What else keys that somebody has chosen can't do, see hash_test.go.

// A full sync of many keys that all are in one bucket, and so in one group, is made in steps, and brings
// them all.
func TestCraftedGroupIsSyncedInSteps(t *testing.T) {
	const n = 100_000
	w := newNetwork(t)
	edit := func(c *Config) { c.Store.MaxKeys, c.Store.GroupKeys, c.Store.StepShards = 2*n, n/8, 16 }
	a, b := w.add(1, true, edit), w.add(2, false, edit)
	for i := range uint64(n) {
		testkit.Must(t, a.Set(w.now, testkit.KeyOf(i<<14|77), "v", 0))
	}
	most := 0
	for group := range a.Store.Sync.Groups() {
		for shard := 0; shard < a.Store.Shards(); {
			recs, next := a.Store.Sync.GroupStep(nil, a.Store.Sync.Groups(), group, shard)
			if next > shard+16 {
				t.Fatalf("a step looks at %d shards", next-shard)
			}
			most, shard = max(most, len(recs)), next
		}
	}
	if groups := a.Store.Sync.Groups(); groups < 8 || most > 3*store.StepRecords {
		t.Errorf("%d groups, and a step of %d records", groups, most)
	}
	w.connect(1, 2)
	for i := 0; !b.standing.ready.synced && i < 10_000; i++ { // some steps send nothing
		w.step()
		if i%1000 == 999 {
			w.pass(time.Second)
		}
	}
	if !b.standing.ready.synced || b.Store.Len() != n {
		t.Errorf("synced %v, with %d of %d keys", b.standing.ready.synced, b.Store.Len(), n)
	}
}
