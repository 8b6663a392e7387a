package store

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
)

const storeWall = int64(1_700_000_000_000)

func storeNow(d time.Duration) delta.Instant {
	return delta.Instant{Wall: storeWall + d.Milliseconds(), Mono: d}
}

// A storeRig drives a store the way a replica does: every write gets a greater
// stamp.
type storeRig struct {
	*Store
	now   delta.Instant
	stamp uint64
}

func newStoreRig(c Config) *storeRig {
	return &storeRig{Store: New(c), now: storeNow(0), stamp: delta.StampOf(storeWall)}
}

func (r *storeRig) write(rec delta.Record, local bool) Outcome {
	r.stamp++
	rec.Version = delta.Version{Stamp: r.stamp, Origin: 1}
	if local {
		return r.ApplyAt(r.now, &rec, true, r.Approach(&rec))
	}
	return r.Apply(r.now, &rec, false)
}

func (r *storeRig) set(key, val string) Outcome {
	return r.write(delta.Record{Key: key, Val: val}, true)
}
func (r *storeRig) remote(key, val string) Outcome {
	return r.write(delta.Record{Key: key, Val: val}, false)
}

func (r *storeRig) setTTL(key, val string, ttl time.Duration) Outcome {
	return r.write(delta.Record{Key: key, Val: val, Deadline: r.now.Wall + ttl.Milliseconds()}, true)
}

func (r *storeRig) del(key string) Outcome {
	return r.write(delta.Record{Key: key, Kind: delta.KindTombstone}, true)
}

func (r *storeRig) has(key string) bool {
	_, ok := r.Get(key, func() int64 { return r.now.Wall })
	return ok
}

func (r *storeRig) pass(d time.Duration) {
	r.now.Wall += d.Milliseconds()
	r.now.Mono += d
}

func (r *storeRig) sweep() {
	for i := range r.Shards() {
		r.Sweeper.Sweep(r.now, i)
	}
}

func storeNoWall() int64 { panic("the clock isn't needed here") }

