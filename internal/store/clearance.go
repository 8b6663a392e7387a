package store

import (
	"iter"
	"slices"
	"sync/atomic"

	"github.com/iwanbk/bcache/internal/delta"
)

// A clearance says how far a shard was cleared by Clears that don't select everything. What a Clear
// selects is removed when the shard is looked at next, by a Get or a sweep.
type clearance struct {
	by    atomic.Uint64 // the number of the last Clear by which it was; changed under the shard's lock
	looks int           // since then; guarded by the shard's lock
}

// scanAfter is how many looks at single entries cost what it costs to look at all of a shard.
const scanAfter = 64

// clearsPerLook is how many entries with a tag go when somebody reads: who reads has to wait for that.
const clearsPerLook = 8

// shows reports whether no Clear hides a record's entry that was found when the shard was cleared by so
// many. What can't be told without the shard's lock doesn't show.
//
// by has to be read before the entry is looked for. Otherwise somebody else could clear the shard in
// between, and then it would vouch for an entry that has just gone.
func (c *Clears) shows(e *Entry, by uint64) bool {
	return e.Stamp > c.bar.Load() || by == c.number.Load() && !c.last.covers(e.Stamp) && !c.hidden.Load()
}

// showsTwin is shows for a provisional value, whose epoch stands.
func (c *Clears) showsTwin(by uint64) bool { return by == c.number.Load() }

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
		// While a provisional value lives, fewer than 2^31 come: a hundred a second do so in 8 months.
		if int32(e.ofProvisional().clears-uint32(x.number)) >= 0 {
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
	x.looks++
	due, most := sh.Clears.after(by), clearsPerLook
	if slices.ContainsFunc(due, func(e clearEvent) bool { return isPrefix(e.Selector) }) {
		if x.looks < scanAfter {
			return
		}
		most = sweepBatch
	}
	x.clearLocked(sh, due, most)
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
	number := due[len(due)-1].number
	due = oneOfEach(due)
	for i := range due {
		if tag, ok := due[i].Tag(); ok {
			n += x.clearTagLocked(sh, tag, &due[i], most-n)
		}
	}
	if p := prefixesOf(due); p.clears != nil {
		n += x.clearPrefixesLocked(sh, &p, most-n)
	}
	if n < most {
		x.by.Store(number)
		x.looks = 0
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

// fewClears is how many cost less one by one than it takes to see which are about the same.
const fewClears = 8

// oneOfEach returns, of many Clears, one for each selector: the last one, with the greatest version.
func oneOfEach(events []clearEvent) []clearEvent {
	if len(events) <= fewClears {
		return events
	}
	at := make(map[delta.Selector]int, len(events))
	var each []clearEvent
	for _, e := range events {
		i, ok := at[e.Selector]
		if !ok {
			at[e.Selector] = len(each)
			each = append(each, e)
			continue
		}
		if e.Version.Less(each[i].Version) {
			e.Version = each[i].Version
		}
		each[i] = e
	}
	return each
}

// duePrefixes are those of the Clears by which a shard wasn't cleared yet.
type duePrefixes struct {
	clears  map[string][]*clearEvent // by prefix; nil if there are none
	lengths map[int]bool
}

func prefixesOf(due []clearEvent) (p duePrefixes) {
	for i := range due {
		prefix, ok := due[i].Prefix()
		if !ok {
			continue
		}
		if p.clears == nil {
			p.clears, p.lengths = map[string][]*clearEvent{}, map[int]bool{}
		}
		p.clears[prefix], p.lengths[len(prefix)] = append(p.clears[prefix], &due[i]), true
	}
	return p
}

// of yields the Clears whose prefixes a key has.
func (p *duePrefixes) of(key string) iter.Seq[*clearEvent] {
	return func(yield func(*clearEvent) bool) {
		for n := range p.lengths {
			if n > len(key) {
				continue
			}
			for _, x := range p.clears[key[:n]] {
				if !yield(x) {
					return
				}
			}
		}
	}
}

// clear returns a Clear by which an entry goes, or nil.
func (p *duePrefixes) clear(e *Entry) *clearEvent {
	for x := range p.of(e.Key) {
		if x.clears(e) {
			return x
		}
	}
	return nil
}

// above reports whether one of the Clears isn't below a stamp of a key.
func (p *duePrefixes) above(key string, stamp uint64) bool {
	for x := range p.of(key) {
		if stamp <= x.Stamp {
			return true
		}
	}
	return false
}
