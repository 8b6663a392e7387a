package bcache

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
