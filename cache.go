package bcache

import (
	"cmp"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
)

const (
	// numBuckets is how many floors there are. The wire version fixes it, and the
	// hash too.
	numBuckets = 1 << 14

	keysPerShard = 1024 // on average, at most: it bounds for how long a shard is locked
	maxShards    = 1 << 18

	maxTombstoneBytes = 64 << 20 // of keys
)

// An outcome says what apply did with a record. Whatever it was, the record's
// version is covered from then on.
type outcome uint8

const (
	outcomeApplied outcome = iota // it is what the store holds now
	outcomeKept                   // the same version or a greater one was held
	outcomeRefused                // the key isn't held, and the floor isn't below the stamp
	outcomeCleared                // Clear isn't below the stamp
	outcomeExpired                // past its deadline: what was older is dropped
	outcomeForgot                 // a forget: what was older is dropped
	outcomeTooBig                 // no room even if nothing else were held: what was older is dropped
)

// storeConfig describes a store.
type storeConfig struct {
	maxKeys       int           // entries, at least 1
	maxBytes      int64         // of entries, see EntryOverhead; 0 = no limit
	deletionDelay time.Duration // how long a tombstone is kept
	maxTombstones int           // 0 = maxKeys, but no less than 1,024 and no more than 1<<20
	groupKeys     int           // in a group of a full sync, about; 0 = 1,024
	seed          uint64        // of the choice of shards to evict from
}

// storeStats are counters since the start.
type storeStats struct {
	hits, misses        uint64
	evictions           uint64 // entries dropped at maxKeys or maxBytes
	expirations         uint64 // entries dropped because their deadline had come
	tombstonesCollected uint64 // after deletionDelay
	tombstonesDropped   uint64 // earlier, at their bound
	floorRefusals       uint64 // records that a floor kept out
}

// A store is what a node holds: entries, tombstones, and what it has to know
// about the versions that it no longer holds: the floors and Clear.
//
// For every version that was ever applied, the store holds that key at this
// version or a greater one, or the floor of its bucket is not below its stamp, or
// Clear isn't. A floor is raised under the same lock under which what it
// stands for goes, so that this is true at every moment.
//
// apply and close are serialised by the caller; everything else
// may run at any time. At most one shard is locked at a time.
type store struct {
	storeConfig
	table  []atomic.Pointer[shard] // by the low bits of the hash; nil until a key needs it
	floors [numBuckets]atomic.Uint64

	clearStamp, clearOrigin atomic.Uint64

	entries, inProbation, entryBytes atomic.Int64
	tombs, tombBytes                 atomic.Int64

	clock  atomic.Uint32 // inserts so far: the time scale of last uses. It may wrap.
	rng    *rand.PCG     // only apply draws
	closed bool

	hits, misses                 atomic.Uint64 // of shards that aren't there
	evictions, expirations       atomic.Uint64
	tombsCollected, tombsDropped atomic.Uint64
	floorRefusals                atomic.Uint64
}

// newStore returns an empty store. It takes 128 KiB, and 8 bytes for every
// 1,024 of maxKeys (at most 2 MiB): the rest comes with the keys.
func newStore(c storeConfig) *store {
	if c.maxBytes > 0 {
		c.maxKeys = int(min(int64(c.maxKeys), c.maxBytes/EntryOverhead)) // more can't be held
	}
	c.maxKeys = max(c.maxKeys, 1)
	c.groupKeys = cmp.Or(c.groupKeys, defaultGroupKeys)
	if c.maxTombstones <= 0 {
		c.maxTombstones = min(max(c.maxKeys, 1024), 1<<20)
	}
	n := 1
	for n < maxShards && n < (max(c.maxKeys, c.maxTombstones)-1)/keysPerShard+1 {
		n *= 2
	}
	return &store{
		storeConfig: c,
		table:       make([]atomic.Pointer[shard], n),
		rng:         rand.NewPCG(c.seed, 0),
	}
}

