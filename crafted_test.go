package bcache

import (
	"testing"
	"time"
)

// What else keys that somebody has chosen can't do, see hash_test.go.

// Fills of keys that somebody has chosen don't share a group.
func TestCraftedFillsAreSpread(t *testing.T) {
	hash := newKeyHash()
	for _, c := range crafted {
		flights := newFlights(hash)
		ofFlights := map[*flightShard]int{}
		for i := range uint64(6400) {
			ofFlights[flights.of(keyOf(c.hash(i)))]++
		}
		for _, n := range ofFlights {
			if n > 200 {
				t.Errorf("%s: %d of 6,400 fills in one of 64 groups", c.name, n)
			}
		}
	}
}

// A full sync of many keys that all are in one bucket, and so in one group, is made in steps, and brings
// them all.
func TestCraftedGroupIsSyncedInSteps(t *testing.T) {
	const n = 100_000
	w := newWire(t)
	edit := func(c *replicaConfig) { c.store.maxKeys, c.store.groupKeys, c.store.stepShards = 2*n, n/8, 16 }
	a, b := w.add(1, true, edit), w.add(2, false, edit)
	for i := range uint64(n) {
		must(t, a.set(w.now, keyOf(i<<14|77), "v", 0))
	}
	most := 0
	for group := range a.store.sync.groups() {
		for shard := 0; shard < a.store.shards(); {
			recs, next := a.store.sync.groupStep(nil, a.store.sync.groups(), group, shard)
			if next > shard+16 {
				t.Fatalf("a step looks at %d shards", next-shard)
			}
			most, shard = max(most, len(recs)), next
		}
	}
	if groups := a.store.sync.groups(); groups < 8 || most > 3*stepRecords {
		t.Errorf("%d groups, and a step of %d records", groups, most)
	}
	w.connect(1, 2)
	for i := 0; !b.ready.synced && i < 10_000; i++ { // some steps send nothing
		w.step()
		if i%1000 == 999 {
			w.pass(time.Second)
		}
	}
	if !b.ready.synced || b.store.len() != n {
		t.Errorf("synced %v, with %d of %d keys", b.ready.synced, b.store.len(), n)
	}
}
