package store

import "sync/atomic"

// numRecent is how many Clears cost a reader less than the lock.
const numRecent = 8

// recentClears are the last Clears that don't select everything. Readers compare an entry with them
// without a lock, so that they needn't wait for what a Clear removes.
type recentClears [numRecent]atomic.Pointer[clearEvent] // by number

func (r *recentClears) add(e *clearEvent) { r[e.number%numRecent].Store(e) }

// clear reports whether one of the Clears with numbers from one to another, both included, is about an
// entry. It isn't known if they are too many, or more have come meanwhile.
func (r *recentClears) clear(e *Entry, from, to uint64) (clear, known bool) {
	if to-from >= numRecent {
		return false, false
	}
	for n := from; n <= to; n++ {
		switch x := r[n%numRecent].Load(); {
		case x == nil || x.number != n:
			return false, false
		case x.clears(e):
			return true, true
		}
	}
	return false, true
}
