// Package caches adapts each cache of the comparison to one interface.
//
// Every cache is set up as its documentation shows it, with its counters of hits and misses on
// and, where it has one, a TTL. An adapter adds one call and no allocation.
package caches

import (
	"context"
	"time"
)

// A Cache is a cache as the comparison sees it. Get and Set may be called concurrently.
type Cache interface {
	Get(key string) (string, bool)
	Set(key, val string)

	// Settle returns when earlier Sets have taken effect, for caches that only queue them.
	Settle()

	// Len is how many entries are held, as exactly as the cache knows.
	Len() int

	// Close ends the cache. The error is the first one that Get or Set met.
	Close() error
}

// An Expirer can also give each entry a TTL of its own.
type Expirer interface {
	Cache
	SetTTL(key, val string, ttl time.Duration)
}

// A Filling cache can look up what it lacks.
type Filling interface {
	Cache
	GetWithFiller(key string, filler func(key string) (string, error), ttl int) (string, error)
}

// A Loading cache can be told once how to look up what it lacks.
type Loading interface {
	Cache

	// Loader returns a Get that looks up what isn't there with load: as a service would write it,
	// with what it needs of the database captured.
	Loader(load Load) (get func(ctx context.Context, key string) (string, error), err error)
}

// A Load looks a key up where it comes from.
type Load func(ctx context.Context, key string) (string, error)

// TTL is what entries get where nothing else is said: long enough that none expires.
const TTL = time.Hour

// A Kind is a cache that takes part.
type Kind struct {
	Name   string
	Module string // for its version in the build info
	Setup  string // how it was set up, for people

	// New returns an empty cache for that many entries of 9 bytes of key and 100 of value.
	New func(capacity int) (Cache, error)

	// MinCapacity is the smallest capacity that the cache keeps to.
	MinCapacity int

	Unbounded bool // it has no capacity
	NoTTL     bool // its entries have no deadline
	Immortal  bool // its goroutine can't be ended, so that what it took is never free again
	Remote    bool // it is a server, and takes part in the measures of speed only
	Variant   bool // of another kind: it takes part where the variation matters
}

// Local are the caches that live in the process.
func Local() []Kind {
	return []Kind{
		bcacheKind, bcacheNoTTL, bcacheLRU,
		otterKind, otterNoTTL,
		ristrettoKind, theineKind, freecacheKind, sturdycKind,
		goCacheKind, golangLRU, expirableLRU,
	}
}

// Bounded are those that have a capacity, without variants that evict alike.
func Bounded() (bounded []Kind) {
	for _, k := range Local() {
		if !k.Unbounded && (!k.Variant || k.Name == BcacheLRU) {
			bounded = append(bounded, k)
		}
	}
	return bounded
}

// Main leaves out variants, of which there is no need to see each figure.
func Main(kinds []Kind) (main []Kind) {
	for _, k := range kinds {
		if !k.Variant {
			main = append(main, k)
		}
	}
	return main
}
