package replica

import (
	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/store"
)

// DeleteMany is delete for some keys, ApplyBatch at most, under one lock.
func (r *Replica) DeleteMany(now delta.Instant, recs []delta.Record) error {
	var at [ApplyBatch]store.Place
	for i := range recs {
		at[i] = r.Store.Approach(&recs[i])
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return delta.ErrClosed
	}
	r.counts.Deletes += uint64(len(recs))
	for i := range recs {
		r.write(now, &recs[i], at[i])
	}
	return nil
}
