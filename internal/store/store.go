package store

import (
	"cmp"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/iwanbk/bcache/internal/coarse"
	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/keyhash"
)

// Config describes a store.
type Config struct {
	MaxKeys       int           // entries, at least 1
	MaxBytes      int64         // of entries, see EntryOverhead; 0 = no limit
	DeletionDelay time.Duration // how long a tombstone is kept
	MaxClears     int           // that don't select everything; 0 = 4,096
	MaxTombstones int           // 0 = MaxKeys, but no less than 1,024 and no more than 1<<20
	Shards        int           // a power of two; 0 = as many as it takes
	LRU           bool          // the policy: lru, not s3fifo
	GroupKeys     int           // in a group of a full sync, about; 0 = 131,072
	StepShards    int           // looked at in a step of a full sync; 0 = 64
	Seed          uint64        // of the choice of shards to evict from
	Hash          keyhash.Hash  // of the index; zero = one of its own
}

// A Store is what a node holds: entries, tombstones, and what it has to know
// about the versions that it no longer holds: the floors and Clear.
//
// For every version that was ever applied, the store holds that key at this
// version or a greater one, or the floor of its bucket is not below its stamp, or
// Clear isn't. A floor is raised under the same lock under which what it
// stands for goes, so that this is true at every moment.
//
// Apply, Fills.Keep, Begin and Refuse, and Close are serialised by the caller; everything else, Replace
// and Sharer.Keep included, may run at any time. At most one shard is locked at a time.
type Store struct {
	shared
	table   table
	evictor evictor
	Sweeper Sweeper
	ToClear clearRoom
	Sync    Syncer
	Fills   FillKeeper
	Sharer  Sharer
	Hot     Hot
}

// New returns an empty store. It takes 136 KiB, and 8 bytes for every
// 1,024 of MaxKeys (at most 2 MiB): the rest comes with the keys.
func New(c Config) *Store {
	if c.MaxBytes > 0 {
		c.MaxKeys = int(min(int64(c.MaxKeys), c.MaxBytes/EntryOverhead)) // more can't be held
	}
	c.MaxKeys = max(c.MaxKeys, 1)
	if c.MaxTombstones <= 0 {
		c.MaxTombstones = min(max(c.MaxKeys, 1024), 1<<20)
	}
	c.Shards = cmp.Or(c.Shards, shardsFor(max(c.MaxKeys, c.MaxTombstones)))
	if c.Hash == (keyhash.Hash{}) {
		c.Hash = keyhash.New()
	}
	s := &Store{shared: shared{
		hash:   c.Hash,
		Clock:  coarse.New(),
		limits: limits{maxKeys: c.MaxKeys, maxBytes: c.MaxBytes, maxTombstones: c.MaxTombstones},
	}}
	s.room.limited = s.CountsBytes()
	s.Clears.most = cmp.Or(c.MaxClears, maxClears)
	s.table = newTable(c.Shards, &s.shared)
	s.Sweeper = Sweeper{shared: &s.shared, table: &s.table, deletionDelay: c.DeletionDelay}
	s.ToClear = clearRoom{shared: &s.shared, table: &s.table}
	s.evictor = evictor{
		shared: &s.shared, table: &s.table, sweeper: &s.Sweeper, rng: rand.NewPCG(c.Seed, 0),
	}
	if c.LRU {
		s.policy = &lru{evictor: &s.evictor}
	} else {
		s.policy = newS3FIFO(&s.evictor)
	}
	s.Sync = Syncer{
		shared: &s.shared, table: &s.table,
		groupKeys:  cmp.Or(c.GroupKeys, defaultGroupKeys),
		stepShards: cmp.Or(c.StepShards, defaultStepShards),
	}
	s.Fills = FillKeeper{shared: &s.shared, table: &s.table, evictor: &s.evictor}
	s.Sharer = Sharer{shared: &s.shared, table: &s.table}
	s.Hot.shared = &s.shared
	return s
}

// PlaceOf is the place of a key for which nothing was done before.
func (s *Store) PlaceOf(key string) Place {
	return Place{hash: s.hash.Of(key), Bucket: delta.BucketOf(key)}
}

