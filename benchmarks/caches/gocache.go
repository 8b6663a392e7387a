package caches

import (
	"time"

	gocache "github.com/patrickmn/go-cache"
)

var goCacheKind = Kind{
	Name: "go-cache", Module: "github.com/patrickmn/go-cache", Unbounded: true,
	Setup: "a default expiration of an hour, cleaned up each second; it has no counters and no capacity",
	New: func(int) (Cache, error) {
		return &goCache{gocache.New(TTL, time.Second)}, nil
	},
}

type goCache struct{ *gocache.Cache }

func (c *goCache) Get(key string) (string, bool) {
	val, ok := c.Cache.Get(key)
	if !ok {
		return "", false
	}
	return val.(string), true
}

func (c *goCache) Set(key, val string)                       { c.SetDefault(key, val) }
func (c *goCache) SetTTL(key, val string, ttl time.Duration) { c.Cache.Set(key, val, ttl) }
func (c *goCache) Settle()                                   {}
func (c *goCache) Len() int                                  { return c.ItemCount() }

func (c *goCache) Close() error {
	c.Flush()
	return nil
}
