package bcache

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const storeWall = int64(1_700_000_000_000)

func storeNow(d time.Duration) instant {
	return instant{wall: storeWall + d.Milliseconds(), mono: d}
}

// A storeRig drives a store the way a replica does: every write gets a greater
// stamp.
type storeRig struct {
	*store
	now   instant
	stamp uint64
}

func newStoreRig(c storeConfig) *storeRig {
	return &storeRig{store: newStore(c), now: storeNow(0), stamp: stampOf(storeWall)}
}

func (r *storeRig) write(rec record, local bool) outcome {
	r.stamp++
	rec.version = version{r.stamp, 1}
	return r.apply(r.now, &rec, local)
}

func (r *storeRig) set(key, val string) outcome    { return r.write(record{key: key, val: val}, true) }
func (r *storeRig) remote(key, val string) outcome { return r.write(record{key: key, val: val}, false) }

func (r *storeRig) setTTL(key, val string, ttl time.Duration) outcome {
	return r.write(record{key: key, val: val, deadline: r.now.wall + ttl.Milliseconds()}, true)
}

func (r *storeRig) del(key string) outcome {
	return r.write(record{key: key, kind: kindTombstone}, true)
}

func (r *storeRig) has(key string) bool {
	_, ok := r.get(key, func() int64 { return r.now.wall })
	return ok
}

func (r *storeRig) pass(d time.Duration) {
	r.now.wall += d.Milliseconds()
	r.now.mono += d
}

func (r *storeRig) sweep() {
	for i := range r.shards() {
		r.sweepShard(r.now, i)
	}
}

func storeNoWall() int64 { panic("the clock isn't needed here") }

