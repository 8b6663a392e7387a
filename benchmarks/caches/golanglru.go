package caches

import (
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/hashicorp/golang-lru/v2/expirable"
)

// GolangLRU is the name that results are looked up by: it is exact LRU.
const GolangLRU = "golang-lru"

var (
	golangLRU = Kind{
		Name: GolangLRU, Module: "github.com/hashicorp/golang-lru/v2",
		Setup: "lru.Cache; it has no counters and no TTL",
		New: func(capacity int) (Cache, error) {
			c, err := lru.New[string, string](capacity)
			if err != nil {
				return nil, err
			}
			return lruCache[*lru.Cache[string, string]]{c}, nil
		},
	}
	expirableLRU = Kind{
		Name: "expirable", Module: "github.com/hashicorp/golang-lru/v2",
		Setup: "golang-lru's expirable.LRU with an hour; it has no counters",
		New: func(capacity int) (Cache, error) {
			return lruCache[*expirable.LRU[string, string]]{expirable.NewLRU[string, string](capacity, nil, TTL)}, nil
		},
	}
)

// lruCache is either of the two, which have the methods in common.
type lruCache[C lruMethods] struct{ lru C }

type lruMethods interface {
	Get(string) (string, bool)
	Add(string, string) bool
	Len() int
}

func (c lruCache[C]) Get(key string) (string, bool) { return c.lru.Get(key) }
func (c lruCache[C]) Set(key, val string)           { c.lru.Add(key, val) }
func (c lruCache[C]) Len() int                      { return c.lru.Len() }
func (c lruCache[C]) Settle()                       {}
func (c lruCache[C]) Close() error                  { return nil }
