package bcache

// How the store is read. A Get of the cache calls get. A Loader calls fresh, which is as fast, and then
// entry, which finds all else that may be served. Most hits take no lock and write to no memory that
// processors share. Where that isn't possible, the shard looks again under its lock (shard_read.go).

// get returns the live value of a key, and that is a use of it. wall, in Unix
// milliseconds, isn't called while no entry has a deadline.
func (s *store) get(key string, wall func() int64) (string, bool) {
	hash := s.hash.of(key)
	sh := s.table.of(hash)
	if sh == nil {
		s.counters.misses.Add(1)
		return "", false
	}
	now := s.glance(wall)
	e := sh.entries.find(hash, key)
	if e != nil && e.kind == kindValue &&
		!s.lastClear.covers(e.stamp) && e.livesAt(now) && s.tally.noteUse(e) {
		s.counters.hits.add1()
		return e.val, true
	}
	if e == nil || e.kind != kindValue || !e.livesAt(now) {
		p := sh.twinOf(hash, key)
		if p != nil && p.kind == kindValue && p.livesAt(now) && s.tally.noteUse(p) {
			s.counters.hits.add1()
			return p.val, true
		}
	}
	return sh.get(hash, key, wall)
}

// glance reads the clock, unless no entry has ever had a deadline. It comes before the lookup: the
// processor doesn't read a clock before it has all memory that it waits for, and waits for none
// while it does. So an entry isn't found first to be asked whether it needs the time. 0 is no time.
func (s *store) glance(wall func() int64) int64 {
	if !s.tally.mortal.Load() {
		return 0
	}
	return wall()
}

// fresh returns the live value of a key unless it is worth refreshing, and costs what get costs.
// It isn't counted: a value may be of no use to a Typed, and where there is none entry may have
// something to serve. See count.
func (s *store) fresh(key string, wall func() int64) (string, bool) {
	hash := s.hash.of(key)
	sh := s.table.of(hash)
	if sh == nil {
		return "", false
	}
	now := s.glance(wall)
	e := sh.entries.find(hash, key)
	switch {
	case e == nil: // without the lock that tells nothing
	case e.due() != 0 && now == 0: // it is the first one with a deadline
	case e.kind != kindValue || e.due() != 0 && now >= e.due():
		return "", false // entry looks closer
	case !s.lastClear.covers(e.stamp) && s.tally.noteUse(e):
		return e.val, true
	}
	if e == nil {
		if p := sh.twinOf(hash, key); p != nil && p.freshAt(now) && s.tally.noteUse(p) {
			return p.val, true
		}
	}
	return sh.fresh(hash, key, wall)
}

// entry returns what is held of a key and may be served: a value that is fresh or stale, or a
// negative. What isn't, however the Loader may be configured, goes, so that it isn't back when
// the clock is set back. A record that is live comes before a provisional value, and that before a
// record that is stale. That is a use of it, as get is.
func (s *store) entry(key string, wall int64) (record, bool) {
	hash := s.hash.of(key)
	sh := s.table.of(hash)
	if sh == nil {
		return record{}, false
	}
	e := sh.entries.find(hash, key)
	if p := sh.twinOf(hash, key); p != nil && (e == nil || !e.aliveAt(wall)) {
		if !p.endedAt(wall) && s.tally.noteUse(p) {
			return p.served(), true
		}
	} else if e != nil && !s.lastClear.covers(e.stamp) && !e.endedAt(wall) && s.tally.noteUse(e) {
		return e.served(), true
	}
	return sh.entry(hash, key, wall)
}

// beside returns the provisional value of a key, or negative, that stands beside what else is held of
// it, if it may be served, fresh or stale.
func (s *store) beside(key string, wall int64) (record, bool) {
	hash := s.hash.of(key)
	sh := s.table.of(hash)
	if sh == nil || s.tally.provisional.Load() == 0 {
		return record{}, false
	}
	return sh.beside(hash, key, wall)
}

// count counts a Get of a Loader: whether something was served in the end.
func (s *store) count(hit bool) {
	if hit {
		s.counters.hits.add1()
	} else {
		s.counters.misses.Add(1)
	}
}

// peek returns what is held of a key, expired or not: a value, a negative or
// a tombstone. That is no use of it, and isn't counted.
func (s *store) peek(key string) (record, bool) {
	hash := s.hash.of(key)
	sh := s.table.of(hash)
	if sh == nil {
		return record{}, false
	}
	return sh.peek(hash, key)
}

// admits reports whether apply would accept this version of a key.
func (s *store) admits(key string, v version) bool {
	if s.cleared(v.stamp) {
		return false
	}
	if held, ok := s.peek(key); ok {
		return held.less(v)
	}
	return v.stamp > s.floorOf(bucketOf(key))
}

// live lists the values of shard i, 0 <= i < shards(), that haven't expired; of a key that has a
// record and a provisional value, the record.
func (s *store) live(i int, wall int64) []*entry {
	sh := s.table.at(i)
	if sh == nil {
		return nil
	}
	return sh.live(wall)
}

// probation is how many entries haven't been used again since they came.
func (s *store) probation() int { return int(s.tally.inProbation.Load()) }
