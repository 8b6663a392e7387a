package store

import (
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
)

const (
	// maxClears is how many Clears that don't select everything are remembered, and maxClearBytes of their
	// selectors.
	maxClears     = 4096
	maxClearBytes = 4 << 20
	clearOverhead = 40
)

// Clears are the Clears that were applied. Of those that select everything the greatest version is
// remembered: it stands for all. The others are numbered as they come, and remembered for two things: so
// that each shard can be cleared when it is looked at next, and so that what comes late, and is older, is
// refused. Before one is forgotten all shards were cleared by it, and all floors raised to its stamp.
type Clears struct {
	// What a Get reads. An entry whose stamp is above the bar is served, as far as Clears go.
	bar    atomic.Uint64
	plain  atomic.Uint64 // the bar of those that have no tags: a ClearTag isn't about them
	last   lastClear     // of everything
	number atomic.Uint64 // of the last one that doesn't select everything
	hidden atomic.Bool   // nothing but provisional values is served
	recent recentClears

	// A record that has tags and comes with a stamp up to this one isn't applied: a Clear may have been about
	// it that is forgotten. The floors don't stand for that where an older record of its key is held.
	tagFloor atomic.Uint64

	_ [64]byte // what follows changes more often, the lock above all

	// A shard's lock may be held when this one is taken. What a slice of events has never changes.
	mu        sync.RWMutex
	sorted    sortedClears
	most      int          // events
	events    []clearEvent // those that are remembered, as they came
	bytes     int          // of their selectors
	newest    delta.Version
	prefixed  uint64                   // the greatest stamp of those that select a prefix
	tags      map[string]delta.Version // the greatest version for each
	prefixes  map[string]delta.Version
	lengths   map[int]int // of prefixes: how many have it
	forgotten clearEvent  // what is forgotten has a number, a touch and a time up to these

	_ [64]byte // and what Gets read may follow
}

// A clearEvent is that a Clear was processed that doesn't select everything.
type clearEvent struct {
	Clear
	number uint64
}

// A Clear is one that is processed.
type Clear struct {
	delta.Selector
	delta.Version
	Dot   delta.Dot     // zero: it has none
	Touch uint64        // the count of the touch that it is
	Wall  int64         // when it was processed, in Unix milliseconds,
	At    time.Duration // and by the monotonic clock
}

// All returns the greatest Clear of everything.
func (c *Clears) All() delta.Version { return c.last.version() }

// Number is that of the last Clear that doesn't select everything.
func (c *Clears) Number() uint64 { return c.number.Load() }

// add remembers one. It returns false if that very Clear is known.
func (c *Clears) add(x Clear) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	latest, text := c.latestOf(x.Selector)
	held := latest[text]
	if held == x.Version {
		return false
	}
	if held.Less(x.Version) {
		if _, known := latest[text]; !known && isPrefix(x.Selector) {
			c.lengths[len(text)]++
		}
		latest[text] = x.Version
	}
	if n := len(c.events); n > 0 {
		x.At = max(x.At, c.events[n-1].At) // who reads the clock first may come second
	}
	e := clearEvent{x, c.number.Load() + 1}
	c.events = append(c.events, e)
	c.bytes += len(x.Selector)
	if c.newest.Less(x.Version) {
		c.newest = x.Version
	}
	if isPrefix(x.Selector) {
		c.prefixed = max(c.prefixed, x.Stamp)
	}
	c.raiseBar(&e)
	return true
}

// latestOf returns the greatest versions by what a selector selects by, and what this one does.
func (c *Clears) latestOf(s delta.Selector) (latest map[string]delta.Version, text string) {
	if c.tags == nil {
		c.tags, c.prefixes, c.lengths = map[string]delta.Version{}, map[string]delta.Version{}, map[int]int{}
	}
	if prefix, ok := s.Prefix(); ok {
		return c.prefixes, prefix
	}
	tag, _ := s.Tag()
	return c.tags, tag
}

func isPrefix(s delta.Selector) bool {
	_, ok := s.Prefix()
	return ok
}

// setAll remembers a Clear of everything.
func (c *Clears) setAll(v delta.Version) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last.set(v)
	c.raiseBar(nil)
}

// Hide has nothing but provisional values served, or ends that.
func (c *Clears) Hide(hide bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hidden.Store(hide)
	c.raiseBar(nil)
}

