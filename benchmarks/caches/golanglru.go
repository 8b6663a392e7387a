package caches

import (
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/hashicorp/golang-lru/v2/expirable"
)

// GolangLRU is the name that results are looked up by: it is exact LRU.
const GolangLRU = "golang-lru"

var (
	golangLRU = Kind{
		Name: GolangLRU, Module: "github.com/hashicorp/golang-lru/v2", NoTTL: true,
		Setup: "lru.Cache; it has no counters and no TTL",
		New: func(capacity int) (Cache, error) {
			c, err := lru.New[string, string](capacity)
			if err != nil {
				return nil, err
			}
			return lruCache{c}, nil
		},
	}
	expirableLRU = Kind{
		Name: "expirable", Module: "github.com/hashicorp/golang-lru/v2", Immortal: true,
		Setup: "golang-lru's expirable.LRU with an hour; it has no counters",
		New: func(capacity int) (Cache, error) {
			return expirableCache{expirable.NewLRU[string, string](capacity, nil, TTL)}, nil
		},
	}
)

type lruCache struct{ *lru.Cache[string, string] }

func (c lruCache) Set(key, val string) { c.Add(key, val) }
func (c lruCache) Settle()             {}
func (c lruCache) Close() error        { return nil }

type expirableCache struct{ *expirable.LRU[string, string] }

func (c expirableCache) Set(key, val string) { c.Add(key, val) }
func (c expirableCache) Settle()             {}

// Close leaves an empty map behind.
func (c expirableCache) Close() error {
	c.Purge()
	return nil
}
