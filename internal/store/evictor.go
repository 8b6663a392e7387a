package store

import (
	"math/rand/v2"

	"github.com/iwanbk/bcache/internal/delta"
)

const (
	// looks is how many shards are compared to find a victim. With so many the hit
	// ratio on a Zipf trace is that of an exact LRU within 0.1 points.
	looks = 8

	// maxProbes bounds the search in a nearly empty store, once it has found one.
	maxProbes = 64
)

// An evictor makes room. What goes for an entry its policy decides. Its methods are serialised as Apply
// is.
type evictor struct {
	*shared
	table   *table
	sweeper *Sweeper
	rng     *rand.PCG
}

// evictFor evicts up to n entries to make room for a record that is to be held under a hash. It reports
// whether more are needed.
func (v *evictor) evictFor(now delta.Instant, rec *delta.Record, hash uint64, n int) bool {
	if v.limits.maxBytes <= 0 || rec.Kind == delta.KindTombstone || v.limits.tooBig(rec) ||
		CostOf(rec) <= int64(n)*EntryOverhead {
		return false // Apply itself won't need more
	}
	v.room.wanted.Store(CostOf(rec))
	for nth := range n {
		if sh := v.table.of(hash); sh != nil {
			sh.mu.Lock()
			fits := sh.fitsLocked(rec, sh.entries.find(hash, rec.Key))
			sh.mu.Unlock()
			if fits {
				return false
			}
		} else if v.tally.bytes.Load()+CostOf(rec) <= v.limits.maxBytes {
			return false
		}
		v.policy.evict(now, hash, nth)
	}
	return true
}

// dropTombstone collects a tombstone, one of the oldest, before its time.
func (v *evictor) dropTombstone() {
	sh := v.eldest(func(sh *shard) (int64, bool) {
		t, ok := sh.tombs.oldest()
		return -int64(t.born), ok
	})
	if sh == nil {
		return
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if t, ok := sh.tombs.oldest(); ok {
		sh.forgetLocked(t.key, t.Version)
		v.counters.tombstonesDropped.Add(1)
	}
}

// eldest asks some shards, from a random one on, for the age of what they would
// give up, and returns the one with the greatest. nil: none has anything.
func (v *evictor) eldest(ageLocked func(*shard) (int64, bool)) *shard {
	var best *shard
	var bestAge int64
	start, n := v.rng.Uint64(), uint64(v.table.len())
	for i, found := uint64(0), 0; i < n && found < looks && (best == nil || i < maxProbes); i++ {
		sh := v.table.of(start + i)
		if sh == nil {
			continue
		}
		sh.mu.Lock()
		age, ok := ageLocked(sh)
		sh.mu.Unlock()
		if !ok {
			continue
		}
		found++
		if best == nil || age > bestAge {
			best, bestAge = sh, age
		}
	}
	return best
}
