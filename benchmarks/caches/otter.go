package caches

import (
	"context"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/maypok86/otter/v2/stats"
)

// Names that results are looked up by.
const (
	Otter      = "otter"
	OtterNoTTL = "otter, no TTL"
)

var (
	otterKind = Kind{
		Name: Otter, Module: "github.com/maypok86/otter/v2",
		Setup: "MaximumSize, StatsRecorder, ExpiryWriting of an hour",
		New: func(capacity int) (Cache, error) {
			return newOtter(capacity, otter.ExpiryWriting[string, string](TTL))
		},
	}
	otterNoTTL = Kind{
		Name: OtterNoTTL, Module: "github.com/maypok86/otter/v2", Variant: true, NoTTL: true,
		Setup: "MaximumSize, StatsRecorder",
		New:   func(capacity int) (Cache, error) { return newOtter(capacity, nil) },
	}
)

type otterCache struct {
	*otter.Cache[string, string]
}

func newOtter(capacity int, expiry otter.ExpiryCalculator[string, string]) (Cache, error) {
	c, err := otter.New(&otter.Options[string, string]{
		MaximumSize:      capacity,
		StatsRecorder:    stats.NewCounter(),
		ExpiryCalculator: expiry,
	})
	if err != nil {
		return nil, err
	}
	return &otterCache{c}, nil
}

func (c *otterCache) Loader(load Load) (func(context.Context, string) (string, error), error) {
	loader := otter.LoaderFunc[string, string](load)
	return func(ctx context.Context, key string) (string, error) { return c.Cache.Get(ctx, key, loader) }, nil
}

func (c *otterCache) Get(key string) (string, bool) { return c.GetIfPresent(key) }
func (c *otterCache) Set(key, val string)           { c.Cache.Set(key, val) }
func (c *otterCache) Settle()                       { c.CleanUp() }
func (c *otterCache) Len() int                      { return c.EstimatedSize() }

func (c *otterCache) SetTTL(key, val string, ttl time.Duration) {
	c.Cache.Set(key, val)
	c.SetExpiresAfter(key, ttl)
}

func (c *otterCache) Close() error {
	c.StopAllGoroutines()
	return nil
}