// Seek is the place of a key that isn't copied yet. It has the processor fetch what is held under its
// hash, and doesn't wait for that.
func (s *Store) Seek(key []byte) Place {
	at := Place{hash: s.hash.OfBytes(key), Bucket: delta.BucketOfBytes(key)}
	if sh := s.table.of(at.hash); sh != nil {
		at.found = sh.entries.index.first(tagOf(at.hash))
	}
	return at
}

// Approach does what an Apply of a local record can do before the lock that serialises them is
// taken: it allocates, and has the processor fetch what Apply will look at. The rest takes a
// fraction of the time. Whatever changes until then does no harm.
//
// The record has copies of the key and the value from then on. Those of the caller may be parts of much
// larger strings. Each copy is on its own: the key may be kept when the value isn't any more.
func (s *Store) Approach(rec *delta.Record) Place {
	at := s.PlaceOf(rec.Key)
	var held *Entry
	if sh := s.table.of(at.hash); sh != nil {
		held = sh.entries.find(at.hash, rec.Key) // what it reads is near from now on
	}
	if held != nil {
		rec.Key = held.Key
	} else {
		rec.Key = strings.Clone(rec.Key)
	}
	rec.Val = strings.Clone(rec.Val)
	if rec.Kind == delta.KindValue || rec.Kind == delta.KindNegative {
		at.Fresh = newEntry(rec, at.Bucket)
	}
	return at
}

// Apply merges a record into the store. A local one is a use of its key; one
// from elsewhere must not push out what is used here. The store keeps the record's key
// and value, so they must be copies that keep nothing else alive. If the outcome is
// outcomeApplied, rec.Key is the one that the store holds from then on.
func (s *Store) Apply(now delta.Instant, rec *delta.Record, local bool) Outcome {
	return s.ApplyAt(now, rec, local, s.PlaceOf(rec.Key))
}

