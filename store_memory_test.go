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
		{"deleted values with a deadline", storeConfig{maxKeys: 2000}, 2 * mib, func(r *storeRig) {
			for i := range 1000 {
				r.setTTL(fmt.Sprint(i), strings.Repeat("v", 100<<10), time.Hour)
			}
			for i := range 1000 {
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
	for _, c := range []struct {
		name string
		f    func()
		want float64
	}{
		{"get", func() { r.get("k", wall) }, 0},
		{"get with deadline", func() { r.get("ttl", wall) }, 0},
		{"miss", func() { r.get("none", wall) }, 0},
		{"deleted", func() { r.get("gone", wall) }, 0},
		{"peek", func() { r.peek("k") }, 0},
		{"sweep", func() { r.sweep() }, 0},
		// The entry that takes the old one's place, and the store's own copy of the value.
		{"local overwrite", func() { r.set("k", "v") }, 2},
		{"remote overwrite", func() { r.remote("ttl", "v") }, 1},
	} {
		if n := testing.AllocsPerRun(100, c.f); n != c.want {
			t.Errorf("%s: %v allocations, want %v", c.name, n, c.want)
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
			r.limits.maxKeys = 100 // more keys than room, in several shards
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
					if n := r.len(); n > r.limits.maxKeys {
						t.Errorf("%d entries", n)
					}
				}
			})
		}
		wg.Go(func() {
			for !done.Load() {
				for i := range r.shards() {
					r.sweeper.sweep(instant{wall: wall.Load()}, i)
				}
				r.stats()
				runtime.Gosched()
			}
		})
		wg.Wait()
		storeCheck(t, r.store)
	}
}