// Hidden reports whether that is so.
func (c *Clears) Hidden() bool { return c.hidden.Load() }

// raiseBar sets the bars, and what else Gets read of a Clear that was added; nil is none. What they stand
// for is there already.
func (c *Clears) raiseBar(added *clearEvent) {
	plain, all := max(c.last.stamp.Load(), c.prefixed), max(c.last.stamp.Load(), c.newest.Stamp)
	if c.hidden.Load() {
		plain, all = always, always
	}
	c.recent.set(added, plain)
	if added != nil {
		c.number.Add(1) // who finds a shard that isn't cleared by it finds it among the events
	}
	c.plain.Store(plain)
	c.bar.Store(all)
}

// TagFloor is the stamp up to which records that have tags aren't taken.
func (c *Clears) TagFloor() uint64 { return c.tagFloor.Load() }

// RaiseTagFloor raises it; it never falls.
func (c *Clears) RaiseTagFloor(stamp uint64) { delta.Raise(&c.tagFloor, stamp) }

// Covers reports whether a record that comes isn't above a Clear that selects it, or may have selected it.
func (c *Clears) Covers(rec *delta.Record) bool {
	return rec.Stamp <= c.last.stamp.Load() || c.coversSome(rec)
}

// coversSome is Covers for Clears that don't select everything.
func (c *Clears) coversSome(rec *delta.Record) bool {
	if rec.Tags != "" && rec.Stamp <= c.tagFloor.Load() {
		return true
	}
	if c.number.Load() == 0 || rec.Stamp > c.bar.Load() {
		return false
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	for v := range c.selectingLocked(rec) {
		if rec.Stamp <= v.Stamp {
			return true
		}
	}
	return false
}

// selectingLocked yields, of each selector that is remembered and selects a record, the greatest version.
func (c *Clears) selectingLocked(rec *delta.Record) iter.Seq[delta.Version] {
	return func(yield func(delta.Version) bool) {
		for n := range c.lengths {
			if n > len(rec.Key) {
				continue
			}
			if v, ok := c.prefixes[rec.Key[:n]]; ok && !yield(v) {
				return
			}
		}
		for tag := range rec.Tags.All() {
			if v, ok := c.tags[tag]; ok && !yield(v) {
				return
			}
		}
	}
}

// after returns the events with numbers above n. All of them are remembered.
func (c *Clears) after(n uint64) []clearEvent {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.events[c.index(n+1):]
}

// index returns where the event with a number is, or the first one after it.
func (c *Clears) index(number uint64) int {
	i, _ := slices.BinarySearchFunc(c.events, number, func(e clearEvent, n uint64) int {
		return int(int64(e.number) - int64(n))
	})
	return i
}

// Selected reports whether something that selects a record may have come after the one with a number, or
// since a time: then a fill that began there may have read what was before it.
func (c *Clears) Selected(rec *delta.Record, number uint64, since time.Duration) bool {
	if c.number.Load() == 0 {
		return false
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if f := &c.forgotten; f.number > number || f.number > 0 && f.At >= since {
		return true
	}
	for i := len(c.events) - 1; i >= 0; i-- {
		e := &c.events[i]
		if e.number <= number && e.At < since { // no earlier one came later
			break
		}
		if e.Selects(rec.Key, rec.Tags) {
			return true
		}
	}
	return false
}

// First returns the number of the first one after the one with a number that selects a record, or may
// have done so, as it is forgotten. 0 is none.
func (c *Clears) First(rec *delta.Record, after uint64) uint64 {
	if c.number.Load() == after {
		return 0
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.forgotten.number > after {
		return after + 1
	}
	for i := c.index(after + 1); i < len(c.events); i++ {
		if e := &c.events[i]; e.Selects(rec.Key, rec.Tags) {
			return e.number
		}
	}
	return 0
}

// Known reports whether everything that selects a record was known to a fill: its touch has a count below
// an echo, or its dot is known.
func (c *Clears) Known(rec *delta.Record, echo uint64, knows func(delta.Dot) bool) bool {
	if c.number.Load() == 0 {
		return true
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.forgotten.Touch >= echo && c.forgotten.number > 0 {
		return false
	}
	for i := len(c.events) - 1; i >= 0 && c.events[i].Touch >= echo; i-- {
		e := &c.events[i]
		if e.Selects(rec.Key, rec.Tags) && (e.Dot == (delta.Dot{}) || !knows(e.Dot)) {
			return false
		}
	}
	return true
}

// Dots returns the dots of the last ones that select a record.
func (c *Clears) Dots(rec *delta.Record) (dots []delta.Dot) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	// As a rule nothing selects it, and to look at thousands takes long. One isn't known here that was
	// older than a forgotten one of the same selector when it came.
	none := true
	for range c.selectingLocked(rec) {
		none = false
	}
	if none {
		return nil
	}
	for i := len(c.events) - 1; i >= 0 && len(dots) < delta.MaxDots; i-- {
		if e := &c.events[i]; e.Dot != (delta.Dot{}) && e.Selects(rec.Key, rec.Tags) {
			dots = append(dots, e.Dot)
		}
	}
	return dots
}

// Records returns what is remembered, as records: of each selector the greatest version.
func (c *Clears) Records() []delta.Record {
	c.mu.RLock()
	defer c.mu.RUnlock()
	recs := make([]delta.Record, 0, len(c.tags)+len(c.prefixes))
	for _, e := range c.events {
		if c.isLatest(&e) {
			recs = append(recs, delta.Record{Key: string(e.Selector), Version: e.Version, Kind: delta.KindClear})
		}
	}
	return recs
}

// isLatest reports whether no greater version of the same selector is known.
func (c *Clears) isLatest(e *clearEvent) bool {
	latest, text := c.latestOf(e.Selector)
	return latest[text] == e.Version
}

// Len is how many are remembered.
func (c *Clears) Len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.events)
}

// size is about what they take on the wire, in bytes.
func (c *Clears) size() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.bytes + len(c.events)*clearOverhead
}

