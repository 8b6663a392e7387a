package bcache

import (
	"cmp"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"
)

const (
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
	maxBytes      int64         // of entries, see entryOverhead; 0 = no limit
	deletionDelay time.Duration // how long a tombstone is kept
	maxTombstones int           // 0 = maxKeys, but no less than 1,024 and no more than 1<<20
	groupKeys     int           // in a group of a full sync, about; 0 = 131,072
	stepShards    int           // looked at in a step of a full sync; 0 = 64
	seed          uint64        // of the choice of shards to evict from
	hash          keyHash       // of the index; zero = one of its own
}

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

// A store is what a node holds: entries, tombstones, and what it has to know
// about the versions that it no longer holds: the floors and Clear.
//
// For every version that was ever applied, the store holds that key at this
// version or a greater one, or the floor of its bucket is not below its stamp, or
// Clear isn't. A floor is raised under the same lock under which what it
// stands for goes, so that this is true at every moment.
//
// apply, keep, beginFill and close are serialised by the caller; everything else, replace
// included, may run at any time. At most one shard is locked at a time.
type store struct {
	storeConfig
	table  []atomic.Pointer[shard] // by the low bits of the key's hash; nil until a key needs it
	floors [numBuckets]atomic.Uint64

	// What every Get reads. It changes with inserts and removals only, so it lies apart from what
	// changes more often.
	_           [64]byte
	clearStamp  atomic.Uint64
	epoch       atomic.Uint64 // of provisional values, see touchAll
	mortal      atomic.Bool   // an entry has had a deadline
	entries     atomic.Int64
	provisional atomic.Int64  // of the entries
	clock       atomic.Uint32 // clockStep times the inserts so far: the time scale of last uses. It may wrap.
	_           [64]byte

	clearOrigin             atomic.Uint64
	clearedEpoch            atomic.Uint64 // the epoch that the last Clear began that was applied
	inProbation, entryBytes atomic.Int64
	tombs, tombBytes        atomic.Int64

	rng    *rand.PCG // only apply and keep draw
	closed atomic.Bool

	hits                         stripedCounter
	misses                       atomic.Uint64 // of shards that aren't there
	evictions, expirations       atomic.Uint64
	tombsCollected, tombsDropped atomic.Uint64
	floorRefusals                atomic.Uint64
	provisionalsDropped          atomic.Uint64

	watch watch
}

