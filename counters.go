package bcache

import "sync/atomic"

// storeStats are counters since the start.
type storeStats struct {
	hits, misses        uint64
	replaced            uint64 // see replace
	evictions           uint64 // entries dropped at maxKeys or maxBytes
	expirations         uint64 // entries dropped because their deadline had come
	tombstonesCollected uint64 // after deletionDelay
	tombstonesDropped   uint64 // earlier, at their bound
	floorRefusals       uint64 // records that a floor kept out
	provisionalsDropped uint64 // provisional values that a write has ended
}

// counters are those of storeStats that aren't counted in the shards.
type counters struct {
	hits                stripedCounter
	misses              atomic.Uint64 // of shards that aren't there
	evictions           atomic.Uint64
	expirations         atomic.Uint64
	tombstonesCollected atomic.Uint64
	tombstonesDropped   atomic.Uint64
	floorRefusals       atomic.Uint64
	provisionalsDropped atomic.Uint64
}

func (c *counters) load() storeStats {
	return storeStats{
		hits:                c.hits.load(),
		misses:              c.misses.Load(),
		evictions:           c.evictions.Load(),
		expirations:         c.expirations.Load(),
		tombstonesCollected: c.tombstonesCollected.Load(),
		tombstonesDropped:   c.tombstonesDropped.Load(),
		floorRefusals:       c.floorRefusals.Load(),
		provisionalsDropped: c.provisionalsDropped.Load(),
	}
}