// ApplyAt is Apply where something was done before.
func (s *Store) ApplyAt(now delta.Instant, rec *delta.Record, local bool, at Place) Outcome {
	if s.closed.Load() {
		return outcomeRefused
	}
	if rec.Kind == delta.KindClear {
		x := Clear{Selector: rec.Selector(), Version: rec.Version, Wall: now.Wall, At: now.Mono}
		if s.ApplyClear(x) {
			return outcomeApplied
		}
		return outcomeKept
	}
	hash := at.hash
	s.ends.begin(now.Wall)
	s.room.claim()
	defer s.room.release()
	sh := s.table.need(hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	gone := sh.touchLocked(now.Wall, hash, rec.Key)
	for nth := 0; ; nth++ {
		e, o := sh.judgeLocked(now, rec, &at)
		if o != outcomeApplied {
			s.Watch.tellGone(gone, ChangeEvict)
			sh.noteLocked(now.Wall, hash, rec, o)
			return o
		}
		if local && e != nil {
			sh.entries.order.use(tagOf(hash), e) // before there has to be room: it mustn't be the victim itself
		}
		if sh.fitsLocked(rec, e) {
			if rec.Kind == delta.KindTombstone {
				sh.buryLocked(now, hash, rec)
			} else {
				sh.putLocked(at, rec, e, local)
			}
			return outcomeApplied
		}
		// Room is made in other shards too, and two are never locked at once. Meanwhile what was
		// held may go, and a floor may rise for it.
		sh.mu.Unlock()
		if rec.Kind == delta.KindTombstone {
			s.evictor.dropTombstone()
		} else {
			s.policy.evict(now, hash, nth)
		}
		sh.mu.Lock()
	}
}

// Replace is Apply of a local write to a key that is held and needs no more room than it has.
// It reports whether that was so and is done. It needn't be serialised with anything.
func (s *Store) Replace(now delta.Instant, rec *delta.Record, at Place) bool {
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
	if o != outcomeApplied || e == nil || s.CountsBytes() && CostOf(rec) > e.cost() {
		return false
	}
	sh.touchLocked(now.Wall, at.hash, rec.Key)
	sh.entries.order.use(tagOf(at.hash), e)
	sh.putLocked(at, rec, e, true)
	sh.replaced++
	return true
}

// ApplyClear applies a Clear. It reports whether that is a new one.
func (s *Store) ApplyClear(x Clear) (isNew bool) {
	switch {
	case s.closed.Load():
		return false
	case x.Selector != "":
		if isNew = s.Clears.add(x); isNew {
			s.Watch.tellClear(x.Selector, x.Version)
		}
		return isNew
	case !s.Clears.All().Less(x.Version):
		s.TouchAll()
		return false
	}
	s.Epochs.clear() // first: who is told of the Clear finds nothing any more
	s.Clears.setAll(x.Version)
	s.Watch.tellClear("", x.Version)
	return true
}

// GiveUp touches a key, and gives up what is held of it if its version is smaller than below.
func (s *Store) GiveUp(now delta.Instant, key string, below delta.Version) {
	hash := s.hash.Of(key)
	sh := s.table.of(hash)
	if sh == nil {
		return
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s.Watch.tellGone(sh.touchLocked(now.Wall, hash, key), ChangeEvict)
	sh.fills.giveUp(hash)
	if _, held, ok := sh.heldLocked(hash, key); ok && held.Less(below) {
		sh.giveUpLocked(now.Wall, key, held)
	}
}

// fewProvisional is how many provisional values may end at once: it takes a millisecond, and who watches
// can take as many changes at a time.
const fewProvisional = 1024

// TouchAll notes that what is being processed may be a write of any key: it begins another epoch. The
// provisional values that are left of the one before are swept; at once if somebody watches, and they
// are few.
func (s *Store) TouchAll() {
	s.Epochs.next()
	if n := s.tally.provisional.Load(); s.Watch.none() || n == 0 || n > fewProvisional {
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

// Hide has nothing served but provisional values that are kept from now on, or ends that: then those go,
// and what was hidden is served. What is held is compared, and sent to others, as always. It may be called
// at any time.
func (s *Store) Hide(hide bool) {
	s.Epochs.next()
	s.Clears.Hide(hide)
}

// EvictFor evicts up to n entries to make room for a record that Apply would hold. It reports whether
// more are needed.
func (s *Store) EvictFor(now delta.Instant, rec *delta.Record, n int) bool {
	return s.evictor.evictFor(now, rec, s.hash.Of(rec.Key), n)
}

// CountsBytes reports whether there is a limit to the bytes of all entries.
func (s *Store) CountsBytes() bool { return s.limits.maxBytes > 0 }

// Len returns how many entries there are, those included that are expired or
// cleared, but not swept yet.
func (s *Store) Len() int { return int(s.tally.entries.Load()) }

// Bytes returns what the entries count for MaxBytes.
func (s *Store) Bytes() int64 { return s.tally.bytes.Load() }

// Provisionals returns how many of the entries are provisional values.
func (s *Store) Provisionals() int { return int(s.tally.provisional.Load()) }

func (s *Store) Tombstones() int { return int(s.tombSums.count.Load()) }

func (s *Store) Shards() int { return s.table.len() }

// FloorOf returns a bucket's floor: a key of that bucket that isn't held may
// have had any version up to this stamp.
func (s *Store) FloorOf(bucket int) uint64 { return s.floors.of(bucket) }

// RaiseFloor raises a bucket's floor to a stamp; it never falls.
func (s *Store) RaiseFloor(bucket int, stamp uint64) { s.floors.raise(bucket, stamp) }

// Stats visits every shard.
func (s *Store) Stats() Stats {
	st := s.counters.load()
	st.Probation = s.policy.probation()
	for sh := range s.table.all {
		sh.mu.Lock()
		st.Replaced += sh.replaced
		sh.mu.Unlock()
	}
	return st
}

// Close drops everything. From then on every Get misses and Apply does nothing.
// Counters, floors and empty shards stay.
func (s *Store) Close() {
	s.closed.Store(true)
	for sh := range s.table.all {
		sh.clear()
	}
	s.tally.reset()
	s.policy.reset()
	s.tombSums.reset()
	s.Hot.end()
}
