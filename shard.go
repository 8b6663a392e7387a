package bcache

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// An entry is a live value or a negative: what counts for MaxKeys and MaxBytes.
// With the list and map cells of its queue it takes some EntryOverhead bytes.
type entry struct {
	key, val string // key is the store's own copy
	version
	used uint32 // the store's clock when it was last used
	life int32  // the entry's place in shard.lives, from 1 on; 0: it lives for ever
	kind kind
	mark uint8 // as in record
}

func (e *entry) cost() int64 { return entryCost(e.key, e.val) }

func entryCost(key, val string) int64 { return int64(len(key)) + int64(len(val)) + EntryOverhead }

// A lifetime is what an entry has beside, if it doesn't live for ever.
type lifetime struct {
	deadline, staleUntil, refreshFrom int64 // as in record
	e                                 *entry
}

// end returns when the entry is of no more use; 0 is never.
func (l *lifetime) end() int64 { return endOf(l.deadline, l.staleUntil) }

// A tombstone is what is left of a deleted key.
type tombstone struct {
	key string // the store's own copy
	version
	born time.Duration // monotonic
}

// A queue is a simplelru that takes no memory until something is added. It never
// evicts by itself: its owner decides when, it says which.
type queue[V any] struct{ lru *simplelru.LRU[string, V] }

// add puts a value at the front, in place of the one that the key has.
func (q *queue[V]) add(key string, v V) {
	if q.lru == nil {
		q.lru, _ = simplelru.NewLRU[string, V](int(^uint(0)>>1), nil) // fails for sizes <= 0 only
	}
	q.lru.Add(key, v)
}

// get looks a key up and moves it to the front.
func (q *queue[V]) get(key string) (v V, ok bool) {
	if q.lru == nil {
		return v, false
	}
	return q.lru.Get(key)
}

// peek looks a key up and leaves it where it is.
func (q *queue[V]) peek(key string) (v V, ok bool) {
	if q.lru == nil {
		return v, false
	}
	return q.lru.Peek(key)
}

func (q *queue[V]) remove(key string) bool { return q.lru != nil && q.lru.Remove(key) }

// oldest returns what is at the back.
func (q *queue[V]) oldest() (v V, ok bool) {
	if q.lru == nil {
		return v, false
	}
	_, v, ok = q.lru.GetOldest()
	return v, ok
}

// values lists what is held, oldest first.
func (q *queue[V]) values() []V {
	if q.lru == nil {
		return nil
	}
	return q.lru.Values()
}

// trim gives an empty queue's memory back: a map doesn't shrink.
func (q *queue[V]) trim() {
	if q.lru != nil && q.lru.Len() == 0 {
		q.lru = nil
	}
}

// A shard holds the keys of one part of the hash space. A key is in at most one
// of its queues.
type shard struct {
	mu sync.Mutex // guards all

	main      queue[*entry]    // used or written here, by last use
	probation queue[*entry]    // only written by others so far, by arrival
	tombs     queue[tombstone] // by arrival

	// Lifetimes lie side by side in memory, in no order: a sweep doesn't have to
	// fetch a thousand scattered entries to find the few that have expired.
	lives []lifetime

	// Whether something is due is known without looking further.
	nextExpiry int64  // no lifetime ends before this; 0 if there is none at all
	cleared    uint64 // no entry or tombstone has a stamp up to this one

	hits, misses uint64
}

// findLocked returns the entry of a key, or nil.
func (sh *shard) findLocked(key string) *entry {
	if e, ok := sh.main.peek(key); ok {
		return e
	}
	e, _ := sh.probation.peek(key)
	return e
}

// heldLocked returns the version that a key is held at, as an entry or as a
// tombstone.
func (sh *shard) heldLocked(key string) (version, bool) {
	if e := sh.findLocked(key); e != nil {
		return e.version, true
	}
	t, ok := sh.tombs.peek(key)
	return t.version, ok
}

// remarkLocked notes that what is held of a key came again, with this mark.
func (sh *shard) remarkLocked(key string, mark uint8) {
	if e := sh.findLocked(key); e != nil && e.mark != 0 {
		e.mark = mark
	}
}

// queueLocked returns one of the two queues of entries.
func (sh *shard) queueLocked(probation bool) *queue[*entry] {
	if probation {
		return &sh.probation
	}
	return &sh.main
}

// entriesLocked lists the entries of both queues.
func (sh *shard) entriesLocked() []*entry {
	return append(sh.main.values(), sh.probation.values()...)
}

// recordLocked returns what was put.
func (sh *shard) recordLocked(e *entry) record {
	rec := record{key: e.key, val: e.val, version: e.version, kind: e.kind, mark: e.mark}
	if e.life != 0 {
		l := &sh.lives[e.life-1]
		rec.deadline, rec.staleUntil, rec.refreshFrom = l.deadline, l.staleUntil, l.refreshFrom
	}
	return rec
}

// expiredLocked reports whether an entry's deadline has come, and whether it has no use as
// stale any more either.
func (sh *shard) expiredLocked(e *entry, wall func() int64) (expired, ended bool) {
	if e.life == 0 {
		return false, false
	}
	l := &sh.lives[e.life-1]
	if l.deadline == 0 {
		return false, false
	}
	now := wall()
	return now >= l.deadline, now >= l.end()
}

// overwriteLocked makes e hold everything of rec but the key.
func (sh *shard) overwriteLocked(e *entry, rec *record) {
	e.val, e.version, e.kind, e.mark = rec.val, rec.version, rec.kind, rec.mark
	if rec.deadline == 0 && rec.staleUntil == 0 && rec.refreshFrom == 0 {
		sh.endLifeLocked(e)
		return
	}
	if e.life == 0 {
		sh.lives = append(sh.lives, lifetime{})
		e.life = int32(len(sh.lives))
	}
	sh.lives[e.life-1] = lifetime{rec.deadline, rec.staleUntil, rec.refreshFrom, e}
	if end := sh.lives[e.life-1].end(); end != 0 && (sh.nextExpiry == 0 || end < sh.nextExpiry) {
		sh.nextExpiry = end
	}
}

// endLifeLocked takes an entry's lifetime away; the last one moves to its place.
func (sh *shard) endLifeLocked(e *entry) {
	if e.life == 0 {
		return
	}
	n := len(sh.lives) - 1
	last := sh.lives[n]
	sh.lives[e.life-1], last.e.life = last, e.life
	sh.lives[n] = lifetime{} // it would keep the entry alive
	sh.lives = sh.lives[:n]
	e.life = 0
}

// dueLocked reports whether an entry may have expired, or something may be left
// that Clear is above.
func (sh *shard) dueLocked(wall int64, clear uint64) bool {
	return sh.cleared < clear || sh.nextExpiry != 0 && wall >= sh.nextExpiry
}

// clearedLocked lists the keys whose stamps Clear is not below.
func (sh *shard) clearedLocked(clear uint64) (keys []string) {
	for _, e := range sh.entriesLocked() {
		if e.stamp <= clear {
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
	if len(sh.lives) == 0 {
		sh.lives = nil
	}
}
