package store

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/testkit"
)

func TestStoreMemory(t *testing.T) {
	const mib = 1 << 20
	for _, tt := range []struct {
		name  string
		c     Config
		limit int64
		fill  func(r *storeRig)
	}{
		{"replaced values", Config{MaxKeys: 2000}, 2 * mib, func(r *storeRig) {
			for _, n := range []int{100 << 10, 1} {
				for i := range 1000 {
					r.set(fmt.Sprint(i), strings.Repeat("v", n))
				}
			}
		}},
		{"deleted values", Config{MaxKeys: 2000}, 2 * mib, func(r *storeRig) {
			for i := range 1000 {
				r.set(fmt.Sprint(i), strings.Repeat("v", 100<<10))
				r.del(fmt.Sprint(i))
			}
		}},
		{"deleted values with a deadline", Config{MaxKeys: 2000}, 2 * mib, func(r *storeRig) {
			for i := range 1000 {
				r.setTTL(fmt.Sprint(i), strings.Repeat("v", 100<<10), time.Hour)
			}
			for i := range 1000 {
				r.del(fmt.Sprint(i))
			}
		}},
		{"evicted and expired values", Config{MaxKeys: 1000}, 2 * mib, func(r *storeRig) {
			for i := range 2000 {
				r.setTTL(fmt.Sprint(i), strings.Repeat("v", 100<<10), time.Second)
			}
			r.pass(time.Second)
			r.sweep()
		}},
		{"keys out of big strings", Config{MaxKeys: 2000}, 2 * mib, func(r *storeRig) {
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
		{"a huge MaxKeys", Config{MaxKeys: math.MaxInt32}, 3 * mib, func(r *storeRig) {
			for i := range 1000 {
				r.set(fmt.Sprint(i), "v")
			}
		}},
		{"a hundred thousand, cleared", Config{MaxKeys: 100_000}, mib, func(r *storeRig) {
			for i := range 100_000 {
				r.set(fmt.Sprint(i), "v")
			}
			r.Apply(r.now, &delta.Record{Kind: delta.KindClear, Version: delta.Version{Stamp: r.stamp, Origin: 1}}, true)
			r.sweep()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := testkit.Heap()
			r := newStoreRig(tt.c)
			tt.fill(r)
			if got := testkit.Heap() - before; got > tt.limit {
				t.Errorf("%d KiB", got>>10)
			} else {
				t.Logf("%d KiB", got>>10)
			}
			r.Close()
		})
	}
}

func TestStoreSharesItsKey(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 10})
	for _, k := range []delta.Kind{delta.KindValue, delta.KindTombstone, delta.KindTombstone, delta.KindNegative, delta.KindValue} {
		r.stamp++
		rec := delta.Record{Key: strings.Clone("some key"), Kind: k, Version: delta.Version{Stamp: r.stamp, Origin: 1}}
		r.Apply(r.now, &rec, true)
		held, _ := r.Peek("some key")
		if !storeSameString(rec.Key, held.Key) {
			t.Errorf("kind %d: the record has another copy of the key", k)
		}
	}
}

func TestStoreAllocs(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 5000})
	r.setTTL("ttl", "v", time.Hour)
	r.set("k", "v")
	r.del("gone")
	wall := func() int64 { return storeWall }
	for _, c := range []struct {
		name string
		f    func()
		want float64
	}{
		{"get", func() { r.Get("k", wall) }, 0},
		{"get with deadline", func() { r.Get("ttl", wall) }, 0},
		{"miss", func() { r.Get("none", wall) }, 0},
		{"deleted", func() { r.Get("gone", wall) }, 0},
		{"peek", func() { r.Peek("k") }, 0},
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
	const keys = 200
	writes := testkit.Rounds(20_000)
	for _, c := range []Config{{MaxKeys: 50}, {MaxKeys: 100, Shards: 4}, {MaxKeys: 50, LRU: true}, {MaxKeys: 100, Shards: 4, LRU: true}} {
		c.MaxTombstones = 20
		r := newStoreRig(c)
		var wall atomic.Int64
		wall.Store(r.now.Wall)
		var done atomic.Bool
		var wg sync.WaitGroup
		wg.Go(func() {
			defer done.Store(true)
			for i := range writes {
				rec := delta.Record{Key: fmt.Sprint(i * 7919 % keys), Val: fmt.Sprintf("%08d", i)}
				switch i % 5 {
				case 0:
					rec.Kind, rec.Val = delta.KindTombstone, ""
				case 1:
					rec.Deadline = wall.Load() + 3
				}
				r.write(rec, i%2 == 0)
				if i%10 == 0 {
					r.pass(time.Millisecond)
					wall.Store(r.now.Wall)
				}
				if i%1000 == 0 {
					r.Apply(r.now, &delta.Record{Kind: delta.KindClear, Version: delta.Version{Stamp: r.stamp - 10, Origin: 1}}, true)
				}
			}
		})
		for range 2 {
			wg.Go(func() {
				last := map[string]string{}
				for i := 0; !done.Load(); i++ {
					key := fmt.Sprint(i % keys)
					v, ok := r.Get(key, wall.Load)
					if ok && v < last[key] {
						t.Errorf("%s: %s after %s", key, v, last[key])
					}
					if ok {
						last[key] = v
					}
					if n := r.Len(); n > r.limits.maxKeys {
						t.Errorf("%d entries", n)
					}
				}
			})
		}
		wg.Go(func() {
			for !done.Load() {
				for i := range r.Shards() {
					r.Sweeper.Sweep(delta.Instant{Wall: wall.Load()}, i)
				}
				r.Stats()
				runtime.Gosched()
			}
		})
		wg.Wait()
		storeCheck(t, r.Store)
	}
}
