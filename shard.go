package bcache

import (
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// entryOverhead is what an entry counts for maxBytes beside its key and value, in bytes: about what the
// bookkeeping takes.
const entryOverhead = 200

// An entry is a live value or a negative: what counts for MaxKeys and MaxBytes.
// With its places in the index and in its queue it takes some entryOverhead bytes.
//
// Gets read it without a lock, so what they read of it never changes: another value is another
// entry in its place. It fills a cache line, and with a deadline beside it a Get would wait for
// two.
type entry struct {
	key, val string // the store's own copies
	version
	deadline int64         // as in record
	used     atomic.Uint32 // the store's clock when it was last moved, plus useBits
	traits   uint16        // the key's bucket, and the bits below
	kind     kind
	mark     uint8 // as in record; guarded by the shard's lock
}

const (
	softTrait        = numBuckets << iota // it is part of a softEntry
	provisionalTrait                      // see store_provisional.go
)

// bucket is that of the key. It is kept, as a full sync looks at many entries for each that it sends.
func (e *entry) bucket() int { return int(e.traits % numBuckets) }

func (e *entry) isSoft() bool { return e.traits&softTrait != 0 }

func (e *entry) isProvisional() bool { return e.traits&provisionalTrait != 0 }

// A softEntry is an entry that has more times than its deadline, in one piece with them.
type softEntry struct {
	entry
	softTimes
}

// softTimes are when a value may still be of use although it is stale, and when it is worth
// refreshing although it isn't.
type softTimes struct{ staleUntil, refreshFrom int64 } // as in record

func (e *entry) cost() int64 { return entryCost(e.key, e.val) }

func entryCost(key, val string) int64 { return int64(len(key)) + int64(len(val)) + entryOverhead }

// newEntry makes an entry of a record whose key is in a bucket.
func newEntry(rec *record, bucket int) *entry {
	var e *entry
	if times := (softTimes{rec.staleUntil, rec.refreshFrom}); times == (softTimes{}) {
		e = &entry{}
	} else {
		soft := &softEntry{softTimes: times}
		e = &soft.entry
		e.traits = softTrait
	}
	e.fill(rec, bucket)
	return e
}

// fill takes over what an entry has of a record.
func (e *entry) fill(rec *record, bucket int) {
	e.key, e.val, e.version, e.deadline = rec.key, rec.val, rec.version, rec.deadline
	e.kind, e.mark = rec.kind, rec.mark
	e.traits |= uint16(bucket)
}

// soft returns the times that an entry has beside its deadline.
func (e *entry) soft() softTimes {
	if !e.isSoft() {
		return softTimes{}
	}
	return (*softEntry)(unsafe.Pointer(e)).softTimes // see newEntry
}

// expired reports whether an entry's deadline has come.
func (e *entry) expired(wall func() int64) bool { return e.deadline != 0 && wall() >= e.deadline }

// livesAt reports whether its deadline is known not to have come at a time; 0 is no time.
func (e *entry) livesAt(now int64) bool { return e.deadline == 0 || now != 0 && now < e.deadline }

// endedAt reports whether it is of no use as stale any more either.
func (e *entry) endedAt(wall int64) bool {
	end := e.end()
	return end != 0 && wall >= end
}

// record returns what was put.
func (e *entry) record() record {
	rec := e.served()
	rec.mark = e.mark
	return rec
}

// served is that without the mark, and needs no lock.
func (e *entry) served() record {
	soft := e.soft()
	rec := record{
		key: e.key, val: e.val, version: e.version, kind: e.kind, provisional: e.isProvisional(),
		deadline: e.deadline, staleUntil: soft.staleUntil, refreshFrom: soft.refreshFrom,
	}
	if e.isProvisional() {
		rec.version = version{}
	}
	return rec
}

// end returns when the entry is of no more use; 0 is never.
func (e *entry) end() int64 { return endOf(e.deadline, e.soft().staleUntil) }

// A tombstone is what is left of a deleted key.
type tombstone struct {
	key string // the store's own copy
	version
	born time.Duration // monotonic
}

// A queue is a simplelru that takes no memory until something is added. It never
// evicts by itself: its owner decides when, it says which.
type queue[K comparable, V any] struct{ lru *simplelru.LRU[K, V] }

// add puts a value at the front, in place of the one that the key has.
func (q *queue[K, V]) add(key K, v V) {
	if q.lru == nil {
		q.lru, _ = simplelru.NewLRU[K, V](int(^uint(0)>>1), nil) // fails for sizes <= 0 only
	}
	q.lru.Add(key, v)
}

// touch moves a key that is there to the front.
func (q *queue[K, V]) touch(key K) { q.lru.Get(key) }

// peek looks a key up and leaves it where it is.
func (q *queue[K, V]) peek(key K) (v V, ok bool) {
	if q.lru == nil {
		return v, false
	}
	return q.lru.Peek(key)
}

func (q *queue[K, V]) remove(key K) bool { return q.lru != nil && q.lru.Remove(key) }

// oldest returns what is at the back.
func (q *queue[K, V]) oldest() (key K, v V, ok bool) {
	if q.lru == nil {
		return key, v, false
	}
	return q.lru.GetOldest()
}

// values lists what is held, oldest first.
func (q *queue[K, V]) values() []V {
	if q.lru == nil {
		return nil
	}
	return q.lru.Values()
}

// trim gives an empty queue's memory back: a map doesn't shrink.
func (q *queue[K, V]) trim() {
	if q.lru != nil && q.lru.Len() == 0 {
		q.lru = nil
	}
}

// A shard holds the keys of one part of the hash space. An entry is in one of the two queues,
// which know it by the hash of its key: what is compared in an integer needn't be fetched from
// far memory. A second key of the same hash takes the first one's place.
type shard struct {
	index index // changed under mu, and read without it
	_     [64]byte

	mu sync.Mutex // guards all else

	main      queue[uint64, struct{}]  // used or written here, by last use
	probation queue[uint64, struct{}]  // only written by others so far, by arrival
	tombs     queue[string, tombstone] // by arrival

	// Whether something is due is known without looking further.
	nextExpiry int64  // no lifetime ends before this; 0 if there is none at all
	cleared    uint64 // no entry or tombstone has a stamp up to this one
	epoch      uint64 // no provisional value is of one before this

	fills map[uint64]*openFill // under way, by the hash of their keys; nil if there are none

	provisional int64 // entries that are provisional values

	misses, replaced uint64
}

// find returns the entry of a key, or nil. Without the lock nil tells nothing, see index.
func (sh *shard) find(hash uint64, key string) *entry {
	if e := sh.index.find(hash); e != nil && e.key == key {
		return e
	}
	return nil
}

// heldLocked returns the version that a key is held at, as an entry or as a
// tombstone.
func (sh *shard) heldLocked(hash uint64, key string) (e *entry, v version, ok bool) {
	if e := sh.find(hash, key); e != nil {
		return e, e.version, true
	}
	t, ok := sh.tombs.peek(key)
	return nil, t.version, ok
}

// queueLocked returns one of the two queues of entries.
func (sh *shard) queueLocked(probation bool) *queue[uint64, struct{}] {
	if probation {
		return &sh.probation
	}
	return &sh.main
}

// oldestLocked returns the entry at the back of one of them, or nil.
func (sh *shard) oldestLocked(probation bool) *entry {
	hash, _, ok := sh.queueLocked(probation).oldest()
	if !ok {
		return nil
	}
	return sh.index.find(hash)
}

// entriesLocked lists the entries. What it yields may be removed meanwhile.
func (sh *shard) entriesLocked() []*entry {
	all := make([]*entry, 0, sh.index.n)
	for e := range sh.index.all {
		all = append(all, e)
	}
	return all
}

// dueLocked reports whether an entry may have expired, or something may be left
// that Clear is above, or of an earlier epoch.
func (s *store) dueLocked(sh *shard, wall int64) bool {
	return sh.cleared < s.clearStamp.Load() || sh.epoch < s.epoch.Load() ||
		sh.nextExpiry != 0 && wall >= sh.nextExpiry
}

// clearedLocked lists the keys whose stamps Clear is not below.
func (sh *shard) clearedLocked(clear uint64) (keys []string) {
	for e := range sh.index.all {
		if e.stamp <= clear && !e.isProvisional() {
			keys = append(keys, e.key)
		}
	}
	for _, t := range sh.tombs.values() {
		if t.stamp <= clear {
			keys = append(keys, t.key)
		}
	}
	return keys
}

// trimLocked gives back what empty queues take.
func (sh *shard) trimLocked() {
	sh.main.trim()
	sh.probation.trim()
	sh.tombs.trim()
	sh.index.trim()
}
