package store

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/keyhash"
	"github.com/iwanbk/bcache/internal/testkit"
)

func TestKeyHash(t *testing.T) {
	a, b, again := keyhash.New(), keyhash.New(), keyhash.Hash{Replay: 5}
	for i := range 100 {
		key := strings.Repeat("k", i)
		if a.Of(key) != a.Of(strings.Clone(key)) || a.Of(key) != a.OfBytes([]byte(key)) {
			t.Errorf("%q has two hashes", key)
		}
		if a.Of(key) == b.Of(key) {
			t.Errorf("%q has the same hash on two nodes", key)
		}
		same, other := keyhash.Hash{Replay: 5}, keyhash.Hash{Replay: 6}
		if again.Of(key) != same.OfBytes([]byte(key)) || again.Of(key) == other.Of(key) {
			t.Errorf("%q isn't repeated", key)
		}
	}
}

// longestSearch returns how many slots are looked at to find the entry that is hardest to find.
func longestSearch(x *index) (longest int) {
	p := x.slots.Load()
	if p == nil {
		return 0
	}
	slots := *p
	for i := range slots {
		if slots[i].e.Load() != nil {
			longest = max(longest, distance(home(slots[i].tag(), slots), i, slots)+1)
		}
	}
	return longest
}

// Whatever keys somebody chooses, they are spread over the shards, are found at once, and evict no other
// key than any would.
func TestCraftedKeysAreLikeOthers(t *testing.T) {
	const n = 20_000
	put := map[string]func(r *storeRig, key string){
		"set":      func(r *storeRig, key string) { r.set(key, "v") },
		"received": func(r *storeRig, key string) { r.remote(key, "v") },
		"provisional": func(r *storeRig, key string) {
			r.Fills.Keep(r.now, r.Epochs.Now(), &delta.Record{Key: key, Val: "v"}, nil, false)
		},
	}
	for _, c := range testkit.Crafted {
		for how, put := range put {
			t.Run(c.Name+", "+how, func(t *testing.T) {
				r := newStoreRig(Config{MaxKeys: 2 * n})
				for i := range uint64(n) {
					put(r, testkit.KeyOf(c.Hash(i)))
				}
				most, longest, average := 0, 0, n/r.Shards()
				for i := range r.Shards() {
					if sh := r.table.at(i); sh != nil {
						most, longest = max(most, sh.entries.index.n), max(longest, longestSearch(&sh.entries.index))
					}
				}
				if most > 2*average || longest > 200 {
					t.Errorf("a shard has %d keys, %d on average; a search takes %d steps", most, average, longest)
				}
				if r.Len() != n || r.Stats().Evictions != 0 {
					t.Errorf("%d of %d keys are held, %d were evicted", r.Len(), n, r.Stats().Evictions)
				}
			})
		}
	}
}

// A key that has the wire's hash of another one doesn't evict that.
func TestCraftedKeyEvictsNobody(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 10})
	a := "sixteen bytes..."
	b := sameHash(a, 4711)
	r.set(a, "of a")
	r.set(b, "of b")
	for key, want := range map[string]string{a: "of a", b: "of b"} {
		if got, ok := r.Get(key, storeNoWall); got != want || !ok {
			t.Errorf("got %q %v, want %q", got, ok, want)
		}
	}
	storeCheck(t, r.Store)
}

// BenchmarkCraftedBucket says for how long the locks of shards are held when a million keys are in one
// bucket.
func BenchmarkCraftedBucket(b *testing.B) {
	for b.Loop() {
		r := newStoreRig(Config{MaxKeys: storeMillion})
		times := map[string][]time.Duration{}
		timed := func(name string, f func()) {
			t := time.Now()
			f()
			times[name] = append(times[name], time.Since(t))
		}
		for i := range uint64(storeMillion) {
			key := testkit.KeyOf(i<<14 | 77)
			timed("set", func() { r.set(key, "some value") })
		}
		groups, buf := r.Sync.Groups(), make([]delta.Record, 0, 2*keysPerShard)
		for i := range r.Shards() {
			if sh := r.table.at(i); sh != nil {
				timed("group", func() { r.Sync.appendGroup(buf[:0], sh, groups, 77%groups) })
			}
		}
		floors := []delta.BucketFloor{{Bucket: 77, Stamp: r.stamp / 2}}
		streamed := NewKeySet()
		for i := range r.Shards() {
			if sh := r.table.at(i); sh != nil {
				timed("drop", func() {
					r.Sync.dropStale(r.now, sh, nil, func(key string, bucket int, stamp uint64) bool {
						return bucket == 77 && stamp <= floors[0].Stamp && !streamed.has(key)
					})
				})
			}
		}
		r.Apply(r.now, &delta.Record{Kind: delta.KindClear, Version: delta.Version{Stamp: r.stamp, Origin: 1}}, true)
		for i := range r.Shards() {
			if sh := r.table.at(i); sh != nil {
				timed("sweep", func() { r.Sweeper.sweepSome(sh, r.now) })
			}
		}
		for name, d := range times { // the maximum is the scheduler's or the collector's as a rule
			slices.Sort(d)
			b.ReportMetric(float64(d[len(d)/2].Microseconds()), name+"-p50-us")
			b.ReportMetric(float64(d[len(d)*99/100].Microseconds()), name+"-p99-us")
			b.ReportMetric(float64(d[len(d)-1].Microseconds()), name+"-max-us")
		}
	}
	b.ReportMetric(0, "ns/op")
}
