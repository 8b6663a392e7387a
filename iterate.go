package bcache

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