// Newest returns the greatest version of any Clear.
func (c *Clears) Newest() delta.Version {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if all := c.last.version(); c.newest.Less(all) {
		return all
	}
	return c.newest
}

// full reports whether there is no room for one more.
func (c *Clears) full(s delta.Selector) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.events) > 0 && (len(c.events) >= c.most || c.bytes+len(s) > maxClearBytes)
}

// forget forgets old ones, of those with a number up to n, by which all shards were cleared: first those
// that a later one of the same selector stands for, and then, if that isn't a quarter of all, the oldest.
// Before, all floors are raised to the greatest stamp of these. It returns how many the oldest are.
func (c *Clears) forget(n uint64, raise func(stamp uint64)) (old int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	done := c.index(n + 1)
	var kept []clearEvent
	for i := range c.events {
		if e := &c.events[i]; i < done && !c.isLatest(e) {
			c.drop(e)
		} else {
			kept = append(kept, *e)
		}
	}
	done -= len(c.events) - len(kept)
	c.events = kept
	c.sorted.forget()
	bytes, stamp := 0, uint64(0)
	for old < done && (len(c.events)-old > c.most*3/4 || c.bytes-bytes > maxClearBytes*3/4) {
		stamp = max(stamp, c.events[old].Stamp)
		bytes += len(c.events[old].Selector)
		old++
	}
	if old == 0 {
		return 0
	}
	raise(stamp)
	for i := range c.events[:old] {
		e := &c.events[i]
		latest, text := c.latestOf(e.Selector)
		delete(latest, text)
		if !isPrefix(e.Selector) {
			c.RaiseTagFloor(e.Stamp)
		} else {
			if c.lengths[len(text)]--; c.lengths[len(text)] == 0 {
				delete(c.lengths, len(text))
			}
		}
		c.drop(e)
	}
	c.events = slices.Clone(c.events[old:])
	return old
}

// drop notes that one is forgotten.
func (c *Clears) drop(e *clearEvent) {
	c.bytes -= len(e.Selector)
	f := &c.forgotten
	f.number, f.Touch, f.At = max(f.number, e.number), max(f.Touch, e.Touch), max(f.At, e.At)
}

// greatest returns the Clear with the greatest version of those that are remembered and wanted.
func (c *Clears) greatest(wanted func(delta.Selector) bool) (x Clear) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for i := range c.events {
		if e := &c.events[i]; !e.Version.Less(x.Version) && wanted(e.Selector) {
			x = e.Clear
		}
	}
	return x
}
