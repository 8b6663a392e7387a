// Package benchmarks has the measures of Get and Set as Go benchmarks, for benchstat:
//
//	go test -run '^$' -bench Get -count 10 ./benchmarks | tee new.txt
//	benchstat -col /cache new.txt
package benchmarks

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/iwanbk/bcache/benchmarks/caches"
	"github.com/iwanbk/bcache/benchmarks/workload"
)

const keys = 1 << 17

var load = workload.New(keys)

func BenchmarkGet(b *testing.B) {
	each(b, func(b *testing.B, c caches.Cache) {
		parallel(b, func(i int) { c.Get(load.Draws[i%workload.Draws]) })
	})
}

func BenchmarkGetOneGoroutine(b *testing.B) {
	each(b, func(b *testing.B, c caches.Cache) {
		for i := 0; b.Loop(); i++ {
			c.Get(load.Draws[i%workload.Draws])
		}
	})
}

func BenchmarkGetHotKey(b *testing.B) {
	each(b, func(b *testing.B, c caches.Cache) {
		parallel(b, func(int) { c.Get(load.Keys[0]) })
	})
}

func BenchmarkGetMiss(b *testing.B) {
	each(b, func(b *testing.B, c caches.Cache) {
		parallel(b, func(i int) { c.Get(load.Absent[i%keys]) })
	})
}

func BenchmarkSet(b *testing.B) {
	each(b, func(b *testing.B, c caches.Cache) {
		parallel(b, func(i int) { c.Set(load.Draws[i%workload.Draws], load.Val(i)) })
	})
}

func BenchmarkSetOneGoroutine(b *testing.B) {
	each(b, func(b *testing.B, c caches.Cache) {
		for i := 0; b.Loop(); i++ {
			c.Set(load.Draws[i%workload.Draws], load.Val(i))
		}
	})
}

// A full cache: each Set evicts another key. Working off what is queued is part of it.
func BenchmarkSetNew(b *testing.B) {
	fresh := workload.NewFresh()
	next := 0
	eachOf(b, caches.Bounded(), keys, func(b *testing.B, c caches.Cache) {
		for ; b.Loop(); next++ {
			c.Set(fresh.Key(next), load.Val(next))
			if next%256 == 255 {
				c.Settle()
			}
		}
	})
}

func BenchmarkMixed(b *testing.B) {
	each(b, func(b *testing.B, c caches.Cache) {
		parallel(b, func(i int) {
			if key := load.Draws[i%workload.Draws]; i%10 == 0 {
				c.Set(key, load.Val(i))
			} else {
				c.Get(key)
			}
		})
	})
}

// each runs a benchmark for every cache, which has room for all keys.
func each(b *testing.B, f func(*testing.B, caches.Cache)) {
	kinds := caches.Local()
	if path, _ := caches.FindRedis(); path != "" {
		kinds = append(kinds, caches.RedisKinds(path)...)
	}
	eachOf(b, kinds, keys*5/4, f)
}

// eachOf runs a benchmark for these, of that capacity, which all keys have been written to.
func eachOf(b *testing.B, kinds []caches.Kind, capacity int, f func(*testing.B, caches.Cache)) {
	for _, k := range kinds {
		var c caches.Cache // of all runs, which testing makes longer and longer
		b.Run("cache="+strings.NewReplacer(" ", "_", ",", "").Replace(k.Name), func(b *testing.B) {
			if c == nil {
				c = filled(b, k, capacity)
			}
			b.ReportAllocs()
			b.ResetTimer()
			f(b, c)
		})
		if c == nil {
			continue
		}
		if err := c.Close(); err != nil {
			b.Errorf("%s: %v", k.Name, err)
		}
	}
}

func filled(b *testing.B, k caches.Kind, capacity int) caches.Cache {
	c, err := k.New(capacity)
	if err != nil {
		b.Fatal(err)
	}
	if l, ok := c.(caches.Loader); ok {
		if err := l.Load(load.Keys, load.Vals); err != nil {
			b.Fatal(err)
		}
		return c
	}
	for i, key := range load.Keys {
		c.Set(strings.Clone(key), strings.Clone(load.Val(i)))
		if i%1000 == 999 {
			c.Settle()
		}
	}
	c.Settle()
	return c
}

// parallel has every goroutine begin elsewhere.
func parallel(b *testing.B, op func(i int)) {
	b.RunParallel(func(pb *testing.PB) {
		for i := rand.IntN(workload.Draws); pb.Next(); i++ {
			op(i)
		}
	})
}