// newStore returns an empty store. It takes 136 KiB, and 8 bytes for every
// 1,024 of maxKeys (at most 2 MiB): the rest comes with the keys.
func newStore(c storeConfig) *store {
	if c.maxBytes > 0 {
		c.maxKeys = int(min(int64(c.maxKeys), c.maxBytes/entryOverhead)) // more can't be held
	}
	c.maxKeys = max(c.maxKeys, 1)
	c.groupKeys = cmp.Or(c.groupKeys, defaultGroupKeys)
	c.stepShards = cmp.Or(c.stepShards, defaultStepShards)
	if c.hash == (keyHash{}) {
		c.hash = newKeyHash()
	}
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

// A place is what apply needs of a record and can have before: see approach.
type place struct {
	hash   uint64 // of the key
	bucket int    // of the key
	fresh  *entry // made of the record; nil: not yet
	found  *entry // what lay under the hash, maybe of another key: see seek
}

// placeOf is the place of a key for which nothing was done before.
func (s *store) placeOf(key string) place {
	return place{hash: s.hash.of(key), bucket: bucketOf(key)}
}

// seek is the place of a key that isn't copied yet. It has the processor fetch what is held under its
// hash, and doesn't wait for that.
func (s *store) seek(key []byte) place {
	at := place{hash: s.hash.ofBytes(key), bucket: bucketOfBytes(key)}
	if sh := s.shardOf(at.hash); sh != nil {
		at.found = sh.index.find(at.hash)
	}
	return at
}

// ownKey returns the store's own copy of a key that was sought, if it has one, or makes a copy.
func (at *place) ownKey(key []byte) string {
	if e := at.found; e != nil && e.key == string(key) {
		return e.key
	}
	return string(key)
}

// approach does what an apply of a local record can do before the lock that serialises them is
// taken: it allocates, and has the processor fetch what apply will look at. The rest takes a
// fraction of the time. Whatever changes until then does no harm.
//
// The record has copies of the key and the value from then on. Those of the caller may be parts of much
// larger strings. Each copy is on its own: the key may be kept when the value isn't any more.
func (s *store) approach(rec *record) place {
	at := s.placeOf(rec.key)
	var held *entry
	if sh := s.shardOf(at.hash); sh != nil {
		held = sh.find(at.hash, rec.key) // what it reads is near from now on
	}
	if held != nil {
		rec.key = held.key
	} else {
		rec.key = strings.Clone(rec.key)
	}
	rec.val = strings.Clone(rec.val)
	if rec.kind == kindValue || rec.kind == kindNegative {
		at.fresh = newEntry(rec, at.bucket)
	}
	return at
}

// apply merges a record into the store. A local one is a use of its key; one
// from elsewhere must not push out what is used here. The store keeps the record's key
// and value, so they must be copies that keep nothing else alive. If the outcome is
// outcomeApplied, rec.key is the one that the store holds from then on.
func (s *store) apply(now instant, rec *record, local bool) outcome {
	return s.applyAt(now, rec, local, s.placeOf(rec.key))
}

// applyAt is apply where something was done before.
func (s *store) applyAt(now instant, rec *record, local bool, at place) outcome {
	if s.closed.Load() {
		return outcomeRefused
	}
	if rec.kind == kindClear {
		return s.applyClear(rec.version)
	}
	hash := at.hash
	sh := s.makeShard(hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	gone := s.touchLocked(sh, hash, rec.key)
	for {
		e, o := s.judgeLocked(sh, now, rec, &at)
		if o != outcomeApplied {
			s.watch.tellGone(gone, changeEvict)
			return o
		}
		if local && e != nil {
			s.useLocked(sh, hash, e) // before there has to be room: it mustn't be the victim itself
		}
		if s.fitsLocked(sh, rec, e) {
			if rec.kind == kindTombstone {
				s.buryLocked(sh, now, hash, rec)
			} else {
				s.putLocked(sh, at, rec, e, local)
			}
			return outcomeApplied
		}
		// Room is made in other shards too, and two are never locked at once. Meanwhile what was
		// held may go, and a floor may rise for it.
		sh.mu.Unlock()
		if rec.kind == kindTombstone {
			s.dropTombstone()
		} else {
			s.evict(now)
		}
		sh.mu.Lock()
	}
}

// replace is apply of a local write to a key that is held and needs no more room than it has.
// It reports whether that was so and is done. It needn't be serialised with anything.
func (s *store) replace(now instant, rec *record, at place) bool {
	sh := s.shardOf(at.hash)
	if sh == nil {
		return false
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if s.closed.Load() {
		return false
	}
	e, o := s.judgeLocked(sh, now, rec, &at)
	if o != outcomeApplied || e == nil || s.maxBytes > 0 && len(rec.val) > len(e.val) {
		return false
	}
	s.touchLocked(sh, at.hash, rec.key)
	s.useLocked(sh, at.hash, e)
	s.putLocked(sh, at, rec, e, true)
	sh.replaced++
	return true
}

// judgeLocked says whether a record is to be held, and if so returns the entry that its key
// has, or nil. If its version is only to be remembered, what is older goes, and that is all there
// is to do.
func (s *store) judgeLocked(sh *shard, now instant, rec *record, at *place) (*entry, outcome) {
	clear := s.clearStamp.Load()
	if rec.stamp <= clear {
		return nil, outcomeCleared
	}
	e, held, ok := sh.heldLocked(at.hash, rec.key)
	if ok && held.stamp <= clear {
		s.removeLocked(sh, rec.key) // not swept yet
		e, ok = nil, false
	}
	if ok && !held.less(rec.version) {
		if held == rec.version && e != nil && e.mark != 0 {
			e.mark = rec.mark // it came again
		}
		return nil, outcomeKept
	}
	if !ok && rec.stamp <= s.floorOf(at.bucket) {
		s.floorRefusals.Add(1)
		return nil, outcomeRefused
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
		return e, outcomeApplied
	}
	s.forgetLocked(sh, rec.key, rec.version) // what is held is smaller
	return nil, o
}

func (s *store) applyClear(v version) outcome {
	if !s.clearVersion().less(v) {
		s.touchAll()
		return outcomeKept
	}
	s.clearedEpoch.Store(s.epoch.Add(1)) // first: who is told of the Clear finds nothing any more
	s.clearOrigin.Store(v.origin)
	s.clearStamp.Store(v.stamp) // every shard's cleared is below it now, and so it is due
	s.watch.tellClear(v)
	return outcomeApplied
}

// putLocked holds a value or a negative in place of old, the key's entry, or of a tombstone, if
// there is one. There is room for it.
func (s *store) putLocked(sh *shard, at place, rec *record, old *entry, local bool) {
	e := at.fresh
	if e == nil {
		e = newEntry(rec, at.bucket)
	}
	if old == nil {
		s.makeWayLocked(sh, at.hash)
		if !e.isProvisional() {
			e.key = s.takeKeyLocked(sh, at.hash, rec.key)
		}
		used := s.clock.Add(clockStep)
		if !local {
			used |= probationBit
			s.inProbation.Add(1)
		}
		e.used.Store(used)
		sh.queueLocked(!local).add(at.hash, struct{}{})
		s.countLocked(sh, e, +1)
	} else {
		e.key = old.key
		e.used.Store(old.used.Load())
		if grown := len(e.val) - len(old.val); grown != 0 {
			s.entryBytes.Add(int64(grown))
		}
	}
	e.version, e.mark = rec.version, rec.mark
	rec.key = e.key
	end := e.end()
	sh.index.put(at.hash, e, end)
	if end != 0 {
		if sh.nextExpiry == 0 || end < sh.nextExpiry {
			sh.nextExpiry = end
		}
		if !s.mortal.Load() { // every Get reads it, so it is written once
			s.mortal.Store(true)
		}
	}
	if !e.isProvisional() {
		s.watch.tellHeld(rec)
	}
}

// makeWayLocked drops the entry of another key of the same hash: the index and the queues know
// one. Nobody can choose keys for which that happens.
func (s *store) makeWayLocked(sh *shard, hash uint64) {
	if other := sh.index.find(hash); other != nil {
		s.endLocked(sh, other, changeEvict)
		s.evictions.Add(1)
	}
}

// buryLocked holds a tombstone instead of whatever is held. There is room for it.
func (s *store) buryLocked(sh *shard, now instant, hash uint64, rec *record) {
	rec.key = s.takeKeyLocked(sh, hash, rec.key)
	sh.tombs.add(rec.key, tombstone{key: rec.key, version: rec.version, born: now.mono})
	s.tombs.Add(1)
	s.tombBytes.Add(int64(len(rec.key)))
	s.watch.tellHeld(rec)
}

// takeKeyLocked removes what is held of a key and returns the copy of that key that the store has, as
// the log may have it too.
func (s *store) takeKeyLocked(sh *shard, hash uint64, key string) string {
	if e := sh.find(hash, key); e != nil {
		key = e.key
	} else if t, ok := sh.tombs.peek(key); ok {
		key = t.key
	} else {
		return key
	}
	s.removeLocked(sh, key)
	return key
}

// removeLocked drops what is held of a key. That something else stands for it is
// the caller's business.
func (s *store) removeLocked(sh *shard, key string) {
	if e := sh.find(s.hash.of(key), key); e != nil {
		s.unlinkLocked(sh, e)
	} else if t, ok := sh.tombs.peek(key); ok {
		sh.tombs.remove(key)
		s.tombs.Add(-1)
		s.tombBytes.Add(-int64(len(t.key)))
	}
}

// unlinkLocked is removeLocked for an entry.
func (s *store) unlinkLocked(sh *shard, e *entry) {
	hash := s.hashOf(e)
	sh.queueLocked(e.inProbation()).remove(hash)
	if e.inProbation() {
		s.inProbation.Add(-1)
	}
	sh.index.remove(hash)
	s.countLocked(sh, e, -1)
}

func (s *store) countLocked(sh *shard, e *entry, n int64) {
	s.entries.Add(n)
	s.entryBytes.Add(n * e.cost())
	if e.isProvisional() {
		s.provisional.Add(n)
		sh.provisional += n
	}
}

// makeShard returns the shard of a hash. It is serialised as apply is.
func (s *store) makeShard(hash uint64) *shard {
	sh := s.shardOf(hash)
	if sh == nil {
		sh = &shard{cleared: s.clearStamp.Load(), epoch: s.epoch.Load()}
		s.table[hash&uint64(len(s.table)-1)].Store(sh)
	}
	return sh
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

// floorOf returns a bucket's floor: a key of that bucket that isn't held may
// have had any version up to this stamp.
func (s *store) floorOf(bucket int) uint64 { return s.floors[bucket].Load() }

// raiseFloor raises a bucket's floor to a stamp; it never falls.
func (s *store) raiseFloor(bucket int, stamp uint64) { raise(&s.floors[bucket], stamp) }

// clearVersion returns the greatest Clear that was applied. Together with apply it may pair the
// stamp with the origin of another one, which only decides between equal stamps.
func (s *store) clearVersion() version {
	return version{stamp: s.clearStamp.Load(), origin: s.clearOrigin.Load()}
}

// cleared reports whether Clear isn't below a stamp.
func (s *store) cleared(stamp uint64) bool { return stamp <= s.clearStamp.Load() }

// stats visits every shard.
func (s *store) stats() storeStats {
	st := storeStats{
		hits:                s.hits.load(),
		misses:              s.misses.Load(),
		evictions:           s.evictions.Load(),
		expirations:         s.expirations.Load(),
		tombstonesCollected: s.tombsCollected.Load(),
		tombstonesDropped:   s.tombsDropped.Load(),
		floorRefusals:       s.floorRefusals.Load(),
		provisionalsDropped: s.provisionalsDropped.Load(),
	}
	for i := range s.table {
		if sh := s.table[i].Load(); sh != nil {
			sh.mu.Lock()
			st.misses += sh.misses
			st.replaced += sh.replaced
			sh.mu.Unlock()
		}
	}
	return st
}

// close drops everything. From then on every get misses and apply does nothing.
// Counters and floors stay, and 64 bytes a shard.
func (s *store) close() {
	s.closed.Store(true)
	for i := range s.table {
		sh := s.table[i].Load()
		if sh == nil {
			continue
		}
		sh.mu.Lock()
		sh.index.clear()
		sh.main, sh.probation, sh.tombs = queue[uint64, struct{}]{}, queue[uint64, struct{}]{}, queue[string, tombstone]{}
		sh.mu.Unlock()
	}
	for _, gauge := range []*atomic.Int64{
		&s.entries, &s.provisional, &s.inProbation, &s.entryBytes, &s.tombs, &s.tombBytes,
	} {
		gauge.Store(0)
	}
}

// giveUp touches a key, and gives up what is held of it if its version is smaller than below.
func (s *store) giveUp(key string, below version) {
	hash := s.hash.of(key)
	sh := s.shardOf(hash)
	if sh == nil {
		return
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s.watch.tellGone(s.touchLocked(sh, hash, key), changeEvict)
	for f := sh.fills[hash]; f != nil; f = f.next {
		f.givenUp = true
	}
	if _, held, ok := sh.heldLocked(hash, key); ok && held.less(below) {
		s.forgetLocked(sh, key, held)
	}
}