func TestStoreOutcomes(t *testing.T) {
	val := func(stamp, origin uint64) delta.Record {
		return delta.Record{Key: "k", Val: "v", Version: delta.Version{Stamp: stamp, Origin: origin}}
	}
	of := func(k delta.Kind, stamp uint64) delta.Record {
		return delta.Record{Key: "k", Kind: k, Version: delta.Version{Stamp: stamp, Origin: 5}}
	}
	late := val(30, 5)
	late.Deadline = storeWall
	big := val(30, 5)
	big.Val = strings.Repeat("x", 1000)

	for _, tt := range []struct {
		name   string
		before []delta.Record
		floor  uint64
		rec    delta.Record
		want   Outcome
		held   delta.Version // afterwards; zero: nothing
		floors uint64        // afterwards
	}{
		{name: "new", rec: val(30, 5), held: delta.Version{Stamp: 30, Origin: 5}},
		{name: "greater", before: []delta.Record{val(20, 5)}, rec: val(30, 5), held: delta.Version{Stamp: 30, Origin: 5}},
		{name: "same", before: []delta.Record{val(30, 5)}, rec: val(30, 5), want: outcomeKept, held: delta.Version{Stamp: 30, Origin: 5}},
		{name: "smaller", before: []delta.Record{val(30, 5)}, rec: val(20, 5), want: outcomeKept, held: delta.Version{Stamp: 30, Origin: 5}},
		{name: "tie, greater origin", before: []delta.Record{val(30, 4)}, rec: val(30, 5), held: delta.Version{Stamp: 30, Origin: 5}},
		{name: "tie, smaller origin", before: []delta.Record{val(30, 6)}, rec: val(30, 5), want: outcomeKept, held: delta.Version{Stamp: 30, Origin: 6}},
		{name: "at the floor", floor: 30, rec: val(30, 5), want: outcomeRefused, floors: 30},
		{name: "above the floor", floor: 29, rec: val(30, 5), held: delta.Version{Stamp: 30, Origin: 5}, floors: 29},
		{name: "held, below the floor", before: []delta.Record{val(20, 5)}, floor: 40, rec: val(30, 5), held: delta.Version{Stamp: 30, Origin: 5}, floors: 40},
		{name: "delete", before: []delta.Record{val(20, 5)}, rec: of(delta.KindTombstone, 30), held: delta.Version{Stamp: 30, Origin: 5}},
		{name: "delete of an unknown key", rec: of(delta.KindTombstone, 30), held: delta.Version{Stamp: 30, Origin: 5}},
		{name: "old delete", before: []delta.Record{val(30, 5)}, rec: of(delta.KindTombstone, 20), want: outcomeKept, held: delta.Version{Stamp: 30, Origin: 5}},
		{name: "set after delete", before: []delta.Record{of(delta.KindTombstone, 20)}, rec: val(30, 5), held: delta.Version{Stamp: 30, Origin: 5}},
		{name: "set before delete", before: []delta.Record{of(delta.KindTombstone, 30)}, rec: val(20, 5), want: outcomeKept, held: delta.Version{Stamp: 30, Origin: 5}},
		{name: "negative", before: []delta.Record{val(20, 5)}, rec: of(delta.KindNegative, 30), held: delta.Version{Stamp: 30, Origin: 5}},
		{name: "forget", before: []delta.Record{val(20, 5)}, rec: of(delta.KindForget, 30), want: outcomeForgot, floors: 30},
		{name: "forget a tombstone", before: []delta.Record{of(delta.KindTombstone, 20)}, rec: of(delta.KindForget, 30), want: outcomeForgot, floors: 30},
		{name: "forget what is unknown", rec: of(delta.KindForget, 30), want: outcomeForgot, floors: 30},
		{name: "forget something older", before: []delta.Record{val(30, 5)}, rec: of(delta.KindForget, 20), want: outcomeKept, held: delta.Version{Stamp: 30, Origin: 5}},
		{name: "forget, tie", before: []delta.Record{val(30, 6)}, rec: of(delta.KindForget, 30), want: outcomeKept, held: delta.Version{Stamp: 30, Origin: 6}},
		{name: "unknown kind", before: []delta.Record{val(20, 5)}, rec: of(delta.KindUnknown+7, 30), want: outcomeForgot, floors: 30},
		{name: "expired on arrival", before: []delta.Record{val(20, 5)}, rec: late, want: outcomeExpired, floors: 30},
		{name: "expired on arrival, unknown", rec: late, want: outcomeExpired, floors: 30},
		{name: "expired on arrival, old", before: []delta.Record{val(40, 5)}, rec: late, want: outcomeKept, held: delta.Version{Stamp: 40, Origin: 5}},
		{name: "too big", before: []delta.Record{val(20, 5)}, rec: big, want: OutcomeTooBig, floors: 30},
		{name: "cleared", before: []delta.Record{{Kind: delta.KindClear, Version: delta.Version{Stamp: 30, Origin: 9}}}, rec: val(30, 10), want: outcomeCleared},
		{name: "above Clear", before: []delta.Record{{Kind: delta.KindClear, Version: delta.Version{Stamp: 29, Origin: 9}}}, rec: val(30, 5), held: delta.Version{Stamp: 30, Origin: 5}},
		{name: "Clear", before: []delta.Record{val(20, 5)}, rec: delta.Record{Kind: delta.KindClear, Version: delta.Version{Stamp: 20, Origin: 1}}},
		{name: "Clear of a tombstone", before: []delta.Record{of(delta.KindTombstone, 20)}, rec: delta.Record{Kind: delta.KindClear, Version: delta.Version{Stamp: 20, Origin: 1}}},
		{name: "Clear, older", before: []delta.Record{val(20, 5)}, rec: delta.Record{Kind: delta.KindClear, Version: delta.Version{Stamp: 19, Origin: 1}}, held: delta.Version{Stamp: 20, Origin: 5}},
		{name: "Clear twice", before: []delta.Record{{Kind: delta.KindClear, Version: delta.Version{Stamp: 30, Origin: 9}}}, rec: delta.Record{Kind: delta.KindClear, Version: delta.Version{Stamp: 30, Origin: 9}}, want: outcomeKept},
		{name: "Clear, tie", before: []delta.Record{{Kind: delta.KindClear, Version: delta.Version{Stamp: 30, Origin: 9}}}, rec: delta.Record{Kind: delta.KindClear, Version: delta.Version{Stamp: 30, Origin: 10}}},
		{name: "cleared, then the floor", before: []delta.Record{val(20, 5), {Kind: delta.KindClear, Version: delta.Version{Stamp: 25, Origin: 1}}}, floor: 30, rec: val(30, 5), want: outcomeRefused, floors: 30},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := New(Config{MaxKeys: 10, MaxBytes: 1000, DeletionDelay: time.Minute})
			for _, rec := range tt.before {
				if o := s.Apply(storeNow(0), &rec, true); o != outcomeApplied {
					t.Fatalf("setup: outcome %d", o)
				}
			}
			s.RaiseFloor(delta.BucketOf("k"), tt.floor)
			if tt.rec.Kind == delta.KindValue && tt.want <= outcomeCleared {
				if got := s.Admits(&tt.rec); got != (tt.want == outcomeApplied) {
					t.Errorf("admits = %v", got)
				}
			}
			rec := tt.rec
			if o := s.Apply(storeNow(0), &rec, true); o != tt.want {
				t.Errorf("outcome %d, want %d", o, tt.want)
			}
			got, _ := s.Peek("k")
			if got.Version != tt.held {
				t.Errorf("held: %+v, want %+v", got.Version, tt.held)
			}
			if tt.want == outcomeApplied && tt.held != (delta.Version{}) && tt.rec.Kind != delta.KindClear && got != tt.rec {
				t.Errorf("held: %+v, want %+v", got, tt.rec)
			}
			if f := s.FloorOf(delta.BucketOf("k")); f != tt.floors {
				t.Errorf("floor %d, want %d", f, tt.floors)
			}
			if _, ok := s.Get("k", storeNoWall); ok != (got.Kind == delta.KindValue && tt.held != (delta.Version{})) {
				t.Errorf("get = %v while %+v is held", ok, got)
			}
			storeCheck(t, s)
		})
	}
}

