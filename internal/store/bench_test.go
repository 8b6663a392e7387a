package store

import (
	"fmt"
	"math/rand"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/testkit"
)

const storeMillion = 1_000_000

// storeFull returns a store with a million entries whose deadlines are spread over
// an hour, and their keys.
func storeFull() (*storeRig, []string) {
	r := newStoreRig(Config{MaxKeys: storeMillion, DeletionDelay: 100 * time.Second})
	keys := make([]string, storeMillion)
	for i := range keys {
		keys[i] = fmt.Sprint("key", i)
		r.setTTL(keys[i], "some value", time.Duration(i)*time.Hour/storeMillion+time.Hour)
	}
	return r, keys
}

func BenchmarkStoreGet(b *testing.B) {
	r, keys := storeFull()
	small := newStoreRig(Config{MaxKeys: 1024})
	for _, key := range keys[:1000] {
		small.set(key, "some value")
	}
	wall := func() int64 { return r.now.Wall }
	order := rand.New(rand.NewSource(1)).Perm(1 << 19)
	b.Run("1000", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			small.Get(keys[i%1000], wall)
		}
	})
	b.Run("1000000", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			r.Get(keys[order[i%len(order)]], wall)
		}
	})
	b.Run("miss", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.Get("none", wall)
		}
	})
	b.Run("1000,parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for i := rand.Int(); pb.Next(); i++ {
				small.Get(keys[i%1000], wall)
			}
		})
	})
	b.Run("1000,sampled", func(b *testing.B) { // somebody asks which keys are hot
		small.Hot.Ask(0)
		defer small.Hot.Tick(hotFor)
		for i := 0; b.Loop(); i++ {
			small.Get(keys[i%1000], wall)
		}
	})
}

func BenchmarkStoreApply(b *testing.B) {
	r, keys := storeFull()
	small := newStoreRig(Config{MaxKeys: 1000})
	more := make([]string, 2*storeMillion)
	for i := range more {
		more[i] = fmt.Sprint("more", i)
	}
	order := rand.New(rand.NewSource(1)).Perm(1 << 19)
	b.Run("overwrite", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			r.set(keys[order[i%len(order)]], "other value")
		}
	})
	b.Run("evict", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			r.set(more[i%len(more)], "some value")
		}
	})
	b.Run("evict,remote", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			r.remote(more[len(more)-1-i%len(more)], "some value")
		}
	})
	b.Run("evict,1000", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			small.set(more[i%len(more)], "some value")
		}
	})
	b.Run("tombstone", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			r.del(more[i%len(more)])
		}
	})
}

// What Gets cost while tags are cleared a hundred times a second that none of the entries has: each is asked
// once for each shard.
func BenchmarkStoreGetCleared(b *testing.B) {
	b.Run("untagged", func(b *testing.B) { benchmarkGetCleared(b, func(int) []string { return nil }) })
	b.Run("tagged", func(b *testing.B) {
		benchmarkGetCleared(b, func(i int) []string { return []string{"all", fmt.Sprint("group", i%1000)} })
	})
}

func benchmarkGetCleared(b *testing.B, tags func(i int) []string) {
	r, keys := storeFull()
	for i, key := range keys {
		if t := tags(i); t != nil {
			r.put(key, "some value", t...)
		}
	}
	order := rand.New(rand.NewSource(1)).Perm(1 << 19)
	wall := func() int64 { return storeWall }
	gets := func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			r.Get(keys[order[i%len(order)]], wall)
		}
	}
	b.Run("never", gets)
	b.Run("100 a second", func(b *testing.B) {
		done := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			every := time.NewTicker(10 * time.Millisecond)
			defer every.Stop()
			for i := 0; ; i++ {
				select {
				case <-every.C:
					r.clear(delta.SelectTag(fmt.Sprint("none", i)))
				case <-done:
					return
				}
			}
		})
		gets(b)
		close(done)
		wg.Wait()
	})
	b.Run("before", gets) // all entries are older than the last Clear, and all shards are cleared by it
}

