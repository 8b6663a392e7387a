package bcache

// How the store is read.

// get returns the live value of a key, and that is a use of it. wall, in Unix
// milliseconds, isn't called while no entry has a deadline.
//
// Most hits take no lock and write to no memory that processors share. What isn't as simple as
// that is done again under the lock.
func (s *store) get(key string, wall func() int64) (string, bool) {
	hash := s.hash.of(key)
	sh := s.shardOf(hash)
	if sh == nil {
		s.misses.Add(1)
		return "", false
	}
	now := s.glance(wall)
	e := sh.find(hash, key)
	if e != nil && e.kind == kindValue &&
		e.stamp > s.clearStamp.Load() && e.livesAt(now) && s.noteUse(e) {
		s.hits.add1()
		return e.val, true
	}
	if e == nil || e.kind != kindValue || !e.livesAt(now) {
		p := s.twinOf(sh, hash, key)
		if p != nil && p.kind == kindValue && p.livesAt(now) && s.noteUse(p) {
			s.hits.add1()
			return p.val, true
		}
	}
	return s.getSlowly(sh, hash, key, wall)
}

// glance reads the clock, unless no entry has ever had a deadline. It comes before the lookup: the
// processor doesn't read a clock before it has all memory that it waits for, and waits for none
// while it does. So an entry isn't found first to be asked whether it needs the time. 0 is no time.
func (s *store) glance(wall func() int64) int64 {
	if !s.mortal.Load() {
		return 0
	}
	return wall()
}

func (s *store) getSlowly(sh *shard, hash uint64, key string, wall func() int64) (string, bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if e := sh.find(hash, key); e != nil && e.stamp > s.clearStamp.Load() {
		if s.readLocked(sh, hash, e, wall) {
			return e.val, true
		}
	}
	if p := s.twinOf(sh, hash, key); p != nil {
		if s.readLocked(sh, twin(hash), p, wall) {
			return p.val, true
		}
	}
	sh.misses++
	return "", false
}

// readLocked uses an entry, and reports whether it is a live value.
func (s *store) readLocked(sh *shard, hash uint64, e *entry, wall func() int64) bool {
	s.useLocked(sh, hash, e)
	switch {
	case e.kind != kindValue:
		return false
	case e.expired(wall):
		if e.endedAt(wall()) { // now, so that it isn't back when the clock is set back
			s.expireLocked(sh, e)
		}
		return false
	}
	s.hits.add1()
	return true
}

// peek returns what is held of a key, expired or not: a value, a negative or
// a tombstone. That is no use of it, and isn't counted.
func (s *store) peek(key string) (record, bool) {
	hash := s.hash.of(key)
	sh := s.shardOf(hash)
	if sh == nil {
		return record{}, false
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	var rec record
	if e := sh.find(hash, key); e != nil {
		rec = e.record()
	} else if t, ok := sh.tombs.peek(key); ok {
		rec = record{key: t.key, version: t.version, kind: kindTombstone}
	} else {
		return record{}, false
	}
	if rec.stamp <= s.clearStamp.Load() {
		return record{}, false
	}
	return rec, true
}

// admits reports whether apply would accept this version of a key.
func (s *store) admits(key string, v version) bool {
	if v.stamp <= s.clearStamp.Load() {
		return false
	}
	if held, ok := s.peek(key); ok {
		return held.less(v)
	}
	return v.stamp > s.floorOf(bucketOf(key))
}

// live lists the values of shard i, 0 <= i < shards(), that haven't expired; of a key that has a
// record and a provisional value, the record.
func (s *store) live(i int, wall int64) (live []*entry) {
	sh := s.table[i].Load()
	if sh == nil {
		return nil
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	clear := s.clearStamp.Load()
	is := func(e *entry) bool {
		return e != nil && e.kind == kindValue && e.stamp > clear && e.aliveAt(wall)
	}
	for e, hash := range sh.index.all {
		if e.isProvisional() {
			if s.stands(e) && e.kind == kindValue && e.aliveAt(wall) && !is(sh.find(twin(hash), e.key)) {
				live = append(live, e)
			}
		} else if is(e) {
			live = append(live, e)
		}
	}
	return live
}