func TestStoreKeepsEveryField(t *testing.T) {
	for _, k := range []delta.Kind{delta.KindValue, delta.KindNegative} {
		s := New(Config{MaxKeys: 10})
		want := delta.Record{Key: "k\x00\xff", Val: "\x00v", Version: delta.Version{Stamp: 7, Origin: 9}, Kind: k,
			Deadline: storeWall + 5, StaleUntil: storeWall + 6, RefreshFrom: storeWall + 4}
		rec := want
		s.Apply(storeNow(0), &rec, false)
		if got, ok := s.Peek(want.Key); !ok || got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestStoreEmptyKeyAndValue(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 10})
	r.set("", "")
	if v, ok := r.Get("", storeNoWall); v != "" || !ok {
		t.Errorf("got %q, %v", v, ok)
	}
	r.del("")
	if r.has("") {
		t.Error("still there")
	}
}

func TestStoreDeleteFreesItsPlace(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 2, MaxBytes: 10_000})
	r.set("a", "1")
	r.set("b", "1")
	r.del("a")
	if r.Len() != 1 || r.Bytes() != EntryOverhead+2 {
		t.Fatal(r.Len(), r.Bytes())
	}
	r.set("c", "1")
	if !r.has("b") || !r.has("c") || r.Tombstones() != 1 {
		t.Error("a tombstone counts for MaxKeys")
	}
	r.set("a", "2")
	if r.Tombstones() != 0 || !r.has("a") || r.Stats().Evictions != 1 {
		t.Error(r.Tombstones(), r.Stats())
	}
}

func TestStoreClear(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 100_000, DeletionDelay: time.Hour})
	for i := range 1000 {
		r.set(fmt.Sprint("v", i), "")
		r.del(fmt.Sprint("d", i))
	}
	v := delta.Version{Stamp: r.stamp, Origin: 3}
	r.Apply(r.now, &delta.Record{Kind: delta.KindClear, Version: v}, true)
	r.set("new", "")
	if r.Clears.All() != v {
		t.Errorf("Clear is %+v", r.Clears.All())
	}
	for i := range 1000 {
		if _, ok := r.Peek(fmt.Sprint("v", i)); ok || r.has(fmt.Sprint("v", i)) {
			t.Fatalf("v%d is there", i)
		}
		if _, ok := r.Peek(fmt.Sprint("d", i)); ok {
			t.Fatalf("d%d is there", i)
		}
	}
	r.sweep()
	if r.Len() != 1 || r.Tombstones() != 0 || !r.has("new") {
		t.Errorf("%d entries, %d tombstones", r.Len(), r.Tombstones())
	}
	for b := range delta.NumBuckets {
		if f := r.FloorOf(b); f != 0 {
			t.Fatalf("floor %d is %d: Clear stands for all of it", b, f)
		}
	}
}