// How long it takes to clear a tag that 100,000 of 1,000,000 entries have, and Gets right after that.
func BenchmarkStoreClearTag(b *testing.B) {
	const tagged = 100_000
	r, keys := storeFull()
	order := rand.New(rand.NewSource(1)).Perm(len(keys))
	wall := func() int64 { return storeWall }
	var calls, before, after []time.Duration
	gets := func(to *[]time.Duration) (served int) {
		for i := range 200_000 {
			key, start := keys[order[i]], time.Now()
			_, ok := r.Get(key, wall)
			*to = append(*to, time.Since(start))
			if ok && order[i]%10 == 0 {
				served++
			}
		}
		return served
	}
	at := func(d []time.Duration, part float64) float64 {
		slices.Sort(d)
		return float64(d[int(part*float64(len(d)-1))].Nanoseconds())
	}
	for b.Loop() {
		for i := range tagged {
			r.put(keys[i*10], "some value", "t")
		}
		gets(&before)
		start := time.Now()
		r.clear(delta.SelectTag("t"))
		calls = append(calls, time.Since(start))
		if n := gets(&after); n > 0 {
			b.Fatalf("%d are served that were cleared", n)
		}
		r.sweep()
	}
	b.ReportMetric(at(calls, 0.5)/1e3, "call-us")
	b.ReportMetric(at(before, 0.99), "p99-before-ns")
	b.ReportMetric(at(after, 0.99), "p99-after-ns")
	b.ReportMetric(at(before, 0.5), "p50-before-ns")
	b.ReportMetric(at(after, 0.5), "p50-after-ns")
}

// How much of a core it takes to watch a million entries with a sweep every 5 s.
func BenchmarkStoreSweep(b *testing.B) {
	r, _ := storeFull()
	for _, tt := range []struct {
		name string
		from time.Duration
	}{{"nothing due", 0}, {"1389 due each", time.Hour}} {
		b.Run(tt.name, func(b *testing.B) {
			b.ReportAllocs()
			r.now = storeNow(tt.from)
			n := 0
			for b.Loop() {
				r.pass(5 * time.Second)
				r.sweep()
				if n++; n%100 == 0 {
					b.StopTimer()
					r.now = storeNow(tt.from)
					if tt.from != 0 {
						r, _ = storeFull()
						r.now = storeNow(tt.from)
					}
					b.StartTimer()
				}
			}
			b.ReportMetric(100*b.Elapsed().Seconds()/float64(b.N)/5, "%core")
			b.ReportMetric(float64(r.Len()), "left")
		})
	}
}

// How long one lock is held at worst, with a million keys.
func BenchmarkStoreLocks(b *testing.B) {
	report := func(b *testing.B, name string, d []time.Duration) {
		slices.Sort(d)
		b.ReportMetric(float64(d[len(d)/2].Nanoseconds())/1e3, name+"-p50-us")
		b.ReportMetric(float64(d[len(d)*99/100].Nanoseconds())/1e3, name+"-p99-us")
		b.ReportMetric(float64(d[len(d)-1].Nanoseconds())/1e3, name+"-max-us")
	}
	for b.Loop() {
		r, _ := storeFull()
		timed := func(f func()) time.Duration {
			t := time.Now()
			f()
			return time.Since(t)
		}
		var sweeps, applies, clears []time.Duration
		for i := range 200_000 { // evictions from shards where something is due
			if i%20 == 0 {
				r.pass(time.Second)
			}
			key := fmt.Sprint("more", i)
			applies = append(applies, timed(func() { r.set(key, "v") }))
		}
		r.pass(3 * time.Hour)
		for i := range r.Shards() / 2 { // all are dead
			for n := sweepBatch; n == sweepBatch; {
				sweeps = append(sweeps, timed(func() { n = r.Sweeper.sweepSome(r.table.at(i), r.now) }))
			}
		}
		r.Apply(r.now, &delta.Record{Kind: delta.KindClear, Version: delta.Version{Stamp: r.stamp, Origin: 1}}, true)
		for i := range r.Shards() { // the other half, cleared
			r.now = storeNow(0)
			for n := sweepBatch; n == sweepBatch; {
				clears = append(clears, timed(func() { n = r.Sweeper.sweepSome(r.table.at(i), r.now) }))
			}
		}
		// The maximum is the scheduler's as a rule: look at the others.
		report(b, "apply", applies)
		report(b, "sweep", sweeps)
		report(b, "clear", clears)
	}
}

func BenchmarkStoreMemory(b *testing.B) {
	for b.Loop() {
		before := testkit.Heap()
		r := newStoreRig(Config{MaxKeys: storeMillion})
		for i := range storeMillion {
			r.set(fmt.Sprintf("%016d", i), "")
		}
		b.ReportMetric(float64(testkit.Heap()-before)/storeMillion-16, "overhead-B/entry")
		r.Close()
	}
}
