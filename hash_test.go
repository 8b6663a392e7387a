package bcache

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
)

// keyOf returns a key of 8 bytes whose xxHash64 is hash: every step of that hash can be undone.
func keyOf(hash uint64) string {
	const (
		p1, p2, p3 = 11400714785074694791, 14029467366897019727, 1609587929392839161
		p4, p5     = 9650029242287828579, 2870177450012600261
	)
	inverse := func(v uint64) uint64 { // modulo 2^64, by Newton's method
		x := v
		for range 6 {
			x *= 2 - v*x
		}
		return x
	}
	h := hash ^ hash>>32
	h *= inverse(p3)
	h ^= h>>29 ^ h>>58
	h *= inverse(p2)
	h ^= h >> 33
	h = bits.RotateLeft64((h-p4)*inverse(p1), -27) ^ (p5 + 8)
	h = bits.RotateLeft64(h*inverse(p1), -31) * inverse(p2)
	return string(binary.LittleEndian.AppendUint64(nil, h))
}

// crafted are families of keys that somebody may choose who knows the wire's hash.
var crafted = []struct {
	name string
	hash func(i uint64) uint64
}{
	{"equal high 24 and low 8 bits", func(i uint64) uint64 { return 0xABCDEF<<40 | i<<8 }},
	{"equal high 40 bits", func(i uint64) uint64 { return 0xABCDEF0123<<24 | i }},
	{"equal low 40 bits", func(i uint64) uint64 { return i<<40 | 0xABCDEF0123 }},
	{"one bucket", func(i uint64) uint64 { return i<<14 | 77 }},
}

func TestKeyOf(t *testing.T) {
	for _, c := range crafted {
		for i := range uint64(100) {
			if key := keyOf(c.hash(i)); xxhash.Sum64String(key) != c.hash(i) {
				t.Fatalf("%s, %d: the hash of %q is %x", c.name, i, key, xxhash.Sum64String(key))
			}
		}
	}
}

func TestKeyHash(t *testing.T) {
	a, b, again := newKeyHash(), newKeyHash(), keyHash{replay: 5}
	for i := range 100 {
		key := strings.Repeat("k", i)
		if a.of(key) != a.of(strings.Clone(key)) || a.of(key) != a.ofBytes([]byte(key)) {
			t.Errorf("%q has two hashes", key)
		}
		if a.of(key) == b.of(key) {
			t.Errorf("%q has the same hash on two nodes", key)
		}
		same, other := keyHash{replay: 5}, keyHash{replay: 6}
		if again.of(key) != same.ofBytes([]byte(key)) || again.of(key) == other.of(key) {
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
			longest = max(longest, (i-home(slots[i].hash.Load(), slots))&(len(slots)-1)+1)
		}
	}
	return longest
}

// Whatever keys somebody chooses, they are spread over the shards, are found at once, and evict no other
// key than any would.
func TestCraftedKeysAreLikeOthers(t *testing.T) {
	const n = 20_000
	put := map[string]func(r *storeRig, key string){
		"set":         func(r *storeRig, key string) { r.set(key, "v") },
		"received":    func(r *storeRig, key string) { r.remote(key, "v") },
		"provisional": func(r *storeRig, key string) { r.keep(r.now, &record{key: key, val: "v"}, nil, false) },
	}
	for _, c := range crafted {
		for how, put := range put {
			t.Run(c.name+", "+how, func(t *testing.T) {
				r := newStoreRig(storeConfig{maxKeys: 2 * n})
				for i := range uint64(n) {
					put(r, keyOf(c.hash(i)))
				}
				most, longest, average := 0, 0, n/r.shards()
				for i := range r.table {
					if sh := r.table[i].Load(); sh != nil {
						most, longest = max(most, sh.index.n), max(longest, longestSearch(&sh.index))
					}
				}
				if most > 2*average || longest > 200 {
					t.Errorf("a shard has %d keys, %d on average; a search takes %d steps", most, average, longest)
				}
				if r.len() != n || r.stats().evictions != 0 {
					t.Errorf("%d of %d keys are held, %d were evicted", r.len(), n, r.stats().evictions)
				}
			})
		}
	}
}

// A key that has the wire's hash of another one doesn't evict that.
func TestCraftedKeyEvictsNobody(t *testing.T) {
	r := newStoreRig(storeConfig{maxKeys: 10})
	a := "sixteen bytes..."
	b := sameHash(a, 4711)
	r.set(a, "of a")
	r.set(b, "of b")
	for key, want := range map[string]string{a: "of a", b: "of b"} {
		if got, ok := r.get(key, storeNoWall); got != want || !ok {
			t.Errorf("got %q %v, want %q", got, ok, want)
		}
	}
	storeCheck(t, r.store)
}

// Fills of keys that somebody has chosen don't share a group.
func TestCraftedFillsAreSpread(t *testing.T) {
	hash := newKeyHash()
	for _, c := range crafted {
		flights, loads := newFlights(hash), newLoads(hash)
		ofFlights, ofLoads := map[*flightShard]int{}, map[*loadShard]int{}
		for i := range uint64(6400) {
			ofFlights[flights.of(keyOf(c.hash(i)))]++
			ofLoads[loads.of(keyOf(c.hash(i)))]++
		}
		for _, n := range ofFlights {
			if n > 200 {
				t.Errorf("%s: %d of 6,400 fills in one of 64 groups", c.name, n)
			}
		}
		for _, n := range ofLoads {
			if n > 200 {
				t.Errorf("%s: %d of 6,400 loads in one of 64 groups", c.name, n)
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
	for group := range a.store.groups() {
		for shard := 0; shard < a.store.shards(); {
			recs, next := a.store.groupStep(nil, a.store.groups(), group, shard)
			if next > shard+16 {
				t.Fatalf("a step looks at %d shards", next-shard)
			}
			most, shard = max(most, len(recs)), next
		}
	}
	if groups := a.store.groups(); groups < 8 || most > 3*stepRecords {
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

// BenchmarkCraftedBucket says for how long the locks of shards are held when a million keys are in one
// bucket.
func BenchmarkCraftedBucket(b *testing.B) {
	for b.Loop() {
		r := newStoreRig(storeConfig{maxKeys: storeMillion})
		times := map[string][]time.Duration{}
		timed := func(name string, f func()) {
			t := time.Now()
			f()
			times[name] = append(times[name], time.Since(t))
		}
		for i := range uint64(storeMillion) {
			key := keyOf(i<<14 | 77)
			timed("set", func() { r.set(key, "some value") })
		}
		groups, buf := r.groups(), make([]record, 0, 2*keysPerShard)
		for i := range r.table {
			if sh := r.table[i].Load(); sh != nil {
				timed("group", func() { r.appendGroup(buf[:0], sh, groups, 77%groups) })
			}
		}
		floors := []bucketFloor{{77, r.stamp / 2}}
		streamed := newKeySet()
		for i := range r.table {
			if sh := r.table[i].Load(); sh != nil {
				timed("drop", func() {
					r.dropStale(sh, nil, func(key string, bucket int, stamp uint64) bool {
						return bucket == 77 && stamp <= floors[0].stamp && !streamed.has(key)
					})
				})
			}
		}
		r.apply(r.now, &record{kind: kindClear, version: version{r.stamp, 1}}, true)
		for i := range r.table {
			if sh := r.table[i].Load(); sh != nil {
				timed("sweep", func() { r.sweepSome(sh, r.now) })
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
