package store

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/iwanbk/bcache/internal/delta"
)

// bothPolicies runs a test with either policy.
func bothPolicies(t *testing.T, test func(t *testing.T, lru bool)) {
	t.Run("S3-FIFO", func(t *testing.T) { test(t, false) })
	t.Run("LRU", func(t *testing.T) { test(t, true) })
}

func TestStoreCapacityIsExact(t *testing.T) { bothPolicies(t, testStoreCapacityIsExact) }

func testStoreCapacityIsExact(t *testing.T, lru bool) {
	for _, n := range []int{1, 2, 100, 1024, 1025, 5000, 100_000} {
		for _, local := range []bool{true, false} {
			r := newStoreRig(Config{MaxKeys: n, LRU: lru})
			for i := range n {
				r.write(delta.Record{Key: fmt.Sprint(i), Val: "v"}, local)
			}
			if st := r.Stats(); r.Len() != n || st.Evictions != 0 {
				t.Fatalf("maxKeys %d, local %v: %d entries, %d evictions", n, local, r.Len(), st.Evictions)
			}
			last := delta.Record{}
			for i := range n + 10 {
				key := fmt.Sprint(n + i)
				r.write(delta.Record{Key: key, Val: "v"}, local)
				if st := r.Stats(); r.Len() != n || st.Evictions != uint64(i+1) || !r.has(key) {
					t.Fatalf("maxKeys %d, local %v: %d entries, %d evictions after %d more", n, local, r.Len(), st.Evictions, i+1)
				}
				if i > 20 {
					break
				}
				last.Key = key
			}
			held := 0
			for i := range n + 30 {
				if _, ok := r.Peek(fmt.Sprint(i)); ok {
					held++
				}
			}
			if held != n {
				t.Errorf("maxKeys %d, local %v: %d keys are there", n, local, held)
			}
			storeCheck(t, r.Store)
		}
	}
}

// Whatever the shards, an eviction raises the floor of exactly what went.
func TestStoreEvictionRaisesTheFloor(t *testing.T) { bothPolicies(t, testStoreEvictionRaisesTheFloor) }

func testStoreEvictionRaisesTheFloor(t *testing.T, lru bool) {
	for _, n := range []int{10, 5000} {
		r := newStoreRig(Config{MaxKeys: n, LRU: lru})
		versions := map[string]delta.Version{}
		for i := range 2 * n {
			key := fmt.Sprint(i)
			r.set(key, "")
			versions[key] = delta.Version{Stamp: r.stamp, Origin: 1}
		}
		for key, v := range versions {
			if _, ok := r.Peek(key); !ok && r.FloorOf(delta.BucketOf(key)) < v.Stamp {
				t.Fatalf("maxKeys %d: %s went without a trace", n, key)
			}
		}
	}
}

func TestStoreMaxBytes(t *testing.T) { bothPolicies(t, testStoreMaxBytes) }

func testStoreMaxBytes(t *testing.T, lru bool) {
	cost := func(val int) int64 { return int64(val) + 2 + EntryOverhead }
	r := newStoreRig(Config{MaxKeys: 1000, MaxBytes: 10 * cost(100), LRU: lru})
	key := func(i int) string { return fmt.Sprintf("%02d", i) }
	val := func(n int) string { return strings.Repeat("v", n) }
	for i := range 10 {
		r.set(key(i), val(100))
	}
	if r.Bytes() != r.limits.maxBytes || r.Len() != 10 {
		t.Fatalf("%d bytes, %d entries", r.Bytes(), r.Len())
	}
	r.set(key(10), val(101)) // one byte too many: two have to go
	if r.Len() != 9 || r.has(key(0)) || r.has(key(1)) || !r.has(key(2)) {
		t.Errorf("%d entries", r.Len())
	}
	r.set(key(3), val(int(10*cost(100)-cost(0)))) // everything but itself
	if r.Len() != 1 || r.Bytes() != r.limits.maxBytes || !r.has(key(3)) {
		t.Errorf("%d entries, %d bytes", r.Len(), r.Bytes())
	}
	r.set(key(3), "") // smaller again
	if r.Len() != 1 || r.Bytes() != cost(0) {
		t.Errorf("%d entries, %d bytes", r.Len(), r.Bytes())
	}
	for i := range 9 {
		r.set(key(20+i), val(100))
	}
	evictions := r.Stats().Evictions
	r.remote(key(3), val(101)) // the oldest, growing by a remote write: it may go itself, but is held then
	if rec, _ := r.Peek(key(3)); len(rec.Val) != 101 || r.Bytes() > r.limits.maxBytes || r.Stats().Evictions == evictions {
		t.Errorf("%d bytes, held: %+v", r.Bytes(), rec)
	}
	if o := r.set(key(3), val(int(10*cost(100)-cost(0)+1))); o != OutcomeTooBig {
		t.Errorf("outcome %d", o)
	}
	if _, ok := r.Peek(key(3)); ok || r.FloorOf(delta.BucketOf(key(3))) != r.stamp {
		t.Error("the old value is still there, or no floor stands for the new one")
	}
	storeCheck(t, r.Store)
}

func TestStoreMaxBytesOfManyShards(t *testing.T) { bothPolicies(t, testStoreMaxBytesOfManyShards) }

