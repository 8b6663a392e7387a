package store

import "sync/atomic"

// numRecent is how many Clears cost a reader less than the lock.
const numRecent = 8

// recentClears are the last Clears that don't select everything. Readers compare an entry with them
// without a lock, so that they needn't wait for what a Clear removes.
type recentClears struct{ last atomic.Pointer[recentList] } // nil: there was none

// A recentList never changes.
type recentList struct {
	number uint64                 // of the last one
	clears [numRecent]*clearEvent // by number; nil: there weren't so many
	tags   tagBits                // all that they select
	plain  uint64                 // greatest stamp of what may be about an entry whatever its tags, see Clears
}

// set is called for each Clear, and if the stamp has changed: then e is nil.
func (r *recentClears) set(e *clearEvent, plain uint64) {
	var l recentList
	if last := r.last.Load(); last != nil {
		l.number, l.clears = last.number, last.clears
	}
	if e != nil {
		l.number, l.clears[e.number%numRecent] = e.number, e
	}
	for _, x := range l.clears {
		if x != nil {
			tag, _ := x.Tag()
			l.tags.add(tag)
		}
	}
	l.plain = plain
	r.last.Store(&l)
}

// spare reports that no Clear is about an entry that was found when its shard was cleared by so many. As a
// rule it does so if that is the case, unless too many have come since. It takes few steps, and but for
// one no branch depends on what they are about: while a Get waits for memory, the processor does what it
// can of the next one.
func (r *recentClears) spare(e *Entry, by uint64) bool {
	l := r.last.Load()
	return l != nil && l.number-by <= numRecent && e.Stamp > l.plain && !e.isProvisional() &&
		!e.tagBits().meet(&l.tags)
}

// clear reports whether one of the Clears from the one with a number on is about an entry. It isn't known
// if they are too many.
func (r *recentClears) clear(e *Entry, from uint64) (clear, known bool) {
	l := r.last.Load()
	if l.number-from >= numRecent {
		return false, false
	}
	for n := from; n <= l.number; n++ {
		if l.clears[n%numRecent].clears(e) {
			return true, true
		}
	}
	return false, true
}
