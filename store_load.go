package bcache

import "github.com/cespare/xxhash/v2"

// fresh is the get of a Loader, and costs the same: it returns the live value of a key unless
// it is worth refreshing. Whatever else is held is left to peek; a miss isn't counted here,
// as the value may still be served. See count.
func (s *store) fresh(key string, wall func() int64) (string, bool) {
	sh := s.shardOf(xxhash.Sum64String(key))
	if sh == nil {
		return "", false
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := s.useLocked(sh, key)
	if e == nil || e.kind != kindValue || e.stamp <= s.clearStamp.Load() {
		return "", false
	}
	if e.life != 0 && sh.lives[e.life-1].due(wall()) {
		return "", false
	}
	sh.hits++
	return e.val, true
}

// due reports whether the deadline or the time to refresh has come.
func (l *lifetime) due(wall int64) bool {
	return l.deadline != 0 && wall >= l.deadline || l.refreshFrom != 0 && wall >= l.refreshFrom
}

// count counts what fresh didn't: whether a value was served in the end.
func (s *store) count(hit bool) {
	if hit {
		s.hits.Add(1)
	} else {
		s.misses.Add(1)
	}
}