func TestStoreOutcomes(t *testing.T) {
	val := func(stamp, origin uint64) record { return record{key: "k", val: "v", version: version{stamp, origin}} }
	of := func(k kind, stamp uint64) record { return record{key: "k", kind: k, version: version{stamp, 5}} }
	late := val(30, 5)
	late.deadline = storeWall
	big := val(30, 5)
	big.val = strings.Repeat("x", 1000)

	for _, tt := range []struct {
		name   string
		before []record
		floor  uint64
		rec    record
		want   outcome
		held   version // afterwards; zero: nothing
		floors uint64  // afterwards
	}{
		{name: "new", rec: val(30, 5), held: version{30, 5}},
		{name: "greater", before: []record{val(20, 5)}, rec: val(30, 5), held: version{30, 5}},
		{name: "same", before: []record{val(30, 5)}, rec: val(30, 5), want: outcomeKept, held: version{30, 5}},
		{name: "smaller", before: []record{val(30, 5)}, rec: val(20, 5), want: outcomeKept, held: version{30, 5}},
		{name: "tie, greater origin", before: []record{val(30, 4)}, rec: val(30, 5), held: version{30, 5}},
		{name: "tie, smaller origin", before: []record{val(30, 6)}, rec: val(30, 5), want: outcomeKept, held: version{30, 6}},
		{name: "at the floor", floor: 30, rec: val(30, 5), want: outcomeRefused, floors: 30},
		{name: "above the floor", floor: 29, rec: val(30, 5), held: version{30, 5}, floors: 29},
		{name: "held, below the floor", before: []record{val(20, 5)}, floor: 40, rec: val(30, 5), held: version{30, 5}, floors: 40},
		{name: "delete", before: []record{val(20, 5)}, rec: of(kindTombstone, 30), held: version{30, 5}},
		{name: "delete of an unknown key", rec: of(kindTombstone, 30), held: version{30, 5}},
		{name: "old delete", before: []record{val(30, 5)}, rec: of(kindTombstone, 20), want: outcomeKept, held: version{30, 5}},
		{name: "set after delete", before: []record{of(kindTombstone, 20)}, rec: val(30, 5), held: version{30, 5}},
		{name: "set before delete", before: []record{of(kindTombstone, 30)}, rec: val(20, 5), want: outcomeKept, held: version{30, 5}},
		{name: "negative", before: []record{val(20, 5)}, rec: of(kindNegative, 30), held: version{30, 5}},
		{name: "forget", before: []record{val(20, 5)}, rec: of(kindForget, 30), want: outcomeForgot, floors: 30},
		{name: "forget a tombstone", before: []record{of(kindTombstone, 20)}, rec: of(kindForget, 30), want: outcomeForgot, floors: 30},
		{name: "forget what is unknown", rec: of(kindForget, 30), want: outcomeForgot, floors: 30},
		{name: "forget something older", before: []record{val(30, 5)}, rec: of(kindForget, 20), want: outcomeKept, held: version{30, 5}},
		{name: "forget, tie", before: []record{val(30, 6)}, rec: of(kindForget, 30), want: outcomeKept, held: version{30, 6}},
		{name: "unknown kind", before: []record{val(20, 5)}, rec: of(kindUnknown+7, 30), want: outcomeForgot, floors: 30},
		{name: "expired on arrival", before: []record{val(20, 5)}, rec: late, want: outcomeExpired, floors: 30},
		{name: "expired on arrival, unknown", rec: late, want: outcomeExpired, floors: 30},
		{name: "expired on arrival, old", before: []record{val(40, 5)}, rec: late, want: outcomeKept, held: version{40, 5}},
		{name: "too big", before: []record{val(20, 5)}, rec: big, want: outcomeTooBig, floors: 30},
		{name: "cleared", before: []record{{kind: kindClear, version: version{30, 9}}}, rec: val(30, 10), want: outcomeCleared},
		{name: "above Clear", before: []record{{kind: kindClear, version: version{29, 9}}}, rec: val(30, 5), held: version{30, 5}},
		{name: "Clear", before: []record{val(20, 5)}, rec: record{kind: kindClear, version: version{20, 1}}},
		{name: "Clear of a tombstone", before: []record{of(kindTombstone, 20)}, rec: record{kind: kindClear, version: version{20, 1}}},
		{name: "Clear, older", before: []record{val(20, 5)}, rec: record{kind: kindClear, version: version{19, 1}}, held: version{20, 5}},
		{name: "Clear twice", before: []record{{kind: kindClear, version: version{30, 9}}}, rec: record{kind: kindClear, version: version{30, 9}}, want: outcomeKept},
		{name: "Clear, tie", before: []record{{kind: kindClear, version: version{30, 9}}}, rec: record{kind: kindClear, version: version{30, 10}}},
		{name: "cleared, then the floor", before: []record{val(20, 5), {kind: kindClear, version: version{25, 1}}}, floor: 30, rec: val(30, 5), want: outcomeRefused, floors: 30},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStore(storeConfig{maxKeys: 10, maxBytes: 1000, deletionDelay: time.Minute})
			for _, rec := range tt.before {
				if o := s.apply(storeNow(0), &rec, true); o != outcomeApplied {
					t.Fatalf("setup: outcome %d", o)
				}
			}
			s.raiseFloor(s.bucketOf("k"), tt.floor)
			if tt.rec.kind == kindValue && tt.want <= outcomeCleared {
				if got := s.admits("k", tt.rec.version); got != (tt.want == outcomeApplied) {
					t.Errorf("admits = %v", got)
				}
			}
			rec := tt.rec
			if o := s.apply(storeNow(0), &rec, true); o != tt.want {
				t.Errorf("outcome %d, want %d", o, tt.want)
			}
			got, _ := s.peek("k")
			if got.version != tt.held {
				t.Errorf("held: %+v, want %+v", got.version, tt.held)
			}
			if tt.want == outcomeApplied && tt.held != (version{}) && tt.rec.kind != kindClear && got != tt.rec {
				t.Errorf("held: %+v, want %+v", got, tt.rec)
			}
			if f := s.floorOf(s.bucketOf("k")); f != tt.floors {
				t.Errorf("floor %d, want %d", f, tt.floors)
			}
			if _, ok := s.get("k", storeNoWall); ok != (got.kind == kindValue && tt.held != (version{})) {
				t.Errorf("get = %v while %+v is held", ok, got)
			}
			storeCheck(t, s)
		})
	}
}

