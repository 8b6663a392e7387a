package bcache

import (
	"fmt"
	"math"
	"strings"
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
	if local {
		return r.applyAt(r.now, &rec, true, r.approach(&rec))
	}
	return r.apply(r.now, &rec, false)
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
		r.sweeper.sweep(r.now, i)
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
			s.raiseFloor(bucketOf("k"), tt.floor)
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
			if f := s.floorOf(bucketOf("k")); f != tt.floors {
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

func TestStoreDeleteFreesItsPlace(t *testing.T) {
	r := newStoreRig(storeConfig{maxKeys: 2, maxBytes: 10_000})
	r.set("a", "1")
	r.set("b", "1")
	r.del("a")
	if r.len() != 1 || r.bytes() != entryOverhead+2 {
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
	// XXH64 of the three, seed 0: ef46db3751d8e999, d24ec4f1a98c6e5b, 44bc2cf5ad770999.
	for key, want := range map[string]int{"": 0x2999, "a": 0x2e5b, "abc": 0x0999} {
		if got := bucketOf(key); got != want {
			t.Errorf("bucketOf(%q) = %#x, want %#x", key, got, want)
		}
	}
}

// giveUp gives up only what is older, and the floor stands for it.
func TestStoreGiveUp(t *testing.T) {
	s := newStore(storeConfig{maxKeys: 10, deletionDelay: time.Hour})
	for i, kind := range []kind{kindValue, kindTombstone} {
		key := fmt.Sprint("k", i)
		s.apply(instant{}, &record{key: key, version: version{5, 1}, kind: kind}, true)
		for _, below := range []version{{4, 9}, {5, 1}} {
			if s.giveUp(key, below); !s.holds(key) {
				t.Errorf("gave up %v below %v", kind, below)
			}
		}
		s.giveUp(key, version{5, 2})
		s.giveUp(key, version{9, 9})
		if _, ok := s.peek(key); ok || s.floorOf(bucketOf(key)) != 5 {
			t.Errorf("%v: held %v, floor %d", kind, ok, s.floorOf(bucketOf(key)))
		}
	}
	if s.giveUp("unknown", version{9, 9}); s.floorOf(bucketOf("unknown")) != 0 {
		t.Error("gave up what isn't there")
	}
}

func (s *store) holds(key string) bool {
	_, ok := s.peek(key)
	return ok
}

// A Get that didn't read the clock, because no entry had a deadline when it began, may find one.
func TestEntryLivesAt(t *testing.T) {
	mortal, immortal := newEntry(&record{deadline: 5}, 0), newEntry(&record{}, 0)
	if !mortal.livesAt(4) || mortal.livesAt(5) || mortal.livesAt(0) {
		t.Error("a deadline isn't kept")
	}
	if !immortal.livesAt(0) || !immortal.livesAt(5) {
		t.Error("a deadline that there isn't")
	}
}
