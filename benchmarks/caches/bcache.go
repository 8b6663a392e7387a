package caches

import (
	"context"
	"sync"
	"time"

	"github.com/iwanbk/bcache"
)

// Names that results are looked up by.
const (
	Bcache      = "bcache"
	BcacheNoTTL = "bcache, no TTL"
	BcacheLRU   = "bcache, LRU"
	BcacheNet   = "bcache, replicating"
)

const bcacheModule = "github.com/iwanbk/bcache"

var (
	bcacheKind = Kind{
		Name: Bcache, Module: bcacheModule,
		Setup: "a local node, TTL of an hour",
		New:   func(capacity int) (Cache, error) { return newBcache(bcache.Config{MaxKeys: capacity}, TTL) },
	}
	bcacheNoTTL = Kind{
		Name: BcacheNoTTL, Module: bcacheModule, Variant: true, NoTTL: true,
		Setup: "a local node, no TTL",
		New: func(capacity int) (Cache, error) {
			return newBcache(bcache.Config{MaxKeys: capacity}, bcache.NoExpiry)
		},
	}
	bcacheLRU = Kind{
		Name: BcacheLRU, Module: bcacheModule, Variant: true,
		Setup: "a local node, Eviction of LRU, TTL of an hour",
		New: func(capacity int) (Cache, error) {
			return newBcache(bcache.Config{MaxKeys: capacity, Eviction: bcache.LRU}, TTL)
		},
	}
)

// Replicating is a bcache that other nodes could connect to: it keeps a log of its writes, which
// a local node doesn't.
func Replicating() Kind {
	return Kind{
		Name: BcacheNet, Module: bcacheModule, Variant: true,
		Setup: "a node that listens, with its log of writes, TTL of an hour",
		New: func(capacity int) (Cache, error) {
			return newBcache(bcache.Config{MaxKeys: capacity, ListenAddr: "127.0.0.1:0"}, TTL)
		},
	}
}

type bcacheCache struct {
	*bcache.Bcache
	ttl time.Duration
	firstError
}

func newBcache(cfg bcache.Config, ttl time.Duration) (Cache, error) {
	b, err := bcache.New(cfg)
	if err != nil {
		return nil, err
	}
	return &bcacheCache{Bcache: b, ttl: ttl}, nil
}

func (c *bcacheCache) Set(key, val string) { c.SetTTL(key, val, c.ttl) }

func (c *bcacheCache) SetTTL(key, val string, ttl time.Duration) {
	if err := c.SetWithTTL(key, val, ttl); err != nil {
		c.note(err)
	}
}

func (c *bcacheCache) GetWithFiller(key string, filler func(string) (string, error), ttl int) (string, error) {
	return c.Bcache.GetWithFiller(key, filler, ttl)
}

func (c *bcacheCache) Loader(load Load) (func(context.Context, string) (string, error), error) {
	l, err := bcache.NewLoader(c.Bcache, bcache.LoaderConfig{
		TTL: c.ttl,
		Fill: func(ctx context.Context, key string) (bcache.Loaded, error) {
			val, err := load(ctx, key)
			return bcache.Loaded{Value: val}, err
		},
	})
	if err != nil {
		return nil, err
	}
	return l.Get, nil
}

func (c *bcacheCache) Settle() {}

func (c *bcacheCache) Close() error {
	c.note(c.Bcache.Close())
	return c.first()
}

// A firstError keeps the first error of many concurrent calls.
type firstError struct {
	mu  sync.Mutex
	err error
}

func (f *firstError) note(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

func (f *firstError) first() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}