func TestStoreKeepsEveryField(t *testing.T) {
	for _, k := range []kind{kindValue, kindNegative} {
		s := newStore(storeConfig{maxKeys: 10})
		want := record{key: "k\x00\xff", val: "\x00v", version: version{7, 9}, kind: k,
			deadline: storeWall + 5, staleUntil: storeWall + 6, refreshFrom: storeWall + 4}
		rec := want
		s.apply(storeNow(0), &rec, false)
		if got, ok := s.peek(want.key); !ok || got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestStoreEmptyKeyAndValue(t *testing.T) {
	r := newStoreRig(storeConfig{maxKeys: 10})
	r.set("", "")
	if v, ok := r.get("", storeNoWall); v != "" || !ok {
		t.Errorf("got %q, %v", v, ok)
	}
	r.del("")
	if r.has("") {
		t.Error("still there")
	}
}

func TestStoreDeadlines(t *testing.T) {
	r := newStoreRig(storeConfig{maxKeys: 10})
	r.setTTL("short", "", time.Second)
	r.setTTL("shorter", "", time.Minute)
	r.setTTL("shorter", "", time.Second)
	r.setTTL("longer", "", time.Second)
	r.setTTL("longer", "", time.Minute)
	r.setTTL("for ever", "", time.Second)
	r.set("for ever", "")
	r.set("no longer", "")
	r.setTTL("no longer", "", time.Second)

	r.pass(999 * time.Millisecond)
	r.sweep()
	if r.len() != 5 {
		t.Fatalf("%d entries before any deadline", r.len())
	}
	r.pass(time.Millisecond)
	for key, want := range map[string]bool{
		"short": false, "shorter": false, "no longer": false, "longer": true, "for ever": true,
	} {
		if got := r.has(key); got != want {
			t.Errorf("%s: %v before the sweep", key, got)
		}
		if _, ok := r.peek(key); !ok {
			t.Errorf("%s isn't held before the sweep", key)
		}
	}
	rec, _ := r.peek("short")
	r.sweep()
	if r.len() != 2 || r.stats().expirations != 3 {
		t.Errorf("%d entries, %+v after the sweep", r.len(), r.stats())
	}
	if f := r.floorOf(r.bucketOf("short")); f < rec.stamp {
		t.Errorf("floor %d below %d", f, rec.stamp)
	}
	storeCheck(t, r.store)
	r.pass(time.Minute)
	r.sweep()
	if r.len() != 1 || !r.has("for ever") {
		t.Errorf("%d entries in the end", r.len())
	}
}

func TestStoreSweepOfManyDead(t *testing.T) {
	r := newStoreRig(storeConfig{maxKeys: 5000, deletionDelay: time.Second})
	for i := range 4000 {
		r.setTTL(fmt.Sprint(i), "", time.Second)
	}
	for i := range 1000 {
		r.del(fmt.Sprint("d", i))
		r.set(fmt.Sprint("c", i), "")
	}
	if r.len() != 5000 || r.tombstones() != 1000 {
		t.Fatal(r.len(), r.tombstones())
	}
	r.pass(time.Second)
	r.apply(r.now, &record{kind: kindClear, version: version{r.stamp, 2}}, true)
	r.set("last", "")
	r.sweep()
	if r.len() != 1 || r.tombstones() != 0 {
		t.Errorf("%d entries, %d tombstones", r.len(), r.tombstones())
	}
	storeCheck(t, r.store)
}

func TestStoreTombstonesAreCollected(t *testing.T) {
	r := newStoreRig(storeConfig{maxKeys: 10, deletionDelay: 10 * time.Second})
	r.set("a", "")
	r.del("a")
	r.del("b")
	r.pass(5 * time.Second)
	r.del("b") // starts again
	r.pass(5 * time.Second)
	r.now.wall -= 1_000_000 // doesn't matter
	a, _ := r.peek("a")
	r.sweep()
	if _, ok := r.peek("a"); ok || r.tombstones() != 1 {
		t.Errorf("a: %v, %d tombstones", ok, r.tombstones())
	}
	if f := r.floorOf(r.bucketOf("a")); f != a.stamp {
		t.Errorf("floor %d, want %d", f, a.stamp)
	}
	if rec, ok := r.peek("b"); !ok || rec.kind != kindTombstone {
		t.Errorf("b: %+v", rec)
	}
	if o := r.apply(r.now, &record{key: "a", version: a.version}, false); o != outcomeRefused {
		t.Errorf("a came back: outcome %d", o)
	}
	r.pass(5 * time.Second)
	r.sweep()
	if st := r.stats(); r.tombstones() != 0 || st.tombstonesCollected != 2 || st.floorRefusals != 1 {
		t.Errorf("%d tombstones, %+v", r.tombstones(), st)
	}
	storeCheck(t, r.store)
}

func TestStoreTombstoneBounds(t *testing.T) {
	for _, shards := range []int{1, 64} {
		r := newStoreRig(storeConfig{maxKeys: 1, maxTombstones: 100, deletionDelay: time.Hour})
		r.table = make([]atomic.Pointer[shard], shards)
		var first version
		for i := range 1000 {
			r.pass(time.Millisecond)
			r.del(fmt.Sprint(i))
			if i == 0 {
				rec, _ := r.peek("0")
				first = rec.version
			}
			if n := r.tombstones(); n != min(i+1, 100) {
				t.Fatalf("%d shards: %d tombstones after %d", shards, n, i+1)
			}
		}
		if f := r.floorOf(r.bucketOf("0")); f < first.stamp {
			t.Errorf("%d shards: floor %d below %d", shards, f, first.stamp)
		}
		if st := r.stats(); st.tombstonesDropped != 900 || st.tombstonesCollected != 0 {
			t.Errorf("%+v", st)
		}
		if shards == 1 {
			for i := range 1000 {
				if _, ok := r.peek(fmt.Sprint(i)); ok != (i >= 900) {
					t.Fatalf("%d: %v", i, ok)
				}
			}
		}
		storeCheck(t, r.store)

		big := strings.Repeat("k", 16<<20)
		for i := range 6 {
			r.del(fmt.Sprint(big[:16<<20-10], i))
			if n := r.tombBytes.Load(); n > maxTombstoneBytes {
				t.Fatalf("%d bytes", n)
			}
		}
		if n := r.tombstones(); n < 2 {
			t.Errorf("%d shards: %d tombstones", shards, n)
		}
	}
}

func TestStoreDeleteFreesItsPlace(t *testing.T) {
	r := newStoreRig(storeConfig{maxKeys: 2, maxBytes: 10_000})
	r.set("a", "1")
	r.set("b", "1")
	r.del("a")
	if r.len() != 1 || r.bytes() != EntryOverhead+2 {
		t.Fatal(r.len(), r.bytes())
	}
	r.set("c", "1")
	if !r.has("b") || !r.has("c") || r.tombstones() != 1 {
		t.Error("a tombstone counts for MaxKeys")
	}
	r.set("a", "2")
	if r.tombstones() != 0 || !r.has("a") || r.stats().evictions != 1 {
		t.Error(r.tombstones(), r.stats())
	}
}

func TestStoreClear(t *testing.T) {
	r := newStoreRig(storeConfig{maxKeys: 100_000, deletionDelay: time.Hour})
	for i := range 1000 {
		r.set(fmt.Sprint("v", i), "")
		r.del(fmt.Sprint("d", i))
	}
	v := version{r.stamp, 3}
	r.apply(r.now, &record{kind: kindClear, version: v}, true)
	r.set("new", "")
	if r.clearVersion() != v {
		t.Errorf("Clear is %+v", r.clearVersion())
	}
	for i := range 1000 {
		if _, ok := r.peek(fmt.Sprint("v", i)); ok || r.has(fmt.Sprint("v", i)) {
			t.Fatalf("v%d is there", i)
		}
		if _, ok := r.peek(fmt.Sprint("d", i)); ok {
			t.Fatalf("d%d is there", i)
		}
	}
	r.sweep()
	if r.len() != 1 || r.tombstones() != 0 || !r.has("new") {
		t.Errorf("%d entries, %d tombstones", r.len(), r.tombstones())
	}
	for b := range numBuckets {
		if f := r.floorOf(b); f != 0 {
			t.Fatalf("floor %d is %d: Clear stands for all of it", b, f)
		}
	}
}

func TestStoreCounts(t *testing.T) {
	r := newStoreRig(storeConfig{maxKeys: 2000})
	r.has("a")
	r.set("a", "")
	r.has("a")
	r.del("a")
	r.has("a")
	r.write(record{key: "a", kind: kindNegative}, true)
	r.has("a")
	r.peek("a")
	if st := r.stats(); st.hits != 1 || st.misses != 3 {
		t.Errorf("%+v", st)
	}
}

func TestStoreClose(t *testing.T) {
	r := newStoreRig(storeConfig{maxKeys: 5000, deletionDelay: time.Hour})
	for i := range 3000 {
		r.set(fmt.Sprint(i), "v")
		r.remote(fmt.Sprint("r", i), "v")
		r.del(fmt.Sprint("d", i))
	}
	r.has("1")
	before := r.stats()
	r.close()
	if r.len() != 0 || r.bytes() != 0 || r.tombstones() != 0 || r.has("1") {
		t.Error(r.len(), r.bytes(), r.tombstones())
	}
	if r.set("1", "v"); r.len() != 0 {
		t.Error("a closed store takes something")
	}
	if st := r.stats(); st.hits != before.hits || st.evictions != before.evictions {
		t.Errorf("%+v, before %+v", st, before)
	}
	r.sweep()
	r.close()
	storeCheck(t, r.store)
}

func TestStoreShardCount(t *testing.T) {
	for _, tt := range []struct {
		c    storeConfig
		want int
	}{
		{storeConfig{maxKeys: 1}, 1},
		{storeConfig{maxKeys: 1024}, 1},
		{storeConfig{maxKeys: 1025}, 2},
		{storeConfig{maxKeys: 5000}, 8},
		{storeConfig{maxKeys: 1 << 20}, 1 << 10},
		{storeConfig{maxKeys: math.MaxInt32}, 1 << 18},
		{storeConfig{maxKeys: math.MaxInt}, 1 << 18},
		{storeConfig{maxKeys: math.MaxInt32, maxBytes: 1}, 1},
		{storeConfig{maxKeys: math.MaxInt32, maxBytes: 1 << 20}, 8},
		{storeConfig{}, 1},
	} {
		if got := newStore(tt.c).shards(); got != tt.want {
			t.Errorf("%+v: %d shards, want %d", tt.c, got, tt.want)
		}
	}
}

// The wire version fixes both: another bucket would make the floors of two nodes
// incomparable.
func TestStoreBucketsAreFixed(t *testing.T) {
	s := newStore(storeConfig{maxKeys: 1})
	// XXH64 of the three, seed 0: ef46db3751d8e999, d24ec4f1a98c6e5b, 44bc2cf5ad770999.
	for key, want := range map[string]int{"": 0x2999, "a": 0x2e5b, "abc": 0x0999} {
		if got := s.bucketOf(key); got != want {
			t.Errorf("bucketOf(%q) = %#x, want %#x", key, got, want)
		}
	}
}

func storeHeap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestStoreMemory(t *testing.T) {
	const mib = 1 << 20
	for _, tt := range []struct {
		name  string
		c     storeConfig
		limit int64
		fill  func(r *storeRig)
	}{
		{"replaced values", storeConfig{maxKeys: 2000}, 2 * mib, func(r *storeRig) {
			for _, n := range []int{100 << 10, 1} {
				for i := range 1000 {
					r.set(fmt.Sprint(i), strings.Repeat("v", n))
				}
			}
		}},
		{"deleted values", storeConfig{maxKeys: 2000}, 2 * mib, func(r *storeRig) {
			for i := range 1000 {
				r.set(fmt.Sprint(i), strings.Repeat("v", 100<<10))
				r.del(fmt.Sprint(i))
			}
		}},
		{"evicted and expired values", storeConfig{maxKeys: 1000}, 2 * mib, func(r *storeRig) {
			for i := range 2000 {
				r.setTTL(fmt.Sprint(i), strings.Repeat("v", 100<<10), time.Second)
			}
			r.pass(time.Second)
			r.sweep()
		}},
		{"keys out of big strings", storeConfig{maxKeys: 2000}, 2 * mib, func(r *storeRig) {
			for i := range 300 {
				big := fmt.Sprintf("%03d%s", i, strings.Repeat("k", 100<<10))
				if i%3 == 0 {
					r.del(big[:3])
				}
				if i%3 != 1 {
					r.set(big[:3], "v")
				}
				if i%3 != 2 {
					r.del(big[:3])
				}
			}
		}},
		{"a huge MaxKeys", storeConfig{maxKeys: math.MaxInt32}, 3 * mib, func(r *storeRig) {
			for i := range 1000 {
				r.set(fmt.Sprint(i), "v")
			}
		}},
		{"a hundred thousand, cleared", storeConfig{maxKeys: 100_000}, mib, func(r *storeRig) {
			for i := range 100_000 {
				r.set(fmt.Sprint(i), "v")
			}
			r.apply(r.now, &record{kind: kindClear, version: version{r.stamp, 1}}, true)
			r.sweep()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := storeHeap()
			r := newStoreRig(tt.c)
			tt.fill(r)
			if got := storeHeap() - before; got > tt.limit {
				t.Errorf("%d KiB", got>>10)
			} else {
				t.Logf("%d KiB", got>>10)
			}
			r.close()
		})
	}
}

func TestStoreSharesItsKey(t *testing.T) {
	r := newStoreRig(storeConfig{maxKeys: 10})
	for _, k := range []kind{kindValue, kindTombstone, kindTombstone, kindNegative, kindValue} {
		r.stamp++
		rec := record{key: strings.Clone("some key"), kind: k, version: version{r.stamp, 1}}
		r.apply(r.now, &rec, true)
		held, _ := r.peek("some key")
		if !storeSameString(rec.key, held.key) {
			t.Errorf("kind %d: the record has another copy of the key", k)
		}
	}
}

func TestStoreAllocs(t *testing.T) {
	r := newStoreRig(storeConfig{maxKeys: 5000})
	r.setTTL("ttl", "v", time.Hour)
	r.set("k", "v")
	r.del("gone")
	wall := func() int64 { return storeWall }
	for name, f := range map[string]func(){
		"get":               func() { r.get("k", wall) },
		"get with deadline": func() { r.get("ttl", wall) },
		"miss":              func() { r.get("none", wall) },
		"deleted":           func() { r.get("gone", wall) },
		"peek":              func() { r.peek("k") },
		"local overwrite":   func() { r.set("k", "v") },
		"remote overwrite":  func() { r.remote("ttl", "v") },
		"sweep":             func() { r.sweep() },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// What a get returns never gets older, and every bound holds, whatever runs
// at the same time.
func TestStoreConcurrently(t *testing.T) {
	const keys, writes = 200, 20_000
	for _, maxKeys := range []int{50, 3000} {
		r := newStoreRig(storeConfig{maxKeys: maxKeys, maxTombstones: 20})
		if maxKeys > keysPerShard {
			r.maxKeys = 100 // more keys than room, in several shards
		}
		var wall atomic.Int64
		wall.Store(r.now.wall)
		var done atomic.Bool
		var wg sync.WaitGroup
		wg.Go(func() {
			defer done.Store(true)
			for i := range writes {
				rec := record{key: fmt.Sprint(i * 7919 % keys), val: fmt.Sprintf("%08d", i)}
				switch i % 5 {
				case 0:
					rec.kind, rec.val = kindTombstone, ""
				case 1:
					rec.deadline = wall.Load() + 3
				}
				r.write(rec, i%2 == 0)
				if i%10 == 0 {
					r.pass(time.Millisecond)
					wall.Store(r.now.wall)
				}
				if i%1000 == 0 {
					r.apply(r.now, &record{kind: kindClear, version: version{r.stamp - 10, 1}}, true)
				}
			}
		})
		for range 2 {
			wg.Go(func() {
				last := map[string]string{}
				for i := 0; !done.Load(); i++ {
					key := fmt.Sprint(i % keys)
					v, ok := r.get(key, wall.Load)
					if ok && v < last[key] {
						t.Errorf("%s: %s after %s", key, v, last[key])
					}
					if ok {
						last[key] = v
					}
					if n := r.len(); n > r.maxKeys {
						t.Errorf("%d entries", n)
					}
				}
			})
		}
		wg.Go(func() {
			for !done.Load() {
				for i := range r.shards() {
					r.sweepShard(instant{wall: wall.Load()}, i)
				}
				r.stats()
				runtime.Gosched()
			}
		})
		wg.Wait()
		storeCheck(t, r.store)
	}
}
