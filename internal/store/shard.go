package store

import (
	"sync"

	"github.com/iwanbk/bcache/internal/delta"
)

// A shard holds the keys of one part of the hash space.
type shard struct {
	*shared             // with all others
	number    uint64    // its place in the table
	clearance clearance // it is read without the lock
	entries   entries   // their index likewise

	mu sync.Mutex // guards all else

	tombs     tombs
	fills     openFills
	decisions decisions

	// Whether something is due is known without looking further.
	cleared uint64 // no entry or tombstone has a stamp up to this one
	epoch   uint64 // no provisional value is of one before this

	replaced uint64
}

func newShard(of *shared, number uint64) *shard {
	sh := &shard{shared: of, number: number, cleared: of.Clears.All().Stamp, epoch: of.Epochs.Now()}
	sh.clearance.by.Store(of.Clears.Number())
	sh.entries.tally, sh.entries.ends, sh.tombs.sums = &of.tally, &of.ends, &of.tombSums
	sh.entries.tagged.hash = of.hash
	sh.entries.order = of.policy.newOrder(&sh.entries.index)
	return sh
}

// heldLocked returns the version that a key is held at, as an entry or as a
// tombstone.
func (sh *shard) heldLocked(hash uint64, key string) (e *Entry, v delta.Version, ok bool) {
	if e := sh.entries.find(hash, key); e != nil {
		return e, e.Version, true
	}
	t, ok := sh.tombs.find(key)
	return nil, t.Version, ok
}

// ownKeyLocked returns the copy of a key that the store has, as the log may have it too, or this one.
func (sh *shard) ownKeyLocked(hash uint64, key string) (own string, held bool) {
	if e := sh.entries.find(hash, key); e != nil {
		return e.Key, true
	}
	if t, ok := sh.tombs.find(key); ok {
		return t.key, true
	}
	return key, false
}

// liveLocked reports whether a key has a record, be it a value or a negative, that hasn't expired.
func (sh *shard) liveLocked(hash uint64, key string, wall int64) bool {
	e := sh.entries.find(hash, key)
	return e != nil && sh.clearance.showsLocked(&sh.Clears, e) && e.aliveAt(wall)
}

// judgeLocked says whether a record is to be held, and if so returns the entry that its key
// has, or nil. If its version is only to be remembered, what is older goes, and that is all there
// is to do.
func (sh *shard) judgeLocked(now delta.Instant, rec *delta.Record, at *Place) (*Entry, Outcome) {
	cleared := sh.Clears.All().Stamp
	if rec.Stamp <= cleared {
		return nil, outcomeCleared
	}
	e, held, ok := sh.heldLocked(at.hash, rec.Key)
	if ok && held.Stamp <= cleared {
		sh.removeLocked(at.hash, rec.Key) // not swept yet
		e, ok = nil, false
	}
	if e != nil && sh.clearance.by.Load() != sh.Clears.Number() {
		sh.clearance.lookLocked(sh)
		if sh.entries.find(at.hash, rec.Key) == nil {
			e, ok = nil, false
		} else if by := sh.clearance.clearsLocked(&sh.Clears, e); by != nil {
			sh.clearance.removeLocked(sh, e, by)
			e, ok = nil, false
		}
	}
	if ok && !held.Less(rec.Version) {
		if held == rec.Version && e != nil {
			e.mark = e.mark.again(rec.Mark)
		}
		return nil, outcomeKept
	}
	if !ok && rec.Stamp <= sh.floors.of(at.Bucket) {
		sh.counters.floorRefusals.Add(1)
		return nil, outcomeRefused
	}

	var o Outcome
	switch {
	case sh.Clears.coversSome(rec):
		o = outcomeCleared
	case rec.Kind >= delta.KindForget:
		o = outcomeForgot
	case rec.Ended(now.Wall):
		o = outcomeExpired
	case sh.limits.tooBig(rec):
		o = OutcomeTooBig
	default:
		return e, outcomeApplied
	}
	sh.forgetLocked(rec.Key, rec.Version) // what is held is smaller
	return nil, o
}

// fitsLocked reports whether there is room for what rec becomes: one entry or tombstone
// more, or another length of one that is there; e is the key's entry, if it has one.
func (sh *shard) fitsLocked(rec *delta.Record, e *Entry) bool {
	most := &sh.limits
	if rec.Kind == delta.KindTombstone {
		_, held := sh.tombs.find(rec.Key)
		return held || sh.tombSums.count.Load() < int64(most.maxTombstones) &&
			sh.tombSums.bytes.Load()+int64(len(rec.Key)) <= maxTombstoneBytes
	}
	n, cost := int64(1), CostOf(rec)
	if e != nil {
		n, cost = 0, cost-e.cost()
	}
	return sh.tally.entries.Load()+n <= int64(most.maxKeys) &&
		(most.maxBytes <= 0 || cost <= 0 || sh.tally.bytes.Load()+cost <= most.maxBytes)
}

// putLocked holds a value or a negative in place of old, the key's entry, or of a tombstone, if
// there is one. There is room for it.
func (sh *shard) putLocked(at Place, rec *delta.Record, old *Entry, local bool) {
	e := at.Fresh
	if e == nil {
		e = newEntry(rec, at.Bucket)
	}
	e.Version, e.mark = rec.Version, mark(rec.Mark)
	if old != nil {
		sh.entries.replace(at.hash, old, e)
	} else {
		if !e.isProvisional() {
			e.Key = sh.takeKeyLocked(at.hash, rec.Key)
		}
		sh.entries.insert(at.hash, e, local)
	}
	rec.Key = e.Key
	if !e.isProvisional() {
		sh.Watch.tellHeld(rec)
	}
}

