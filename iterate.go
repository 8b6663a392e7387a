package bcache

import "iter"

// All iterates over the values that this node holds and whose deadlines haven't come, in no order. It is
// weakly consistent: what is written or removed meanwhile may show or not, and no key comes twice. It
// copies some thousand references at a time and holds no lock while the loop's body runs, which may use
// the cache, and call whatever it likes. It is no use of an entry, and isn't counted in Stats.
func (b *Bcache) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for i := range b.store.shards() {
			for _, e := range b.store.live(i, b.wall()) {
				if !e.expired(b.wall) && !yield(e.key, e.val) {
					return
				}
			}
		}
	}
}

// Keys iterates over the keys of All.
func (b *Bcache) Keys() iter.Seq[string] {
	return func(yield func(string) bool) {
		for key := range b.All() {
			if !yield(key) {
				return
			}
		}
	}
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
