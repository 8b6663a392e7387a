package measure

import (
	"context"

	"github.com/iwanbk/bcache/benchmarks/caches"
	"github.com/iwanbk/bcache/benchmarks/workload"
)

// What is done to a cache. The loops are written out, so that nothing but the call through the
// interface stands between the clock and the cache.

func getHits(c caches.Cache, w *workload.Workload) chunk {
	return func(at int) (missed int) {
		for _, key := range w.Slice(at, chunkSize) {
			if _, ok := c.Get(key); !ok {
				missed++
			}
		}
		return missed
	}
}

func getHot(c caches.Cache, w *workload.Workload) chunk {
	hot := w.Keys[0]
	return func(int) (missed int) {
		for range chunkSize {
			if _, ok := c.Get(hot); !ok {
				missed++
			}
		}
		return missed
	}
}

func getMisses(c caches.Cache, w *workload.Workload) chunk {
	return func(at int) (missed int) {
		at %= len(w.Absent) / chunkSize * chunkSize
		for _, key := range w.Absent[at : at+chunkSize] {
			if _, ok := c.Get(key); !ok {
				missed++
			}
		}
		return missed
	}
}

func sets(c caches.Cache, w *workload.Workload) chunk {
	return func(at int) int {
		for i, key := range w.Slice(at, chunkSize) {
			c.Set(key, w.Val(at+i))
		}
		return 0
	}
}

// evicting goes on where it ended, so that no key comes twice; only one goroutine may call it. Working
// off what is queued is part of what a Set costs: a full queue makes the next ones wait, or drops them.
func evicting(c caches.Cache, w *workload.Workload, fresh *workload.Fresh) chunk {
	next := 0
	return func(int) int {
		for range chunkSize {
			c.Set(fresh.Key(next), w.Val(next))
			next++
		}
		c.Settle()
		return 0
	}
}

func mixed(c caches.Cache, w *workload.Workload) chunk {
	return func(at int) (missed int) {
		for i, key := range w.Slice(at, chunkSize) {
			if (at+i)%10 == 0 {
				c.Set(key, w.Val(at+i))
			} else if _, ok := c.Get(key); !ok {
				missed++
			}
		}
		return missed
	}
}

func loaderHits[V any](
	ctx context.Context, get func(context.Context, string) (V, error), w *workload.Workload,
) chunk {
	return func(at int) (missed int) {
		for _, key := range w.Slice(at, chunkSize) {
			if _, err := get(ctx, key); err != nil {
				missed++
			}
		}
		return missed
	}
}

func fillerHits(c caches.Filling, w *workload.Workload, filler func(string) (string, error)) chunk {
	return func(at int) (missed int) {
		for _, key := range w.Slice(at, chunkSize) {
			if _, err := c.GetWithFiller(key, filler, 3600); err != nil {
				missed++
			}
		}
		return missed
	}
}
