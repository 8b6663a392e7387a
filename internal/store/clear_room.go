package store

import (
	"github.com/iwanbk/bcache/internal/delta"
)

// clearStep is how many shards are cleared before others get their turn.
const clearStep = 16

// A clearRoom makes room for one more Clear: it sees to it that all shards are cleared, and that floors
// stand for the Clears that are forgotten. It is serialised as Apply is.
type clearRoom struct {
	*shared
	table *table
	next  int    // the shard to go on with
	from  uint64 // the number of the last Clear when the first shard was cleared
}

// Make does a part of what is needed before a Clear with this selector is applied, and reports whether
// more is needed.
func (r *clearRoom) Make(s delta.Selector) (more bool) {
	if s == "" || !r.Clears.full(s) {
		return false
	}
	return !r.step() || r.Clears.full(s)
}

// step clears the next shards. It reports whether these were the last ones, and old Clears are forgotten.
func (r *clearRoom) step() (done bool) {
	if r.next == 0 {
		r.from = r.Clears.Number()
	}
	end := min(r.next+clearStep, r.table.len())
	for ; r.next < end; r.next++ {
		r.clear(r.next)
	}
	if r.next < r.table.len() {
		return false
	}
	r.next = 0
	before := r.Clears.selectors()
	r.Clears.forget(r.from, r.raiseFloors)
	r.counters.clearsDropped.Add(uint64(before - r.Clears.selectors()))
	return true
}

// clear clears a shard.
func (r *clearRoom) clear(i int) {
	sh := r.table.at(i)
	if sh == nil {
		return
	}
	for n := sweepBatch; n == sweepBatch; {
		sh.mu.Lock()
		n = sh.clearance.catchUpLocked(sh, sweepBatch)
		sh.mu.Unlock()
	}
}

// raiseFloors raises all of them.
func (r *clearRoom) raiseFloors(stamp uint64) {
	for bucket := range delta.NumBuckets {
		r.floors.raise(bucket, stamp)
	}
}
