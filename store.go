package bcache

import (
	"cmp"
	"math/rand/v2"
	"strings"
	"time"
)

// storeConfig describes a store.
type storeConfig struct {
	maxKeys       int           // entries, at least 1
	maxBytes      int64         // of entries, see entryOverhead; 0 = no limit
	deletionDelay time.Duration // how long a tombstone is kept
	maxTombstones int           // 0 = maxKeys, but no less than 1,024 and no more than 1<<20
	shards        int           // a power of two; 0 = as many as it takes
	groupKeys     int           // in a group of a full sync, about; 0 = 131,072
	stepShards    int           // looked at in a step of a full sync; 0 = 64
	seed          uint64        // of the choice of shards to evict from
	hash          keyHash       // of the index; zero = one of its own
}

// A store is what a node holds: entries, tombstones, and what it has to know
// about the versions that it no longer holds: the floors and Clear.
//
// For every version that was ever applied, the store holds that key at this
// version or a greater one, or the floor of its bucket is not below its stamp, or
// Clear isn't. A floor is raised under the same lock under which what it
// stands for goes, so that this is true at every moment.
//
// apply, fills.keep, fills.begin and close are serialised by the caller; everything else, replace
// included, may run at any time. At most one shard is locked at a time.
type store struct {
	shared
	table   table
	evictor evictor
	sweeper sweeper
	sync    syncer
	fills   fillKeeper
}

// newStore returns an empty store. It takes 136 KiB, and 8 bytes for every
// 1,024 of maxKeys (at most 2 MiB): the rest comes with the keys.
func newStore(c storeConfig) *store {
	if c.maxBytes > 0 {
		c.maxKeys = int(min(int64(c.maxKeys), c.maxBytes/entryOverhead)) // more can't be held
	}
	c.maxKeys = max(c.maxKeys, 1)
	if c.maxTombstones <= 0 {
		c.maxTombstones = min(max(c.maxKeys, 1024), 1<<20)
	}
	c.shards = cmp.Or(c.shards, shardsFor(max(c.maxKeys, c.maxTombstones)))
	if c.hash == (keyHash{}) {
		c.hash = newKeyHash()
	}
	s := &store{shared: shared{
		hash:   c.hash,
		limits: limits{maxKeys: c.maxKeys, maxBytes: c.maxBytes, maxTombstones: c.maxTombstones},
	}}
	s.table = newTable(c.shards, &s.shared)
	s.sweeper = sweeper{shared: &s.shared, table: &s.table, deletionDelay: c.deletionDelay}
	s.evictor = evictor{
		shared: &s.shared, table: &s.table, sweeper: &s.sweeper, rng: rand.NewPCG(c.seed, 0),
	}
	s.sync = syncer{
		shared: &s.shared, table: &s.table,
		groupKeys:  cmp.Or(c.groupKeys, defaultGroupKeys),
		stepShards: cmp.Or(c.stepShards, defaultStepShards),
	}
	s.fills = fillKeeper{shared: &s.shared, table: &s.table, evictor: &s.evictor}
	return s
}

// placeOf is the place of a key for which nothing was done before.
func (s *store) placeOf(key string) place {
	return place{hash: s.hash.of(key), bucket: bucketOf(key)}
}

