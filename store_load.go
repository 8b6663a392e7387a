package bcache

import "github.com/cespare/xxhash/v2"

// What a Loader asks the store: fresh for a hit, and entry for all else that may be served. Both
// mostly take no lock, and are uses of an entry, as get is.

// fresh returns the live value of a key unless it is worth refreshing, and costs what get costs.
// It isn't counted: a value may be of no use to a Typed, and where there is none entry may have
// something to serve. See count.
func (s *store) fresh(key string, wall func() int64) (string, bool) {
	hash := xxhash.Sum64String(key)
	sh := s.shardOf(hash)
	if sh == nil {
		return "", false
	}
	now := s.glance(wall)
	e := sh.find(hash, key)
	switch {
	case e == nil: // without the lock that tells nothing
	case e.due() != 0 && now == 0: // it is the first one with a deadline
	case e.kind != kindValue || e.due() != 0 && now >= e.due():
		return "", false // entry looks closer
	case e.stamp > s.clearStamp.Load() && s.noteUse(e):
		return e.val, true
	}
	return s.freshSlowly(sh, hash, key, wall)
}

func (s *store) freshSlowly(sh *shard, hash uint64, key string, wall func() int64) (string, bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := sh.find(hash, key)
	if e == nil || e.kind != kindValue || e.stamp <= s.clearStamp.Load() || e.due() != 0 && wall() >= e.due() {
		return "", false
	}
	s.useLocked(sh, hash, e)
	return e.val, true
}

// entry returns what is held of a key and may be served: a value that is fresh or stale, or a
// negative. What isn't, however the Loader may be configured, goes, so that it isn't back when
// the clock is set back.
func (s *store) entry(key string, wall func() int64) (record, bool) {
	hash := xxhash.Sum64String(key)
	sh := s.shardOf(hash)
	if sh == nil {
		return record{}, false
	}
	if e := sh.find(hash, key); e != nil && e.stamp > s.clearStamp.Load() && !e.ended(wall) && s.noteUse(e) {
		return e.served(), true
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := sh.find(hash, key)
	switch {
	case e == nil || e.stamp <= s.clearStamp.Load():
		return record{}, false
	case e.ended(wall):
		s.expireLocked(sh, e)
		return record{}, false
	}
	s.useLocked(sh, hash, e)
	return e.served(), true
}

// beside returns the value, or the negative, that stands beside what is held of a key on this node, if
// it may be served, fresh or stale.
func (s *store) beside(key string, wall func() int64) (record, bool) { return record{}, false }

// due is the deadline or the time to refresh, whichever comes first; 0 is never.
func (e *entry) due() int64 {
	at := e.deadline
	if from := e.soft().refreshFrom; from != 0 && (at == 0 || from < at) {
		at = from
	}
	return at
}

// count counts a Get of a Loader: whether something was served in the end.
func (s *store) count(hit bool) {
	if hit {
		s.hits.add1()
	} else {
		s.misses.Add(1)
	}
}
