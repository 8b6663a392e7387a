package store

import (
	"github.com/iwanbk/bcache/internal/delta"
)

// clearStep is how many shards are looked at before others get their turn. They get it earlier if there
// was something to do: with thousands of Clears a shard takes milliseconds.
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

// step clears a part of the next shard that isn't cleared. It reports whether none is left, and old Clears
// are forgotten.
func (r *clearRoom) step() (done bool) {
	if r.next == 0 {
		r.from = r.Clears.Number()
	}
	for end, due := min(r.next+clearStep, r.table.len()), false; r.next < end && !due; {
		var more bool
		if due, more = r.clear(r.next); !more {
			r.next++
		}
	}
	if r.next < r.table.len() {
		return false
	}
	r.next = 0
	r.counters.clearsDropped.Add(uint64(r.Clears.forget(r.from, r.raiseFloors)))
	return true
}

// clear clears a part of a shard. It reports whether that was due, and whether more is.
func (r *clearRoom) clear(i int) (due, more bool) {
	sh := r.table.at(i)
	if sh == nil {
		return false, false
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	due = sh.clearance.by.Load() != r.Clears.Number()
	return due, sh.clearance.catchUpLocked(sh, sweepBatch) == sweepBatch
}

// raiseFloors raises all of them.
func (r *clearRoom) raiseFloors(stamp uint64) {
	for bucket := range delta.NumBuckets {
		r.floors.raise(bucket, stamp)
	}
}