// seek is the place of a key that isn't copied yet. It has the processor fetch what is held under its
// hash, and doesn't wait for that.
func (s *store) seek(key []byte) place {
	at := place{hash: s.hash.ofBytes(key), bucket: bucketOfBytes(key)}
	if sh := s.table.of(at.hash); sh != nil {
		at.found = sh.entries.index.find(at.hash)
	}
	return at
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
	if sh := s.table.of(at.hash); sh != nil {
		held = sh.entries.find(at.hash, rec.key) // what it reads is near from now on
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
	sh := s.table.need(hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	gone := sh.touchLocked(hash, rec.key)
	for {
		e, o := sh.judgeLocked(now, rec, &at)
		if o != outcomeApplied {
			s.watch.tellGone(gone, changeEvict)
			return o
		}
		if local && e != nil {
			sh.entries.use(hash, e) // before there has to be room: it mustn't be the victim itself
		}
		if sh.fitsLocked(rec, e) {
			if rec.kind == kindTombstone {
				sh.buryLocked(now, hash, rec)
			} else {
				sh.putLocked(at, rec, e, local)
			}
			return outcomeApplied
		}
		// Room is made in other shards too, and two are never locked at once. Meanwhile what was
		// held may go, and a floor may rise for it.
		sh.mu.Unlock()
		if rec.kind == kindTombstone {
			s.evictor.dropTombstone()
		} else {
			s.evictor.evict(now)
		}
		sh.mu.Lock()
	}
}

// replace is apply of a local write to a key that is held and needs no more room than it has.
// It reports whether that was so and is done. It needn't be serialised with anything.
func (s *store) replace(now instant, rec *record, at place) bool {
	sh := s.table.of(at.hash)
	if sh == nil {
		return false
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if s.closed.Load() {
		return false
	}
	e, o := sh.judgeLocked(now, rec, &at)
	if o != outcomeApplied || e == nil || s.countsBytes() && len(rec.val) > len(e.val) {
		return false
	}
	sh.touchLocked(at.hash, rec.key)
	sh.entries.use(at.hash, e)
	sh.putLocked(at, rec, e, true)
	sh.replaced++
	return true
}

func (s *store) applyClear(v version) outcome {
	if !s.clearVersion().less(v) {
		s.touchAll()
		return outcomeKept
	}
	s.epochs.clear() // first: who is told of the Clear finds nothing any more
	s.lastClear.set(v)
	s.watch.tellClear(v)
	return outcomeApplied
}

// giveUp touches a key, and gives up what is held of it if its version is smaller than below.
func (s *store) giveUp(key string, below version) {
	hash := s.hash.of(key)
	sh := s.table.of(hash)
	if sh == nil {
		return
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s.watch.tellGone(sh.touchLocked(hash, key), changeEvict)
	sh.fills.giveUp(hash)
	if _, held, ok := sh.heldLocked(hash, key); ok && held.less(below) {
		sh.forgetLocked(key, held)
	}
}

// touchAll notes that what is being processed may be a write of any key: it begins another epoch. The
// provisional values that are left of the one before are swept; at once if somebody watches.
func (s *store) touchAll() {
	s.epochs.next()
	if s.watch.none() || s.tally.provisional.Load() == 0 {
		return
	}
	for sh := range s.table.all {
		sh.mu.Lock()
		for _, e := range sh.endedLocked() {
			sh.dropEndedLocked(e)
		}
		sh.mu.Unlock()
	}
}

// evictFor evicts up to n entries to make room for a record that apply would hold. It reports whether
// more are needed.
func (s *store) evictFor(now instant, rec *record, n int) bool {
	return s.evictor.evictFor(now, rec, s.hash.of(rec.key), n)
}

// countsBytes reports whether there is a limit to the bytes of all entries.
func (s *store) countsBytes() bool { return s.limits.maxBytes > 0 }

// len returns how many entries there are, those included that are expired or
// cleared, but not swept yet.
func (s *store) len() int { return int(s.tally.entries.Load()) }

// bytes returns what the entries count for MaxBytes.
func (s *store) bytes() int64 { return s.tally.bytes.Load() }

func (s *store) tombstones() int { return int(s.tombSums.count.Load()) }

func (s *store) shards() int { return s.table.len() }

// floorOf returns a bucket's floor: a key of that bucket that isn't held may
// have had any version up to this stamp.
func (s *store) floorOf(bucket int) uint64 { return s.floors.of(bucket) }

// raiseFloor raises a bucket's floor to a stamp; it never falls.
func (s *store) raiseFloor(bucket int, stamp uint64) { s.floors.raise(bucket, stamp) }

// clearVersion returns the greatest Clear that was applied, see lastClear.
func (s *store) clearVersion() version { return s.lastClear.version() }

// cleared reports whether Clear isn't below a stamp.
func (s *store) cleared(stamp uint64) bool { return s.lastClear.covers(stamp) }

// stats visits every shard.
func (s *store) stats() storeStats {
	st := s.counters.load()
	for sh := range s.table.all {
		sh.mu.Lock()
		st.misses += sh.misses
		st.replaced += sh.replaced
		sh.mu.Unlock()
	}
	return st
}

// close drops everything. From then on every get misses and apply does nothing.
// Counters, floors and empty shards stay.
func (s *store) close() {
	s.closed.Store(true)
	for sh := range s.table.all {
		sh.clear()
	}
	s.tally.reset()
	s.tombSums.reset()
}
