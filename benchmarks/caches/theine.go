package caches

import (
	"time"

	"github.com/Yiling-J/theine-go"
)

var theineKind = Kind{
	Name: "theine", Module: "github.com/Yiling-J/theine-go",
	Setup: "as built by default, it always counts; SetWithTTL of an hour",
	New: func(capacity int) (Cache, error) {
		c, err := theine.NewBuilder[string, string](int64(capacity)).Build()
		if err != nil {
			return nil, err
		}
		return &theineCache{c}, nil
	},
}

type theineCache struct {
	*theine.Cache[string, string]
}

func (c *theineCache) Set(key, val string) { c.SetTTL(key, val, TTL) }
func (c *theineCache) Settle()             { c.Wait() }

func (c *theineCache) SetTTL(key, val string, ttl time.Duration) { c.SetWithTTL(key, val, 1, ttl) }

func (c *theineCache) Close() error {
	c.Cache.Close()
	return nil
}
