package store

import (
	"slices"
	"sync/atomic"
)

// A clearance says how far a shard was cleared by Clears that don't select everything. What a Clear
// selects is removed by a sweep, or by a reader if comparing single entries becomes more work than that.
type clearance struct {
	by       atomic.Uint64 // the number of the last Clear by which it was; changed under the shard's lock
	compared int           // how many times entries were with Clears since then; guarded by the shard's lock
}

// clearAfter is how many times an entry is compared with a Clear before the shard is cleared of what has
// a prefix: that takes about as long.
const clearAfter = 2048

// clearsPerLook is how many entries with a tag go when somebody reads: who reads has to wait for that.
const clearsPerLook = 8

// showsLocked reports whether an entry may be served, be it a record's or a provisional value.
func (x *clearance) showsLocked(c *Clears, e *Entry) bool {
	return !x.hidesLocked(c, e) && (!c.hidden.Load() || e.isProvisional())
}

// hidesLocked reports whether a Clear hides an entry.
func (x *clearance) hidesLocked(c *Clears, e *Entry) bool {
	return !e.isProvisional() && c.last.covers(e.Stamp) || x.clearsLocked(c, e) != nil
}

// clearsLocked returns a Clear by which an entry goes when the shard is cleared, or nil.
func (x *clearance) clearsLocked(c *Clears, e *Entry) *clearEvent {
	by := x.by.Load()
	if by == c.number.Load() || !e.isProvisional() && e.Stamp > c.bar.Load() {
		return nil
	}
	after := c.after(by)
	for i := range after {
		if after[i].clears(e) {
			return &after[i]
		}
	}
	return nil
}

// clears reports whether an entry is what a Clear is about, and was there before it.
func (x *clearEvent) clears(e *Entry) bool {
	if e.isProvisional() {
		if e.ofProvisional().isAfter(x.number) {
			return false
		}
	} else if e.Stamp > x.Stamp {
		return false
	}
	return x.Selects(e.Key, e.tags())
}

// lookLocked is called before somebody reads under the lock. It clears the shard, so that the next one
// needn't compare, if that is worth it: who reads has to wait for what is removed, and to find the keys
// with a prefix all of them are looked at.
func (x *clearance) lookLocked(sh *shard) {
	by := x.by.Load()
	if by == sh.Clears.number.Load() {
		return
	}
	due := sh.Clears.after(by)
	x.compared += len(due)
	switch {
	case slices.ContainsFunc(due, isOfPrefix):
		if x.compared >= clearAfter {
			x.clearLocked(sh, due, sweepBatch)
		}
	case len(due) <= numRecent && slices.ContainsFunc(due, sh.entries.tagged.has):
		// Who comes next compares without the lock, and a sweep removes them.
	default:
		x.clearLocked(sh, due, clearsPerLook)
	}
}

// catchUpLocked clears the shard of most entries at most, and returns how many it removed. With fewer
// nothing is left.
func (x *clearance) catchUpLocked(sh *shard, most int) int {
	by := x.by.Load()
	if by == sh.Clears.number.Load() {
		return 0
	}
	return x.clearLocked(sh, sh.Clears.after(by), most)
}

// clearLocked is catchUpLocked by the Clears that are due. There are some.
func (x *clearance) clearLocked(sh *shard, due []clearEvent, most int) (n int) {
	x.compared = 0
	d := sh.Clears.sorted.of(due)
	for i := range d.each {
		if tag, ok := d.each[i].Tag(); ok {
			n += x.clearTagLocked(sh, tag, &d.each[i], most-n)
		}
	}
	if d.prefixes.clears != nil {
		n += x.clearPrefixesLocked(sh, &d.prefixes, most-n)
	}
	if n < most {
		x.by.Store(d.to)
	}
	return n
}

// clearTagLocked removes the entries with a tag that a Clear is about, most at most.
func (x *clearance) clearTagLocked(sh *shard, tag string, by *clearEvent, most int) (n int) {
	list := sh.entries.tagged.of(tag)
	for i := len(list) - 1; i >= 0 && n < most; i-- { // backwards: the last one takes the place of one that goes
		if i < len(list) && by.clears(list[i]) {
			x.removeLocked(sh, list[i], by)
			n++
			list = sh.entries.tagged.of(tag)
		}
	}
	return n
}

// clearPrefixesLocked removes the entries that prefixes select, most at most, and has floors stand for the
// tombstones: beside a tombstone a write would count that comes late, is newer, and was before the Clear.
func (x *clearance) clearPrefixesLocked(sh *shard, p *duePrefixes, most int) (n int) {
	var found []*Entry
	for e := range sh.entries.index.all {
		if len(found) < most && p.clear(e) != nil {
			found = append(found, e)
		}
	}
	for _, e := range found { // not while the index is gone through
		x.removeLocked(sh, e, p.clear(e))
	}
	n = len(found)
	if n == most {
		return n
	}
	for _, t := range sh.tombs.all() {
		if n < most && p.above(t.key, t.Stamp) {
			sh.forgetLocked(t.key, t.Version)
			n++
		}
	}
	return n
}

// removeLocked removes an entry that a Clear selects that doesn't select everything. Of that somebody was
// told before. The floor stands for a record: its tags are gone, and with them what says that the Clear
// was about older versions too.
func (x *clearance) removeLocked(sh *shard, e *Entry, by *clearEvent) {
	sh.decisions.noteGone(sh.tagOf(e), e, DecisionCleared, by.Wall)
	if e.isProvisional() {
		sh.counters.provisionalsDropped.Add(1)
	} else {
		sh.floors.raise(e.bucket(), e.Stamp)
	}
	sh.entries.remove(sh.tagOf(e), e)
	sh.counters.cleared.Add(1)
}

// twinLocked is the twinOf of a shard under the lock, for what no Clear hides.
func (x *clearance) twinLocked(sh *shard, hash uint64, key string) *Entry {
	if p := sh.twinOf(hash, key); p != nil && !x.hidesLocked(&sh.Clears, p) {
		return p
	}
	return nil
}
