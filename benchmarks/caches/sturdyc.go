package caches

import (
	"context"
	"sync/atomic"

	"github.com/viccon/sturdyc"
)

var sturdycKind = Kind{
	Name: "sturdyc", Module: "github.com/viccon/sturdyc",
	Setup: "a shard per 1,000 entries, 64 at most; 10 % are evicted at a time; metrics; TTL of an hour, without the goroutine that " +
		"removes what has expired: it can't be ended",
	New: func(capacity int) (Cache, error) {
		shards := min(max(capacity/1000, 1), 64)
		return &sturdycCache{sturdyc.New[string](capacity, shards, TTL, 10,
			sturdyc.WithMetrics(&sturdycCounters{}), sturdyc.WithNoContinuousEvictions())}, nil
	},
}

type sturdycCache struct {
	*sturdyc.Client[string]
}

// Loader makes a function for each Get: a FetchFn isn't told the key.
func (c *sturdycCache) Loader(load Load) (func(context.Context, string) (string, error), error) {
	return func(ctx context.Context, key string) (string, error) {
		return c.GetOrFetch(ctx, key, func(ctx context.Context) (string, error) { return load(ctx, key) })
	}, nil
}

func (c *sturdycCache) Set(key, val string) { c.Client.Set(key, val) }
func (c *sturdycCache) Settle()             {}
func (c *sturdycCache) Len() int            { return c.Size() }
func (c *sturdycCache) Close() error        { return nil }

// sturdycCounters count what the other caches count, as plainly as possible.
type sturdycCounters struct{ hits, misses, evicted atomic.Uint64 }

func (s *sturdycCounters) CacheHit()                   { s.hits.Add(1) }
func (s *sturdycCounters) CacheMiss()                  { s.misses.Add(1) }
func (s *sturdycCounters) EntriesEvicted(n int)        { s.evicted.Add(uint64(n)) }
func (s *sturdycCounters) AsynchronousRefresh()        {}
func (s *sturdycCounters) SynchronousRefresh()         {}
func (s *sturdycCounters) MissingRecord()              {}
func (s *sturdycCounters) ForcedEviction()             {}
func (s *sturdycCounters) ShardIndex(int)              {}
func (s *sturdycCounters) CacheBatchRefreshSize(int)   {}
func (s *sturdycCounters) ObserveCacheSize(func() int) {}
