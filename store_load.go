package bcache

// What a Loader asks the store: fresh for a hit, and entry for all else that may be served. Both
// mostly take no lock, and are uses of an entry, as get is.

// fresh returns the live value of a key unless it is worth refreshing, and costs what get costs.
// It isn't counted: a value may be of no use to a Typed, and where there is none entry may have
// something to serve. See count.
func (s *store) fresh(key string, wall func() int64) (string, bool) {
	hash := s.hash.of(key)
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
	if e == nil {
		if p := s.twinOf(sh, hash, key); p != nil && p.freshAt(now) && s.noteUse(p) {
			return p.val, true
		}
	}
	return s.freshSlowly(sh, hash, key, wall)
}

// freshAt reports whether an entry is a value that is known to be live, and not worth refreshing, at
// a time; 0 is no time.
func (e *entry) freshAt(now int64) bool {
	return e.kind == kindValue && (e.due() == 0 || now != 0 && now < e.due())
}

func (s *store) freshSlowly(sh *shard, hash uint64, key string, wall func() int64) (string, bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := sh.find(hash, key)
	if e == nil || e.stamp <= s.clearStamp.Load() {
		if e, hash = s.twinOf(sh, hash, key), twin(hash); e == nil {
			return "", false
		}
	}
	if e.kind != kindValue || e.due() != 0 && wall() >= e.due() {
		return "", false
	}
	s.useLocked(sh, hash, e)
	return e.val, true
}

// entry returns what is held of a key and may be served: a value that is fresh or stale, or a
// negative. What isn't, however the Loader may be configured, goes, so that it isn't back when
// the clock is set back. A record that is live comes before a provisional value, and that before a
// record that is stale.
func (s *store) entry(key string, wall int64) (record, bool) {
	hash := s.hash.of(key)
	sh := s.shardOf(hash)
	if sh == nil {
		return record{}, false
	}
	e := sh.find(hash, key)
	if p := s.twinOf(sh, hash, key); p != nil && (e == nil || !e.aliveAt(wall)) {
		if !p.endedAt(wall) && s.noteUse(p) {
			return p.served(), true
		}
	} else if e != nil && e.stamp > s.clearStamp.Load() && !e.endedAt(wall) && s.noteUse(e) {
		return e.served(), true
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e = sh.find(hash, key)
	if e != nil && e.stamp <= s.clearStamp.Load() {
		e = nil
	}
	if e == nil || !e.aliveAt(wall) {
		if p := s.twinOf(sh, hash, key); p != nil && s.servesLocked(sh, p, wall) {
			return p.served(), true
		}
	}
	if e != nil && s.servesLocked(sh, e, wall) {
		return e.served(), true
	}
	return record{}, false
}

// servesLocked uses an entry, unless it is over: then it goes.
func (s *store) servesLocked(sh *shard, e *entry, wall int64) bool {
	if e.endedAt(wall) {
		s.expireLocked(sh, e)
		return false
	}
	s.useLocked(sh, s.hashOf(e), e)
	return true
}

// beside returns the provisional value of a key, or negative, that stands beside what else is held of
// it, if it may be served, fresh or stale.
func (s *store) beside(key string, wall int64) (record, bool) {
	hash := s.hash.of(key)
	sh := s.shardOf(hash)
	if sh == nil || s.provisional.Load() == 0 {
		return record{}, false
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if p := s.twinOf(sh, hash, key); p != nil && s.servesLocked(sh, p, wall) {
		return p.served(), true
	}
	return record{}, false
}

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
