package caches

import "github.com/dgraph-io/ristretto/v2"

// Ristretto is the name that results are looked up by.
const Ristretto = "ristretto"

var ristrettoKind = Kind{
	Name: Ristretto, Module: "github.com/dgraph-io/ristretto/v2",
	Setup: "MaxCost in entries, ten counters for each, Metrics, SetWithTTL of an hour",
	New: func(capacity int) (Cache, error) {
		c, err := ristretto.NewCache(&ristretto.Config[string, string]{
			NumCounters:        10 * int64(capacity),
			MaxCost:            int64(capacity),
			BufferItems:        64,
			Metrics:            true,
			IgnoreInternalCost: true,
		})
		if err != nil {
			return nil, err
		}
		return &ristrettoCache{c}, nil
	},
}

type ristrettoCache struct {
	*ristretto.Cache[string, string]
}

// Set may be dropped, as ristretto's are: then the Gets miss.
func (c *ristrettoCache) Set(key, val string) { c.SetWithTTL(key, val, 1, TTL) }
func (c *ristrettoCache) Settle()             { c.Wait() }
func (c *ristrettoCache) Len() int            { return int(c.Metrics.KeysAdded() - c.Metrics.KeysEvicted()) }

func (c *ristrettoCache) Close() error {
	c.Cache.Close()
	return nil
}