// get returns the live value of a key, and that is a use of it. wall, in Unix
// milliseconds, is called only if the entry has a deadline.
func (s *store) get(key string, wall func() int64) (string, bool) {
	sh := s.shardOf(xxhash.Sum64String(key))
	if sh == nil {
		s.misses.Add(1)
		return "", false
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := s.useLocked(sh, key)
	if e == nil || e.kind != kindValue || e.stamp <= s.clearStamp.Load() {
		sh.misses++
		return "", false
	}
	if expired, ended := sh.expiredLocked(e, wall); expired {
		if ended { // now, so that it isn't back when the clock is set back
			s.forgetLocked(sh, e.key, e.version)
			s.expirations.Add(1)
		}
		sh.misses++
		return "", false
	}
	sh.hits++
	return e.val, true
}

// peek returns what is held of a key, expired or not: a value, a negative or
// a tombstone. That is no use of it, and isn't counted.
func (s *store) peek(key string) (record, bool) {
	sh := s.shardOf(xxhash.Sum64String(key))
	if sh == nil {
		return record{}, false
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	var rec record
	if e := sh.findLocked(key); e != nil {
		rec = sh.recordLocked(e)
	} else if t, ok := sh.tombs.peek(key); ok {
		rec = record{key: t.key, version: t.version, kind: kindTombstone}
	} else {
		return record{}, false
	}
	if rec.stamp <= s.clearStamp.Load() {
		return record{}, false
	}
	return rec, true
}

// admits reports whether apply would accept this version of a key.
func (s *store) admits(key string, v version) bool {
	if v.stamp <= s.clearStamp.Load() {
		return false
	}
	if held, ok := s.peek(key); ok {
		return held.less(v)
	}
	return v.stamp > s.floorOf(s.bucketOf(key))
}

// apply merges a record into the store. A local one is a use of its key; one
// from elsewhere must not push out what is used here. If the outcome is
// outcomeApplied, rec.key is the store's own copy from then on.
func (s *store) apply(now instant, rec *record, local bool) outcome {
	if s.closed {
		return outcomeRefused
	}
	if rec.kind == kindClear {
		return s.applyClear(rec.version)
	}
	h := xxhash.Sum64String(rec.key)
	sh := s.shardOf(h)
	if sh == nil {
		sh = &shard{cleared: s.clearStamp.Load()}
		s.table[h&uint64(len(s.table)-1)].Store(sh)
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if o := s.judgeLocked(sh, now, rec, h); o != outcomeApplied {
		return o
	}
	if local {
		s.useLocked(sh, rec.key) // before there has to be room: it mustn't be the victim itself
	}
	// Room is made in other shards too, and two are never locked at once.
	for !s.fitsLocked(sh, rec) {
		sh.mu.Unlock()
		if rec.kind == kindTombstone {
			s.dropTombstone()
		} else {
			s.evict(now)
		}
		sh.mu.Lock()
		// What was held may have gone meanwhile, and a floor may have risen for it.
		if o := s.judgeLocked(sh, now, rec, h); o != outcomeApplied {
			return o
		}
	}
	if rec.kind == kindTombstone {
		s.buryLocked(sh, now, rec)
	} else {
		s.putLocked(sh, rec, local)
	}
	return outcomeApplied
}

// judgeLocked says whether a record is to be held. If its version is only to be
// remembered, what is older goes, and that is all there is to do.
func (s *store) judgeLocked(sh *shard, now instant, rec *record, hash uint64) outcome {
	clear := s.clearStamp.Load()
	if rec.stamp <= clear {
		return outcomeCleared
	}
	held, ok := sh.heldLocked(rec.key)
	if ok && held.stamp <= clear {
		s.removeLocked(sh, rec.key) // not swept yet
		ok = false
	}
	if ok && !held.less(rec.version) {
		if held == rec.version {
			sh.remarkLocked(rec.key, rec.mark)
		}
		return outcomeKept
	}
	if !ok && rec.stamp <= s.floorOf(int(hash%numBuckets)) {
		s.floorRefusals.Add(1)
		return outcomeRefused
	}

	var o outcome
	switch {
	case rec.kind >= kindForget:
		o = outcomeForgot
	case rec.ended(now.wall):
		o = outcomeExpired
	case s.tooBig(rec):
		o = outcomeTooBig
	default:
		return outcomeApplied
	}
	s.forgetLocked(sh, rec.key, rec.version) // what is held is smaller
	return o
}

func (s *store) applyClear(v version) outcome {
	if !s.clearVersion().less(v) {
		return outcomeKept
	}
	s.clearOrigin.Store(v.origin)
	s.clearStamp.Store(v.stamp) // every shard's cleared is below it now, and so it is due
	return outcomeApplied
}

// putLocked holds a value or a negative. There is room for it.
func (s *store) putLocked(sh *shard, rec *record, local bool) {
	e := sh.findLocked(rec.key)
	if e != nil {
		s.entryBytes.Add(int64(len(rec.val) - len(e.val)))
		sh.overwriteLocked(e, rec)
	} else {
		e = &entry{key: s.takeKeyLocked(sh, rec.key), used: s.clock.Add(1)}
		sh.overwriteLocked(e, rec)
		sh.queueLocked(!local).add(e.key, e)
		s.countLocked(e, +1)
		if !local {
			s.inProbation.Add(1)
		}
	}
	rec.key = e.key
}

// buryLocked holds a tombstone instead of whatever is held. There is room for it.
func (s *store) buryLocked(sh *shard, now instant, rec *record) {
	rec.key = s.takeKeyLocked(sh, rec.key)
	sh.tombs.add(rec.key, tombstone{key: rec.key, version: rec.version, born: now.mono})
	s.tombs.Add(1)
	s.tombBytes.Add(int64(len(rec.key)))
}

// takeKeyLocked removes what is held of a key and returns the store's copy of that
// key. A caller's own string may be part of a much larger one.
func (s *store) takeKeyLocked(sh *shard, key string) string {
	if e := sh.findLocked(key); e != nil {
		key = e.key
	} else if t, ok := sh.tombs.peek(key); ok {
		key = t.key
	} else {
		return strings.Clone(key)
	}
	s.removeLocked(sh, key)
	return key
}

// useLocked returns the entry of a key, or nil, and makes it the one used last.
func (s *store) useLocked(sh *shard, key string) *entry {
	e, ok := sh.main.get(key)
	if !ok {
		if e, ok = sh.probation.peek(key); !ok {
			return nil
		}
		sh.probation.remove(key)
		sh.main.add(e.key, e)
		s.inProbation.Add(-1)
	}
	e.used = s.clock.Load()
	return e
}

// removeLocked drops what is held of a key. That something else stands for it is
// the caller's business.
func (s *store) removeLocked(sh *shard, key string) {
	if e := sh.findLocked(key); e != nil {
		if !sh.main.remove(key) {
			sh.probation.remove(key)
			s.inProbation.Add(-1)
		}
		sh.endLifeLocked(e)
		s.countLocked(e, -1)
	} else if t, ok := sh.tombs.peek(key); ok {
		sh.tombs.remove(key)
		s.tombs.Add(-1)
		s.tombBytes.Add(-int64(len(t.key)))
	}
}

func (s *store) countLocked(e *entry, n int64) {
	s.entries.Add(n)
	s.entryBytes.Add(n * e.cost())
}

// shardOf returns the shard of a hash, or nil while no key has needed it.
func (s *store) shardOf(hash uint64) *shard {
	return s.table[hash&uint64(len(s.table)-1)].Load()
}

// len returns how many entries there are, those included that are expired or
// cleared, but not swept yet.
func (s *store) len() int { return int(s.entries.Load()) }

// bytes returns what the entries count for MaxBytes.
func (s *store) bytes() int64 { return s.entryBytes.Load() }

func (s *store) tombstones() int { return int(s.tombs.Load()) }

func (s *store) shards() int { return len(s.table) }

// bucketOf returns the number of the bucket that a key belongs to.
func (s *store) bucketOf(key string) int { return int(xxhash.Sum64String(key) % numBuckets) }

// floorOf returns a bucket's floor: a key of that bucket that isn't held may
// have had any version up to this stamp.
func (s *store) floorOf(bucket int) uint64 { return s.floors[bucket].Load() }

// raiseFloor raises a bucket's floor to a stamp; it never falls.
func (s *store) raiseFloor(bucket int, stamp uint64) {
	f := &s.floors[bucket]
	for old := f.Load(); old < stamp && !f.CompareAndSwap(old, stamp); old = f.Load() {
	}
}

// clearVersion returns the greatest Clear that was applied. Together with apply it may pair the
// stamp with the origin of another one, which only decides between equal stamps.
func (s *store) clearVersion() version {
	return version{stamp: s.clearStamp.Load(), origin: s.clearOrigin.Load()}
}

// stats visits every shard.
func (s *store) stats() storeStats {
	st := storeStats{
		hits:                s.hits.Load(),
		misses:              s.misses.Load(),
		evictions:           s.evictions.Load(),
		expirations:         s.expirations.Load(),
		tombstonesCollected: s.tombsCollected.Load(),
		tombstonesDropped:   s.tombsDropped.Load(),
		floorRefusals:       s.floorRefusals.Load(),
	}
	for i := range s.table {
		if sh := s.table[i].Load(); sh != nil {
			sh.mu.Lock()
			st.hits += sh.hits
			st.misses += sh.misses
			sh.mu.Unlock()
		}
	}
	return st
}

// close drops everything. From then on every get misses and apply does nothing.
// Counters and floors stay, and 64 bytes a shard.
func (s *store) close() {
	s.closed = true
	for i := range s.table {
		sh := s.table[i].Load()
		if sh == nil {
			continue
		}
		sh.mu.Lock()
		for _, e := range sh.entriesLocked() {
			s.removeLocked(sh, e.key)
		}
		for _, t := range sh.tombs.values() {
			s.removeLocked(sh, t.key)
		}
		sh.trimLocked()
		sh.mu.Unlock()
	}
}

// drop gives up what is held of a key if its version is smaller than below. It
// reports whether it did.
func (s *store) drop(key string, below version) bool {
	sh := s.shardOf(xxhash.Sum64String(key))
	if sh == nil {
		return false
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	held, ok := sh.heldLocked(key)
	if !ok || !held.less(below) {
		return false
	}
	s.forgetLocked(sh, key, held)
	return true
}
