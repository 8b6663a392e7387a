package store

import (
	"sync/atomic"
)

// A clearance says how far a shard was cleared by Clears that don't select everything. What a Clear
// selects is removed when the shard is looked at next, by a Get or a sweep.
type clearance struct {
	by    atomic.Uint64 // the number of the last Clear by which it was; changed under the shard's lock
	looks int           // since then; guarded by the shard's lock
}

// scanAfter is how many looks at single entries cost what it costs to look at all of a shard.
const scanAfter = 64

// shows reports whether no Clear hides a record's entry. What can't be told without the shard's lock
// doesn't show.
func (x *clearance) shows(c *Clears, e *Entry) bool {
	return e.Stamp > c.bar.Load() || x.showsStill(c, e)
}

func (x *clearance) showsStill(c *Clears, e *Entry) bool {
	return x.by.Load() == c.number.Load() && !c.last.covers(e.Stamp) && !c.hidden.Load()
}

// showsTwin is shows for a provisional value, whose epoch stands.
func (x *clearance) showsTwin(c *Clears) bool {
	return x.by.Load() == c.number.Load()
}

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
		if int32(e.ofProvisional().clears-uint32(x.number)) >= 0 { // they are some thousands apart at most
			return false
		}
	} else if e.Stamp > x.Stamp {
		return false
	}
	return x.Selects(e.Key, e.tags())
}

// lookLocked is called before somebody reads under the lock. It clears the shard, so that the next one
// needn't take it, if that is worth it: to find the keys with a prefix all of them are looked at.
func (x *clearance) lookLocked(sh *shard) {
	by := x.by.Load()
	if by == sh.Clears.number.Load() {
		return
	}
	if x.looks++; x.looks < scanAfter {
		for _, event := range sh.Clears.after(by) {
			if isPrefix(event.Selector) {
				return
			}
		}
	}
	x.catchUpLocked(sh, sweepBatch)
}

// catchUpLocked clears the shard of most entries at most, and returns how many it removed. With fewer
// nothing is left.
func (x *clearance) catchUpLocked(sh *shard, most int) int {
	by, number := x.by.Load(), sh.Clears.number.Load()
	if by == number {
		return 0
	}
	due := dueClears{number: by}
	for _, event := range sh.Clears.after(by) {
		if event.number > number { // it comes next time
			break
		}
		due.add(event)
	}
	cleared := due.findLocked(sh, most)
	for _, e := range cleared {
		x.removeLocked(sh, e, due.why(e))
	}
	n := len(cleared) + due.forgetTombsLocked(sh, most-len(cleared))
	if n >= most {
		return most
	}
	x.by.Store(number)
	x.looks = 0
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

// dueClears are the Clears by which a shard wasn't cleared yet.
type dueClears struct {
	number   uint64 // of the last one before
	tags     []clearEvent
	prefixes map[string]clearEvent // for each the last one, and of that the greatest stamp
	lengths  map[int]bool          // of prefixes
}

func (d *dueClears) add(x clearEvent) {
	prefix, ok := x.Prefix()
	if !ok {
		d.tags = append(d.tags, x)
		return
	}
	if d.prefixes == nil {
		d.prefixes, d.lengths = map[string]clearEvent{}, map[int]bool{}
	}
	if before, ok := d.prefixes[prefix]; ok && x.Version.Less(before.Version) {
		x.Version = before.Version
	}
	d.prefixes[prefix], d.lengths[len(prefix)] = x, true
}

// findLocked returns entries of a shard that are to go, most at most, none twice.
func (d *dueClears) findLocked(sh *shard, most int) (found []*Entry) {
	if d.prefixes != nil {
		for e := range sh.entries.index.all {
			if len(found) < most && (d.byPrefix(e) != nil || d.byTag(e) != nil) {
				found = append(found, e)
			}
		}
		return found
	}
	seen := map[*Entry]bool{}
	for i := range d.tags {
		tag, _ := d.tags[i].Tag()
		for _, e := range sh.entries.tagged.of(tag) {
			if len(found) < most && !seen[e] && d.tags[i].clears(e) {
				seen[e] = true
				found = append(found, e)
			}
		}
	}
	return found
}

// forgetTombsLocked has floors stand for the tombstones of a shard that a prefix selects, most at most:
// beside a tombstone a write would count that comes late, is newer, and was before the Clear.
func (d *dueClears) forgetTombsLocked(sh *shard, most int) (n int) {
	if d.prefixes == nil || most == 0 {
		return 0
	}
	for _, t := range sh.tombs.all() {
		for length := range d.lengths {
			if x, ok := d.prefixOf(t.key, length); ok && n < most && t.Stamp <= x.Stamp {
				sh.forgetLocked(t.key, t.Version)
				n++
				break
			}
		}
	}
	return n
}

// why returns a Clear by which an entry goes.
func (d *dueClears) why(e *Entry) *clearEvent {
	if x := d.byPrefix(e); x != nil {
		return x
	}
	return d.byTag(e)
}

func (d *dueClears) byPrefix(e *Entry) *clearEvent {
	for n := range d.lengths {
		if x, ok := d.prefixOf(e.Key, n); ok && x.clears(e) {
			return &x
		}
	}
	return nil
}

// prefixOf returns the Clear of the first n bytes of a key.
func (d *dueClears) prefixOf(key string, n int) (x clearEvent, ok bool) {
	if n <= len(key) {
		x, ok = d.prefixes[key[:n]]
	}
	return x, ok
}

func (d *dueClears) byTag(e *Entry) *clearEvent {
	if e.tags() == "" {
		return nil
	}
	for i := range d.tags {
		if d.tags[i].clears(e) {
			return &d.tags[i]
		}
	}
	return nil
}
