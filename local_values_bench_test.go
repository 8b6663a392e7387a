package bcache

import (
	"context"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"
)

// A hit on a value that LocalValues keeps beside one on a record that a Fill has brought for all nodes, in
// random order and in turns, so that a machine that is busy slows both. Each kind has a node of its own.
func BenchmarkLocalHit(b *testing.B) {
	for _, n := range []int{1000, 1 << 17} {
		keys := make([]string, n)
		for i := range keys {
			keys[i] = fmt.Sprintf("k%08d", i)
		}
		var loaders [2]*Loader
		for i, local := range []bool{false, true} {
			loaders[i] = newLoader(b, benchNode(b), func(context.Context, string) (Loaded, error) {
				return Loaded{Value: strings.Repeat("v", 100)}, nil
			}, func(c *LoaderConfig) { c.TTL, c.RefreshAhead, c.LocalValues = time.Hour, 0.1, local })
			for _, key := range keys {
				if _, err := loaders[i].Get(context.Background(), key); err != nil {
					b.Fatal(err)
				}
			}
		}
		rand.New(rand.NewSource(1)).Shuffle(n, func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		turns(b, fmt.Sprintf("Get,%d", n), keys, loaders, func(l *Loader, key string) bool {
			_, ok := l.cache.Get(key)
			return ok
		})
		turns(b, fmt.Sprintf("Loader,%d", n), keys, loaders, func(l *Loader, key string) bool {
			_, err := l.Get(context.Background(), key)
			return err == nil
		})
	}
}

// turns has each Loader get 10,000 keys, and the other one the same, and again. It reports the medians.
func turns(b *testing.B, name string, keys []string, loaders [2]*Loader, get func(*Loader, string) bool) {
	const hits = 10_000
	b.Run(name, func(b *testing.B) {
		var took [2][]time.Duration
		next := 0
		for b.Loop() {
			for i, l := range loaders {
				start := time.Now()
				for k := range hits {
					if !get(l, keys[(next+k)%len(keys)]) {
						b.Fatal("a miss")
					}
				}
				took[i] = append(took[i], time.Since(start))
			}
			next += hits
		}
		var median [2]float64
		for i := range took {
			slices.Sort(took[i])
			median[i] = float64(took[i][len(took[i])/2].Nanoseconds()) / hits
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(median[0], "record-ns")
		b.ReportMetric(median[1], "local-ns")
		b.ReportMetric(100*(median[1]/median[0]-1), "%-more")
	})
}
