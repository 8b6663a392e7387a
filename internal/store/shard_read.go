package store

import (
	"github.com/iwanbk/bcache/internal/delta"
)

// How a shard is read under its lock. A reader comes here if a look without the lock didn't answer its
// question, see store_read.go. What is read is marked as used, and what is found expired is removed.

// foremost returns what counts of a key, without the lock: its provisional value if that is alone, as
// then there is no live record; otherwise its record. nil tells nothing. e is the one that either has
// found.
func (sh *shard) foremost(hash uint64, key string, e *Entry) (_ *Entry, alone bool) {
	switch {
	case e == nil || !e.isProvisional():
		return e, false
	case sh.Epochs.stands(e) && !e.ofProvisional().beside:
		return e, true
	}
	return sh.entries.recordOf(hash, key), false
}

// twinOf returns the provisional value of a key, or nil. Without the lock nil tells nothing.
func (sh *shard) twinOf(hash uint64, key string) *Entry {
	if sh.tally.provisional.Load() == 0 {
		return nil
	}
	if p := sh.entries.find(twin(hash), key); p != nil && sh.Epochs.stands(p) {
		return p
	}
	return nil
}

// get is store.get under the lock.
func (sh *shard) get(hash uint64, key string, wall func() int64) (string, bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.clearance.lookLocked(sh)
	if e := sh.entries.find(hash, key); e != nil && sh.clearance.showsLocked(&sh.Clears, e) {
		if sh.readLocked(hash, e, wall) {
			return e.Val, true
		}
	}
	if p := sh.clearance.twinLocked(sh, hash, key); p != nil {
		if sh.readLocked(twin(hash), p, wall) {
			return p.Val, true
		}
	}
	sh.counters.misses.Add1()
	return "", false
}

// readLocked uses an entry, and reports whether it is a live value.
func (sh *shard) readLocked(hash uint64, e *Entry, wall func() int64) bool {
	sh.entries.order.use(tagOf(hash), e)
	switch {
	case e.kind != delta.KindValue:
		return false
	case !sh.before(e.deadline, wall):
		if now := wall(); e.endedAt(now) { // now, so that it isn't back when the clock is set back
			sh.expireLocked(now, tagOf(hash), e)
		}
		return false
	}
	sh.counters.hits.Add1()
	sh.sample(e)
	return true
}

// fresh is store.fresh under the lock.
func (sh *shard) fresh(hash uint64, key string, wall func() int64) *Entry {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.clearance.lookLocked(sh)
	e := sh.entries.find(hash, key)
	if e == nil || !sh.clearance.showsLocked(&sh.Clears, e) {
		if e, hash = sh.clearance.twinLocked(sh, hash, key), twin(hash); e == nil {
			return nil
		}
	}
	if e.kind != delta.KindValue || !sh.before(e.due(), wall) {
		return nil
	}
	sh.entries.order.use(tagOf(hash), e)
	sh.sample(e)
	return e
}

// entry is store.entry under the lock.
func (sh *shard) entry(hash uint64, key string, wall int64) (delta.Record, bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.clearance.lookLocked(sh)
	e := sh.entries.find(hash, key)
	if e != nil && !sh.clearance.showsLocked(&sh.Clears, e) {
		e = nil
	}
	if e == nil || !e.aliveAt(wall) {
		if p := sh.clearance.twinLocked(sh, hash, key); p != nil && sh.servesLocked(p, wall) {
			return p.served(), true
		}
	}
	if e != nil && sh.servesLocked(e, wall) {
		return e.served(), true
	}
	return delta.Record{}, false
}

// beside is store.beside under the lock.
func (sh *shard) beside(hash uint64, key string, wall int64) (delta.Record, bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if p := sh.clearance.twinLocked(sh, hash, key); p != nil && sh.servesLocked(p, wall) {
		return p.served(), true
	}
	return delta.Record{}, false
}

// servesLocked uses an entry, unless it is over: then it goes.
func (sh *shard) servesLocked(e *Entry, wall int64) bool {
	t := sh.tagOf(e)
	if e.endedAt(wall) {
		sh.expireLocked(wall, t, e)
		return false
	}
	sh.entries.order.use(t, e)
	return true
}

// peek is Store.Peek. The entry isn't marked as used.
func (sh *shard) peek(hash uint64, key string) (delta.Record, bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	var rec delta.Record
	if e := sh.entries.find(hash, key); e != nil {
		if by := sh.clearance.clearsLocked(&sh.Clears, e); by != nil {
			sh.clearance.removeLocked(sh, e, by) // now: who asks further sees the floor
			return delta.Record{}, false
		}
		rec = e.record()
	} else if t, ok := sh.tombs.find(key); ok {
		rec = delta.Record{Key: t.key, Version: t.Version, Kind: delta.KindTombstone}
	} else {
		return delta.Record{}, false
	}
	if sh.Clears.last.covers(rec.Stamp) {
		return delta.Record{}, false
	}
	return rec, true
}

// live is store.live for this shard.
func (sh *shard) live(wall int64) (live []*Entry) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for sh.clearance.catchUpLocked(sh, sweepBatch) == sweepBatch { // or each entry is compared with each Clear
		sh.mu.Unlock()
		sh.mu.Lock()
	}
	shown := func(e *Entry) bool {
		return e.kind == delta.KindValue && e.aliveAt(wall) && sh.clearance.showsLocked(&sh.Clears, e)
	}
	is := func(e *Entry) bool { return e != nil && shown(e) }
	for e := range sh.entries.index.all {
		switch {
		case !e.isProvisional():
			if is(e) {
				live = append(live, e)
			}
		case sh.Epochs.stands(e) && shown(e):
			if !is(sh.entries.find(sh.hash.Of(e.Key), e.Key)) {
				live = append(live, e)
			}
		}
	}
	return live
}
