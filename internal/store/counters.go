package store

import (
	"sync/atomic"

	"github.com/iwanbk/bcache/internal/striped"
)

// Stats are counters since the start.
type Stats struct {
	Hits, Misses        uint64
	Replaced            uint64 // see Replace
	Evictions           uint64 // entries dropped at MaxKeys or MaxBytes
	Expirations         uint64 // entries dropped because their deadline had come
	tombstonesCollected uint64 // after deletionDelay
	TombstonesDropped   uint64 // earlier, at their bound
	FloorRefusals       uint64 // records that a floor kept out
	ProvisionalsDropped uint64 // provisional values that a write has ended
	Cleared             uint64 // entries that a Clear of a prefix or tag has removed
	ClearsDropped       uint64 // selectors whose Clears were all forgotten, to make room for others

	Probation int // entries that haven't been used again since they came
}

// counters are those of Stats that aren't counted in the shards.
type counters struct {
	hits                striped.Counter
	misses              striped.Counter
	evictions           atomic.Uint64
	expirations         atomic.Uint64
	tombstonesCollected atomic.Uint64
	tombstonesDropped   atomic.Uint64
	floorRefusals       atomic.Uint64
	provisionalsDropped atomic.Uint64
	cleared             atomic.Uint64
	clearsDropped       atomic.Uint64
}

func (c *counters) load() Stats {
	return Stats{
		Hits:                c.hits.Load(),
		Misses:              c.misses.Load(),
		Evictions:           c.evictions.Load(),
		Expirations:         c.expirations.Load(),
		tombstonesCollected: c.tombstonesCollected.Load(),
		TombstonesDropped:   c.tombstonesDropped.Load(),
		FloorRefusals:       c.floorRefusals.Load(),
		ProvisionalsDropped: c.provisionalsDropped.Load(),
		Cleared:             c.cleared.Load(),
		ClearsDropped:       c.clearsDropped.Load(),
	}
}
