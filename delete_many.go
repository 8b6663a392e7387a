package bcache

import "runtime"

// DeleteMany is Delete for many keys: a hundred thousand are fine. They are deleted one after the
// other, in the order given, and other writes pass between them; a key that is given twice is
// deleted twice.
//
// The error is ErrClosed, and then those that come after Close aren't deleted; or a KeyErrors, with
// ErrTooLarge for each key that is longer than MaxRecordSize: all others are deleted.
func (b *Bcache) DeleteMany(keys []string) error { return b.deleteMany("", keys) }

// deleteMany is DeleteMany of keys that a prefix is to be put before.
func (b *Bcache) deleteMany(prefix string, keys []string) error {
	tooLarge := KeyErrors{}
	recs := make([]record, 0, min(len(keys), applyBatch))
	for len(keys) > 0 {
		recs = recs[:0]
		for bytes := 0; len(keys) > 0 && len(recs) < applyBatch && bytes < applyBytes; keys = keys[1:] {
			key := keys[0]
			if len(prefix)+len(key) > MaxRecordSize {
				tooLarge[key] = ErrTooLarge
				continue
			}
			bytes += len(key)
			recs = append(recs, record{key: prefix + key, kind: kindTombstone})
		}
		if err := b.peer.replica.deleteMany(b.peer.instant(), recs); err != nil {
			return err
		}
		runtime.Gosched() // let the flusher take what there is, or it would gather
	}
	switch {
	case b.closed.Load():
		return ErrClosed // also if there was nothing to delete
	case len(tooLarge) > 0:
		return tooLarge
	}
	return nil
}

// deleteMany is delete for some keys, applyBatch at most, under one lock.
func (r *replica) deleteMany(now instant, recs []record) error {
	var at [applyBatch]place
	for i := range recs {
		at[i] = r.store.approach(&recs[i])
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	r.counts.deletes += uint64(len(recs))
	for i := range recs {
		r.write(now, &recs[i], at[i])
	}
	return nil
}
