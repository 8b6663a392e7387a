package bcache

const (
	// looks is how many shards are compared to find a victim. With so many the hit
	// ratio on a Zipf trace is that of an exact LRU within 0.1 points.
	looks = 8

	// maxProbes bounds the search in a nearly empty store, once it has found one.
	maxProbes = 64

	// sweepBatch is how many entries are removed under one lock at most.
	sweepBatch = 64
)

// fitsLocked reports whether there is room for what rec becomes: one entry or tombstone
// more, or another length of one that is there; e is the key's entry, if it has one.
func (s *store) fitsLocked(sh *shard, rec *record, e *entry) bool {
	if rec.kind == kindTombstone {
		_, held := sh.tombs.peek(rec.key)
		return held || s.tombs.Load() < int64(s.maxTombstones) &&
			s.tombBytes.Load()+int64(len(rec.key)) <= maxTombstoneBytes
	}
	n, cost := int64(1), entryCost(rec.key, rec.val)
	if e != nil {
		n, cost = 0, cost-e.cost()
	}
	return s.entries.Load()+n <= int64(s.maxKeys) &&
		(s.maxBytes <= 0 || cost <= 0 || s.entryBytes.Load()+cost <= s.maxBytes)
}

// evictFor evicts up to n entries to make room for a record that apply would hold. It reports whether
// more are needed.
func (s *store) evictFor(now instant, rec *record, n int) bool {
	return s.evictUnder(now, rec, s.hash.of(rec.key), n)
}

// evictToKeep is evictFor for a provisional value, that keep would hold.
func (s *store) evictToKeep(now instant, rec *record, n int) bool {
	return s.evictUnder(now, rec, twin(s.hash.of(rec.key)), n)
}

// countsBytes reports whether there is a limit to the bytes of all entries.
func (s *store) countsBytes() bool { return s.maxBytes > 0 }

// evictUnder is evictFor for what would be held under a hash.
func (s *store) evictUnder(now instant, rec *record, hash uint64, n int) bool {
	if s.maxBytes <= 0 || rec.kind == kindTombstone || s.tooBig(rec) ||
		entryCost(rec.key, rec.val) <= int64(n)*entryOverhead {
		return false // apply itself won't need more
	}
	for ; n > 0; n-- {
		if sh := s.shardOf(hash); sh != nil {
			sh.mu.Lock()
			fits := s.fitsLocked(sh, rec, sh.find(hash, rec.key))
			sh.mu.Unlock()
			if fits {
				return false
			}
		} else if s.entryBytes.Load()+entryCost(rec.key, rec.val) <= s.maxBytes {
			return false
		}
		s.evict(now)
	}
	return true
}

// tooBig reports whether a record wouldn't fit into an empty store.
func (s *store) tooBig(rec *record) bool {
	if rec.kind == kindTombstone {
		return len(rec.key) > maxTombstoneBytes
	}
	return s.maxBytes > 0 && entryCost(rec.key, rec.val) > s.maxBytes
}

// evict drops an entry that hasn't been used for long, or several dead ones.
//
// While what only others wrote makes up more than a quarter, it goes first: a
// flood of remote writes replaces itself, not what is read here.
func (s *store) evict(now instant) {
	probation := s.inProbation.Load()*4 > s.entries.Load()
	if !s.evictFrom(now, probation) {
		s.evictFrom(now, !probation)
	}
}