// buryLocked holds a tombstone instead of whatever is held. There is room for it.
func (sh *shard) buryLocked(now delta.Instant, hash uint64, rec *delta.Record) {
	rec.Key = sh.takeKeyLocked(hash, rec.Key)
	sh.tombs.add(tombstone{key: rec.Key, Version: rec.Version, born: now.Mono})
	sh.Watch.tellHeld(rec)
}

// takeKeyLocked removes what is held of a key and returns ownKeyLocked.
func (sh *shard) takeKeyLocked(hash uint64, key string) string {
	own, held := sh.ownKeyLocked(hash, key)
	if held {
		sh.removeLocked(hash, own)
	}
	return own
}

// removeLocked drops what is held of a key. That something else stands for it is
// the caller's business.
func (sh *shard) removeLocked(hash uint64, key string) {
	if e := sh.entries.find(hash, key); e != nil {
		sh.entries.remove(tagOf(hash), e)
	} else {
		sh.tombs.remove(key)
	}
}

// forgetLocked drops what is held of a key: from now on the floor stands for it.
func (sh *shard) forgetLocked(key string, v delta.Version) {
	sh.floors.raise(delta.BucketOf(key), v.Stamp)
	hash := sh.hash.Of(key)
	if !sh.Watch.none() {
		sh.Watch.tellGone(sh.entries.find(hash, key), ChangeEvict)
	}
	sh.removeLocked(hash, key)
}

// giveUpLocked forgets what is held of a key, as it isn't known whether that is true.
func (sh *shard) giveUpLocked(wall int64, key string, v delta.Version) {
	sh.forgetLocked(key, v)
	sh.decisions.note(tagOf(sh.hash.Of(key)), DecisionForgotten, v.Stamp, wall)
}

// noteLocked notes what becomes of a record that isn't put. That what is held came once more is no news.
func (sh *shard) noteLocked(wall int64, hash uint64, rec *delta.Record, o Outcome) {
	if o == outcomeKept {
		if _, held, _ := sh.heldLocked(hash, rec.Key); held == rec.Version {
			return
		}
	}
	sh.decisions.note(tagOf(hash), decisionOf[o], rec.Stamp, wall)
}

// endLocked removes an entry whose time is over, or that makes room for others, and tells of it. What
// was a record the floor stands for from then on; a provisional value leaves nothing.
func (sh *shard) endLocked(t tag, e *Entry, why ChangeKind) {
	if !e.isProvisional() {
		sh.floors.raise(e.bucket(), e.Stamp)
	}
	sh.Watch.tellGone(e, why)
	sh.entries.remove(t, e)
}

// evictLocked ends an entry that makes room for others.
func (sh *shard) evictLocked(wall int64, t tag, e *Entry) {
	sh.decisions.noteGone(t, e, DecisionEvicted, wall)
	sh.endLocked(t, e, ChangeEvict)
	sh.counters.evictions.Add(1)
}

// expireLocked ends an entry whose time is over.
func (sh *shard) expireLocked(wall int64, t tag, e *Entry) {
	sh.decisions.noteGone(t, e, DecisionExpired, wall)
	sh.endLocked(t, e, ChangeExpire)
	sh.counters.expirations.Add(1)
}

// touchLocked notes that a write of a key is being processed, whatever comes of it: a provisional value
// goes, and what is being filled may be older. It returns the value that has gone, or nil.
func (sh *shard) touchLocked(wall int64, hash uint64, key string) *Entry {
	sh.fills.touch(hash)
	if sh.tally.provisional.Load() == 0 {
		return nil
	}
	p := sh.entries.find(twin(hash), key)
	if p == nil {
		return nil
	}
	sh.decisions.noteGone(tagOf(twin(hash)), p, DecisionOverwritten, wall)
	sh.entries.remove(tagOf(twin(hash)), p)
	sh.counters.provisionalsDropped.Add(1)
	return p
}

// endedLocked lists the provisional values that are none any more: another epoch has begun.
func (sh *shard) endedLocked() (ended []*Entry) {
	if sh.entries.provisional == 0 { // as a rule
		return nil
	}
	for e := range sh.entries.index.all {
		if e.isProvisional() && !sh.Epochs.stands(e) {
			ended = append(ended, e)
		}
	}
	return ended
}

// dropEndedLocked drops one of them. After a Clear that was told there are no events for each.
func (sh *shard) dropEndedLocked(e *Entry) {
	if !sh.Epochs.told(e) {
		sh.Watch.tellGone(e, ChangeEvict)
	}
	sh.entries.remove(sh.tagOf(e), e)
	sh.counters.provisionalsDropped.Add(1)
}

// trimLocked gives back what is empty.
func (sh *shard) trimLocked() {
	sh.entries.trim()
	sh.tombs.trim()
}

// clear drops everything. That nothing is counted any more is the caller's business.
func (sh *shard) clear() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.entries.clear()
	sh.tombs.clear()
	sh.decisions = decisions{}
}