func testStoreMaxBytesOfManyShards(t *testing.T, lru bool) {
	r := newStoreRig(Config{MaxKeys: 1 << 30, MaxBytes: 4 << 20, LRU: lru})
	rng := rand.New(rand.NewSource(1))
	for i := range 20_000 {
		n := rng.Intn(300)
		if i%1000 == 0 {
			n = 1 << 20
		}
		r.write(delta.Record{Key: fmt.Sprint(rng.Intn(10_000)), Val: strings.Repeat("v", n)}, i%2 == 0)
		if r.Bytes() > r.limits.maxBytes {
			t.Fatalf("%d bytes", r.Bytes())
		}
	}
	if r.Bytes() < r.limits.maxBytes/2 {
		t.Errorf("%d bytes only", r.Bytes())
	}
	storeCheck(t, r.Store)
}

// The dead go before the living.
func TestStoreEvictsTheDeadFirst(t *testing.T) { bothPolicies(t, testStoreEvictsTheDeadFirst) }

func testStoreEvictsTheDeadFirst(t *testing.T, lru bool) {
	r := newStoreRig(Config{MaxKeys: 1000, LRU: lru})
	for i := range 500 {
		r.set(fmt.Sprint("live", i), "")
	}
	for i := range 500 {
		r.setTTL(fmt.Sprint("dead", i), "", time.Second)
	}
	r.pass(time.Second)
	for i := range 500 {
		r.set(fmt.Sprint("new", i), "")
	}
	if st := r.Stats(); st.Evictions != 0 || st.Expirations != 500 || r.Len() != 1000 {
		t.Errorf("%d entries, %+v", r.Len(), st)
	}
	r.Apply(r.now, &delta.Record{Kind: delta.KindClear, Version: delta.Version{Stamp: r.stamp - 100, Origin: 1}}, true) // 900 of them
	for i := range 900 {
		r.set(fmt.Sprint("newer", i), "")
	}
	if st := r.Stats(); st.Evictions != 0 || r.Len() != 1000 {
		t.Errorf("%d entries, %+v", r.Len(), st)
	}
}

// A flood of what others write doesn't push out what is read here.
func TestStoreRemoteFlood(t *testing.T) { bothPolicies(t, testStoreRemoteFlood) }

func testStoreRemoteFlood(t *testing.T, lru bool) {
	for _, maxKeys := range []int{1000, 5000} {
		r := newStoreRig(Config{MaxKeys: maxKeys, LRU: lru})
		hot := maxKeys / 2
		for i := range maxKeys {
			r.remote(fmt.Sprint("old", i), "")
		}
		for i := range hot {
			r.remote(fmt.Sprint("hot", i), "")
		}
		n := 0
		for range 20 { // seconds
			r.pass(time.Second)
			for i := range hot {
				r.has(fmt.Sprint("hot", i))
			}
			for range maxKeys {
				n++
				r.remote(fmt.Sprint(n), "")
			}
			for i := range hot {
				r.remote(fmt.Sprint("hot", i), "again") // doesn't move it
			}
		}
		left := 0
		for i := range hot {
			if r.has(fmt.Sprint("hot", i)) {
				left++
			}
		}
		t.Logf("maxKeys %d: %d of %d remain after %d remote keys", maxKeys, left, hot, n)
		if left < hot*9/10 {
			t.Errorf("maxKeys %d: %d of %d remain", maxKeys, left, hot)
		}
	}
}

// Hit ratio against golang-lru, on what a cache sees: few keys are asked for most
// of the time, and what is missing is loaded and set.
func TestStoreHitRatio(t *testing.T) { bothPolicies(t, testStoreHitRatio) }

func testStoreHitRatio(t *testing.T, isLRU bool) {
	const requests = 200_000
	for _, maxKeys := range []int{4096, 16_384, 65_536} {
		r := newStoreRig(Config{MaxKeys: maxKeys, LRU: isLRU})
		exact, _ := simplelru.NewLRU[string, bool](maxKeys, nil)
		zipf := rand.NewZipf(rand.New(rand.NewSource(1)), 1.01, 1, 1<<17-1)
		var hits, want int
		for range requests {
			key := fmt.Sprint(zipf.Uint64())
			if r.has(key) {
				hits++
			} else {
				r.set(key, "")
			}
			if _, ok := exact.Get(key); ok {
				want++
			} else {
				exact.Add(key, true)
			}
		}
		got, lru := 100*float64(hits)/requests, 100*float64(want)/requests
		t.Logf("maxKeys %6d, %2d shards: %.3f %% hits, exact LRU %.3f %%", maxKeys, r.Shards(), got, lru)
		if got < lru-1 {
			t.Errorf("maxKeys %d: %.3f %% hits, exact LRU %.3f %%", maxKeys, got, lru)
		}
	}
}

// What is held may go on its own before a victim is chosen: then there is none, and the write goes on.
func TestEvictFromAnEmptyStore(t *testing.T) { bothPolicies(t, testEvictFromAnEmptyStore) }

func testEvictFromAnEmptyStore(t *testing.T, lru bool) {
	for _, c := range []Config{{MaxKeys: 1}, {MaxKeys: 1024}, {MaxKeys: 5000}, {MaxKeys: 1000, MaxBytes: 100_000}, {MaxKeys: 1 << 20, MaxBytes: 1 << 20, Shards: 64}} {
		c.LRU = lru
		r := newStoreRig(c)
		r.set("a", "")
		r.del("a")
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.policy.evict(r.now, r.hash.Of("a"), 0)
		}()
		select {
		case <-done:
		case <-time.After(time.Minute):
			t.Fatalf("%+v: it looks for a victim for ever", c)
		}
	}
}