func (s *store) evictFrom(now instant, probation bool) bool {
	sh := s.eldest(func(sh *shard) (int64, bool) {
		e := sh.oldestLocked(probation)
		if e == nil {
			return 0, false
		}
		return s.age(e), true
	})
	if sh == nil {
		return false
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if s.dueLocked(sh, now.wall) && s.sweepLocked(sh, now) > 0 {
		return true
	}
	e := s.victimLocked(sh, probation)
	if e == nil {
		return false // a get or a sweep was faster
	}
	s.endLocked(sh, e, changeEvict)
	s.evictions.Add(1)
	return true
}

// dropTombstone collects a tombstone, one of the oldest, before its time.
func (s *store) dropTombstone() {
	sh := s.eldest(func(sh *shard) (int64, bool) {
		_, t, ok := sh.tombs.oldest()
		return -int64(t.born), ok
	})
	if sh == nil {
		return
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if _, t, ok := sh.tombs.oldest(); ok {
		s.forgetLocked(sh, t.key, t.version)
		s.tombsDropped.Add(1)
	}
}

// eldest asks some shards, from a random one on, for the age of what they would
// give up, and returns the one with the greatest. nil: none has anything.
func (s *store) eldest(ageLocked func(*shard) (int64, bool)) *shard {
	var best *shard
	var bestAge int64
	start, n := s.rng.Uint64(), uint64(len(s.table))
	for i, found := uint64(0), 0; i < n && found < looks && (best == nil || i < maxProbes); i++ {
		sh := s.table[(start+i)&(n-1)].Load()
		if sh == nil {
			continue
		}
		sh.mu.Lock()
		age, ok := ageLocked(sh)
		sh.mu.Unlock()
		if !ok {
			continue
		}
		found++
		if best == nil || age > bestAge {
			best, bestAge = sh, age
		}
	}
	return best
}

// sweepShard removes what is dead in shard i, 0 <= i < shards(): expired entries,
// tombstones that are older than deletionDelay, and whatever Clear is above. It
// costs next to nothing when there is none.
func (s *store) sweepShard(now instant, i int) {
	sh := s.table[i].Load()
	if sh == nil {
		return
	}
	for n := sweepBatch; n == sweepBatch; {
		n = s.sweepSome(sh, now)
	}
}

// sweepSome does what can be done under one lock, and returns how much it was.
func (s *store) sweepSome(sh *shard, now instant) int {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	n := 0
	if s.dueLocked(sh, now.wall) {
		n = s.sweepLocked(sh, now)
	}
	for ; n < sweepBatch; n++ {
		_, t, ok := sh.tombs.oldest()
		if !ok || now.mono-t.born < s.deletionDelay {
			break
		}
		s.forgetLocked(sh, t.key, t.version)
		s.tombsCollected.Add(1)
	}
	sh.trimLocked()
	return n
}

// sweepLocked removes what has expired or what Clear is above, sweepBatch at
// most, and returns how many it removed. With fewer nothing is left.
func (s *store) sweepLocked(sh *shard, now instant) int {
	n, next, x := 0, int64(0), &sh.index
	for i := 0; i < len(x.ends); {
		if end := x.ends[i]; end == 0 || now.wall < end {
			if end != 0 && (next == 0 || end < next) {
				next = end
			}
			i++
			continue
		}
		size := len(x.ends)
		s.expireLocked(sh, x.at(i)) // another entry may take this place
		if len(x.ends) != size {
			i = 0 // all places are others
		}
		if n++; n == sweepBatch {
			return n // the hints stay, and so does what is due
		}
	}
	sh.nextExpiry = next

	if epoch := s.epoch.Load(); sh.epoch < epoch {
		for _, e := range s.staleLocked(sh) {
			s.dropStaleLocked(sh, e)
			if n++; n == sweepBatch {
				return n
			}
		}
		sh.epoch = epoch
	}

	clear := s.clearStamp.Load()
	if sh.cleared >= clear {
		return n
	}
	for _, key := range sh.clearedLocked(clear) {
		s.removeLocked(sh, key)
		if n++; n == sweepBatch {
			return n
		}
	}
	sh.cleared = clear
	return n
}

// forgetLocked drops what is held of a key: from now on the floor stands for it.
func (s *store) forgetLocked(sh *shard, key string, v version) {
	s.raiseFloor(bucketOf(key), v.stamp)
	if !s.watch.none() {
		s.watch.tellGone(sh.find(s.hash.of(key), key), changeEvict)
	}
	s.removeLocked(sh, key)
}

// expireLocked does so with an entry whose time is over.
func (s *store) expireLocked(sh *shard, e *entry) {
	s.endLocked(sh, e, changeExpire)
	s.expirations.Add(1)
}