func TestStoreCounts(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 2000})
	r.has("a")
	r.set("a", "")
	r.has("a")
	r.del("a")
	r.has("a")
	r.write(delta.Record{Key: "a", Kind: delta.KindNegative}, true)
	r.has("a")
	r.Peek("a")
	if st := r.Stats(); st.Hits != 1 || st.Misses != 3 {
		t.Errorf("%+v", st)
	}
}

func TestStoreClose(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 5000, DeletionDelay: time.Hour})
	for i := range 3000 {
		r.set(fmt.Sprint(i), "v")
		r.remote(fmt.Sprint("r", i), "v")
		r.del(fmt.Sprint("d", i))
	}
	r.has("1")
	before := r.Stats()
	r.Close()
	if r.Len() != 0 || r.Bytes() != 0 || r.Tombstones() != 0 || r.has("1") {
		t.Error(r.Len(), r.Bytes(), r.Tombstones())
	}
	if r.set("1", "v"); r.Len() != 0 {
		t.Error("a closed store takes something")
	}
	if st := r.Stats(); st.Hits != before.Hits || st.Evictions != before.Evictions {
		t.Errorf("%+v, before %+v", st, before)
	}
	r.sweep()
	r.Close()
	storeCheck(t, r.Store)
}

func TestStoreShardCount(t *testing.T) {
	for _, tt := range []struct {
		c    Config
		want int
	}{
		{Config{MaxKeys: 1}, 1},
		{Config{MaxKeys: 1024}, 1},
		{Config{MaxKeys: 1025}, 2},
		{Config{MaxKeys: 5000}, 8},
		{Config{MaxKeys: 1 << 20}, 1 << 10},
		{Config{MaxKeys: math.MaxInt32}, 1 << 18},
		{Config{MaxKeys: math.MaxInt}, 1 << 18},
		{Config{MaxKeys: math.MaxInt32, MaxBytes: 1}, 1},
		{Config{MaxKeys: math.MaxInt32, MaxBytes: 1 << 20}, 8},
		{Config{}, 1},
	} {
		if got := New(tt.c).Shards(); got != tt.want {
			t.Errorf("%+v: %d shards, want %d", tt.c, got, tt.want)
		}
	}
}

// The wire version fixes both: another bucket would make the floors of two nodes
// incomparable.
func TestStoreBucketsAreFixed(t *testing.T) {
	// XXH64 of the three, seed 0: ef46db3751d8e999, d24ec4f1a98c6e5b, 44bc2cf5ad770999.
	for key, want := range map[string]int{"": 0x2999, "a": 0x2e5b, "abc": 0x0999} {
		if got := delta.BucketOf(key); got != want {
			t.Errorf("bucketOf(%q) = %#x, want %#x", key, got, want)
		}
	}
}

// giveUp gives up only what is older, and the floor stands for it.
func TestStoreGiveUp(t *testing.T) {
	s := New(Config{MaxKeys: 10, DeletionDelay: time.Hour})
	for i, kind := range []delta.Kind{delta.KindValue, delta.KindTombstone} {
		key := fmt.Sprint("k", i)
		s.Apply(delta.Instant{}, &delta.Record{Key: key, Version: delta.Version{Stamp: 5, Origin: 1}, Kind: kind}, true)
		for _, below := range []delta.Version{{Stamp: 4, Origin: 9}, {Stamp: 5, Origin: 1}} {
			if s.GiveUp(delta.Instant{}, key, below); !s.holds(key) {
				t.Errorf("gave up %v below %v", kind, below)
			}
		}
		s.GiveUp(delta.Instant{}, key, delta.Version{Stamp: 5, Origin: 2})
		s.GiveUp(delta.Instant{}, key, delta.Version{Stamp: 9, Origin: 9})
		if _, ok := s.Peek(key); ok || s.FloorOf(delta.BucketOf(key)) != 5 {
			t.Errorf("%v: held %v, floor %d", kind, ok, s.FloorOf(delta.BucketOf(key)))
		}
	}
	if s.GiveUp(delta.Instant{}, "unknown", delta.Version{Stamp: 9, Origin: 9}); s.FloorOf(delta.BucketOf("unknown")) != 0 {
		t.Error("gave up what isn't there")
	}
}

func (s *Store) holds(key string) bool {
	_, ok := s.Peek(key)
	return ok
}
