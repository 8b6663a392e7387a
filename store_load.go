package bcache

import "github.com/cespare/xxhash/v2"

// fresh is the get of a Loader, and costs the same: it returns the live value of a key unless
// it is worth refreshing. Whatever else is held is left to peek; a miss isn't counted here,
// as the value may still be served. See count.
func (s *store) fresh(key string, wall func() int64) (string, bool) {
	hash := xxhash.Sum64String(key)
	sh := s.shardOf(hash)
	if sh == nil {
		return "", false
	}
	if e := sh.index.find(hash); e != nil && e.key == key && e.kind == kindValue &&
		e.stamp > s.clearStamp.Load() && s.near(e) {
		if e.due(wall) {
			return "", false
		}
		s.hits.add1()
		return e.val, true
	}
	return s.freshSlowly(sh, hash, key, wall)
}

func (s *store) freshSlowly(sh *shard, hash uint64, key string, wall func() int64) (string, bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := sh.find(hash, key)
	if e == nil {
		return "", false
	}
	s.useLocked(sh, hash, e)
	if e.kind != kindValue || e.stamp <= s.clearStamp.Load() || e.due(wall) {
		return "", false
	}
	s.hits.add1()
	return e.val, true
}

// entry is peek for a Loader, and mostly takes no lock: where stale values are served, that is every
// Get. What is as good as nothing to a Loader it may leave out.
func (s *store) entry(key string) (record, bool) {
	hash := xxhash.Sum64String(key)
	sh := s.shardOf(hash)
	if sh == nil {
		return record{}, false
	}
	e := sh.index.find(hash)
	if e == nil || e.key != key {
		return s.peek(key) // only a look under the lock tells
	}
	if e.stamp <= s.clearStamp.Load() {
		return record{}, false
	}
	soft := e.soft()
	return record{
		key: e.key, val: e.val, version: e.version, kind: e.kind,
		deadline: e.deadline, staleUntil: soft.staleUntil, refreshFrom: soft.refreshFrom,
	}, true
}

// due reports whether the deadline or the time to refresh has come.
func (e *entry) due(wall func() int64) bool {
	at := e.deadline
	if from := e.soft().refreshFrom; from != 0 && (at == 0 || from < at) {
		at = from
	}
	return at != 0 && wall() >= at
}

// count counts what fresh didn't: whether a value was served in the end.
func (s *store) count(hit bool) {
	if hit {
		s.hits.add1()
	} else {
		s.misses.Add(1)
	}
}
