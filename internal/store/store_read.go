package store

import (
	"github.com/iwanbk/bcache/internal/delta"
)

// How the store is read. A Get of the cache calls get. A Loader calls fresh, which is as fast, and then
// entry, which finds all else that may be served. Most Gets take no lock and write to no memory that
// processors share. Where that isn't possible, the shard looks again under its lock (shard_read.go).

// Get returns the live value of a key, and that is a use of it. wall is the clock, in Unix milliseconds.
// It is called only if a value is found whose deadline is close, or if Clock doesn't run.
func (s *Store) Get(key string, wall func() int64) (string, bool) {
	hash := s.hash.Of(key)
	sh := s.table.of(hash)
	if sh == nil {
		s.counters.misses.Add1()
		return "", false
	}
	by, moves := sh.clearance.by.Load(), sh.entries.index.moves.Load()
	e := sh.entries.index.either(tagOf(hash), key)
	if e != nil && (e.isAbove(&s.Clears) || e.traits >= sharingTrait && s.Clears.recent.spare(e, by)) &&
		e.kind == delta.KindValue && s.before(e.deadline, wall) &&
		s.policy.noteUse(e) {
		s.counters.hits.Add1()
		s.sample(e)
		return e.Val, true
	}
	return getOther(s, sh, hash, key, wall, e, by, moves)
}

// getOther is Get for what isn't a record that is younger than all Clears: for the entry that either has
// found, or nil.
func getOther(
	s *Store, sh *shard, hash uint64, key string, wall func() int64, e *Entry, by uint64, moves uint32,
) (string, bool) {
	e, alone := sh.foremost(hash, key, e)
	gone := e == nil
	if !gone && e.kind == delta.KindValue && s.before(e.deadline, wall) {
		v := viewOf(&s.Clears, e, by)
		if v == shown && s.policy.noteUse(e) {
			s.counters.hits.Add1()
			s.sample(e)
			return e.Val, true
		}
		gone = v == hidden && !alone
	}
	if gone && sh.twinOf(hash, key) == nil && sh.entries.index.still(moves) {
		s.counters.misses.Add1()
		return "", false
	}
	return sh.get(hash, key, wall)
}

// Fresh returns the entry of a key's live value unless that is worth refreshing, otherwise nil, and
// costs what Get costs. It isn't counted: a value may be of no use to a Typed, and where there is none
// entry may have something to serve.
func (s *Store) Fresh(key string, wall func() int64) *Entry {
	hash := s.hash.Of(key)
	sh := s.table.of(hash)
	if sh == nil {
		return nil
	}
	by := sh.clearance.by.Load()
	e := sh.entries.index.either(tagOf(hash), key)
	if e != nil && (e.isAbove(&s.Clears) || e.traits >= sharingTrait && s.Clears.recent.spare(e, by)) {
		if e.kind != delta.KindValue || !s.before(e.due(), wall) {
			return nil // entry looks closer
		}
		if s.policy.noteUse(e) {
			s.sample(e)
			return e
		}
	}
	return freshOther(s, sh, hash, key, wall, e, by)
}

// freshOther is to Fresh what getOther is to Get.
func freshOther(
	s *Store, sh *shard, hash uint64, key string, wall func() int64, e *Entry, by uint64,
) *Entry {
	e, _ = sh.foremost(hash, key, e)
	switch {
	case e == nil: // without the lock that tells nothing
	case e.kind != delta.KindValue || !s.before(e.due(), wall):
		return nil
	case viewOf(&s.Clears, e, by) == shown && s.policy.noteUse(e):
		s.sample(e)
		return e
	}
	return sh.fresh(hash, key, wall)
}

// Entry returns what is held of a key and may be served: a value that is fresh or stale, or a
// negative. What isn't, however the Loader may be configured, goes, so that it isn't back when
// the clock is set back. A record that is live comes before a provisional value, and that before a
// record that is stale. That is a use of it, as Get is.
func (s *Store) Entry(key string, wall int64) (delta.Record, bool) {
	hash := s.hash.Of(key)
	sh := s.table.of(hash)
	if sh == nil {
		return delta.Record{}, false
	}
	by := sh.clearance.by.Load()
	e := sh.entries.recordOf(hash, key)
	if p := sh.twinOf(hash, key); p != nil && (e == nil || !e.aliveAt(wall)) {
		if !p.endedAt(wall) && viewOf(&s.Clears, p, by) == shown && s.policy.noteUse(p) {
			return p.served(), true
		}
	} else if e != nil && viewOf(&s.Clears, e, by) == shown && !e.endedAt(wall) &&
		s.policy.noteUse(e) {
		return e.served(), true
	}
	return sh.entry(hash, key, wall)
}

// Beside returns the provisional value of a key, or negative, that stands beside what else is held of
// it, if it may be served, fresh or stale.
func (s *Store) Beside(key string, wall int64) (delta.Record, bool) {
	hash := s.hash.Of(key)
	sh := s.table.of(hash)
	if sh == nil || s.tally.provisional.Load() == 0 {
		return delta.Record{}, false
	}
	return sh.beside(hash, key, wall)
}

// Peek returns what is held of a key, expired or not: a value, a negative or
// a tombstone. That is no use of it, and isn't counted.
func (s *Store) Peek(key string) (delta.Record, bool) {
	hash := s.hash.Of(key)
	sh := s.table.of(hash)
	if sh == nil {
		return delta.Record{}, false
	}
	return sh.peek(hash, key)
}

// Inspect tells what is known of a key. That is no use of it, and isn't counted. Values aren't copied.
func (s *Store) Inspect(key string) Inspection {
	hash, in := s.hash.Of(key), Inspection{}
	sh := s.table.of(hash)
	if sh != nil {
		sh.mu.Lock() // a floor rises under it, before what it stands for goes
		defer sh.mu.Unlock()
		in.inspectLocked(sh, hash, key)
	}
	in.Floor = s.floors.of(delta.BucketOf(key))
	in.inspect(&s.Clears, key)
	return in
}

// Admits reports whether Apply would accept a record.
func (s *Store) Admits(rec *delta.Record) bool {
	if s.Clears.Covers(rec) {
		return false
	}
	if held, ok := s.Peek(rec.Key); ok {
		return held.Version.Less(rec.Version)
	}
	return rec.Stamp > s.FloorOf(delta.BucketOf(rec.Key))
}

// TakesAbove returns the greatest stamp up to which Apply would accept no record of a key, whatever its
// tags are.
func (s *Store) TakesAbove(key string) uint64 {
	held, ok := s.Peek(key)
	if !ok {
		held.Stamp = s.FloorOf(delta.BucketOf(key))
	}
	stamp := max(held.Stamp, s.Clears.All().Stamp)
	if s.Clears.Number() == 0 {
		return stamp
	}
	s.Clears.mu.RLock()
	defer s.Clears.mu.RUnlock()
	for v := range s.Clears.selectingLocked(&delta.Record{Key: key}) { // by its prefixes
		stamp = max(stamp, v.Stamp)
	}
	return stamp
}

// Live lists the values of shard i, 0 <= i < Shards(), that haven't expired; of a key that has a
// record and a provisional value, the record.
func (s *Store) Live(i int, wall int64) []*Entry {
	sh := s.table.at(i)
	if sh == nil {
		return nil
	}
	return sh.live(wall)
}
