package bcache

import (
	"time"
	"unsafe"
)

// Provisional values: what a fill brought that the fence refused, although nothing shows that it is
// stale. It is served like any value until any write of its key is processed. It has no version, so it
// is no part of the replication: nothing is compared with it, and it goes without a trace.
//
// It is an entry like others, so that capacity, recency, deadlines and sweeps treat it like others. It
// lies in the shard of its key, but under the twin of the key's hash: beside it the key has whatever
// record it has, mostly a tombstone.

// twin is the hash under which the provisional value of a key lies. It leaves the bits alone that
// choose the shard.
func twin(hash uint64) uint64 { return hash ^ 0x9e3779b9<<32 }

// hashOf returns the hash under which an entry lies.
func (s *store) hashOf(e *entry) uint64 {
	hash := s.hash.of(e.key)
	if e.isProvisional() {
		hash = twin(hash)
	}
	return hash
}

// stands reports whether a provisional value is one still: a Clear, or a context that was adopted,
// ends them all.
func (s *store) stands(p *entry) bool { return p.epoch() == s.epoch.Load() }

// A provisionalEntry is an entry that is a provisional value, in one piece with what else is known of
// it.
type provisionalEntry struct {
	softEntry
	kept   time.Duration // when, by the monotonic clock
	beside bool          // it stands beside a live record; nobody is told of it
}

func (e *entry) ofProvisional() *provisionalEntry {
	return (*provisionalEntry)(unsafe.Pointer(e)) // see putProvisionalLocked
}

// epoch is that in which a provisional value was kept: it has no version, but for the origin that filled
// it.
func (e *entry) epoch() uint64 { return e.version.stamp }

// twinOf returns the provisional value of a key, or nil. Without the lock nil tells nothing.
func (s *store) twinOf(sh *shard, hash uint64, key string) *entry {
	if s.provisional.Load() == 0 {
		return nil
	}
	if p := sh.find(twin(hash), key); p != nil && s.stands(p) {
		return p
	}
	return nil
}

// touchLocked notes that a write of a key is being processed, whatever comes of it: a provisional value
// goes, and what is being filled may be older. It returns the value that has gone, or nil.
func (s *store) touchLocked(sh *shard, hash uint64, key string) *entry {
	for f := sh.fills[hash]; f != nil; f = f.next {
		f.touched = true
	}
	if s.provisional.Load() == 0 {
		return nil
	}
	p := sh.find(twin(hash), key)
	if p == nil {
		return nil
	}
	s.unlinkLocked(sh, p)
	s.provisionalsDropped.Add(1)
	return p
}

// touchAll does so for all keys: it begins another epoch. What is left of the one before is swept; at
// once if somebody listens.
func (s *store) touchAll() {
	s.epoch.Add(1)
	if s.watch.none() || s.provisional.Load() == 0 {
		return
	}
	for i := range s.table {
		if sh := s.table[i].Load(); sh != nil {
			sh.mu.Lock()
			for _, e := range s.staleLocked(sh) {
				s.dropStaleLocked(sh, e)
			}
			sh.mu.Unlock()
		}
	}
}

// beginFill has touches noted that come while a key is filled. It is serialised as apply is.
func (s *store) beginFill(f *openFill) {
	sh := s.makeShard(f.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.fills == nil {
		sh.fills = map[uint64]*openFill{}
	}
	f.next = sh.fills[f.hash]
	sh.fills[f.hash] = f
}

// givenUp reports whether a write of the key couldn't be applied since the fill began: then the fence
// knows nothing of it.
func (s *store) givenUp(f *openFill) bool {
	sh := s.shardOf(f.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return f.givenUp
}

// endFill ends that.
func (s *store) endFill(f *openFill) {
	sh := s.shardOf(f.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	first := sh.fills[f.hash]
	if first == f {
		if first = f.next; first != nil {
			sh.fills[f.hash] = first
		} else if delete(sh.fills, f.hash); len(sh.fills) == 0 {
			sh.fills = nil
		}
		return
	}
	for ; first != nil; first = first.next {
		if first.next == f {
			first.next = f.next
			return
		}
	}
}

// keep holds a value, or a negative, provisionally. f is the fill that brought it, nil if it was another
// node's. It is serialised as apply is. It reports whether the key has a provisional value from now on,
// and whether it is this one.
//
// It isn't kept if the key has been written since the fill began, or has a live record, unless it is to
// stand beside that. Of two provisional values the first one stays, unless the second one was read later
// for certain: by a fill that began here when the first one was there.
func (s *store) keep(now instant, rec *record, f *openFill, beside bool) (held, isNew bool) {
	if s.closed.Load() || rec.expired(now.wall) || s.tooBig(rec) {
		return false, false
	}
	hash := s.hash.of(rec.key)
	sh := s.makeShard(hash)
	at := place{hash: twin(hash), bucket: bucketOf(rec.key)}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for {
		old, wanted := s.wantsLocked(sh, now, hash, rec, f, beside)
		if !wanted {
			return old != nil, false
		}
		if old != nil && f != nil {
			s.useLocked(sh, at.hash, old) // it mustn't be the victim itself
		}
		if s.fitsLocked(sh, rec, old) {
			s.putProvisionalLocked(sh, now, at, rec, old, f != nil, beside)
			return true, true
		}
		sh.mu.Unlock() // see applyAt
		s.evict(now)
		sh.mu.Lock()
	}
}

// wants reports whether keep would hold a value now.
func (s *store) wants(now instant, rec *record, f *openFill, beside bool) bool {
	hash := s.hash.of(rec.key)
	sh := s.shardOf(hash)
	if sh == nil {
		return true
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	_, wanted := s.wantsLocked(sh, now, hash, rec, f, beside)
	return wanted
}

// wantsLocked reports whether a value is to be kept, and in place of which one, if there is one. If it
// isn't, old is the one that stays, if there is one.
func (s *store) wantsLocked(
	sh *shard, now instant, hash uint64, rec *record, f *openFill, beside bool,
) (old *entry, wanted bool) {
	if f != nil && f.touched || !beside && s.liveLocked(sh, now, hash, rec.key) {
		return nil, false
	}
	old = sh.find(twin(hash), rec.key)
	later := old != nil && f != nil && f.begin > old.ofProvisional().kept
	return old, old == nil || later || !s.stands(old) || !old.aliveAt(now.wall)
}

// unkeep drops the provisional value of a key of which a fill that began when it was there says that
// it has none any more. It reports whether there is none now.
func (s *store) unkeep(f *openFill) bool {
	sh := s.shardOf(f.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	p := s.twinOf(sh, f.hash, f.key)
	if p == nil || f.touched || f.begin <= p.ofProvisional().kept {
		return false
	}
	s.endLocked(sh, p, changeEvict)
	s.provisionalsDropped.Add(1)
	return true
}

// putProvisionalLocked holds it in place of old, if there is one. There is room for it.
func (s *store) putProvisionalLocked(
	sh *shard, now instant, at place, rec *record, old *entry, local, beside bool,
) {
	kept := *rec
	kept.version, kept.mark = version{s.epoch.Load(), rec.origin}, 0
	p := &provisionalEntry{kept: now.mono, beside: beside}
	p.fill(&kept, at.bucket)
	p.softTimes = softTimes{rec.staleUntil, rec.refreshFrom}
	p.traits |= softTrait | provisionalTrait
	p.key = s.heldKeyLocked(sh, rec.key)
	at.fresh = &p.entry
	s.putLocked(sh, at, &kept, old, local)
	if !beside {
		s.watch.tellProvisional(rec)
	}
}

// heldKeyLocked returns the copy of a key that the store has, or this one.
func (s *store) heldKeyLocked(sh *shard, key string) string {
	if e := sh.find(s.hash.of(key), key); e != nil {
		return e.key
	}
	if t, ok := sh.tombs.peek(key); ok {
		return t.key
	}
	return key
}

// liveLocked reports whether a key has a record, be it a value or a negative, that hasn't expired.
func (s *store) liveLocked(sh *shard, now instant, hash uint64, key string) bool {
	e := sh.find(hash, key)
	return e != nil && e.stamp > s.clearStamp.Load() && e.aliveAt(now.wall)
}

// aliveAt reports whether an entry's deadline hasn't come.
func (e *entry) aliveAt(wall int64) bool { return e.deadline == 0 || wall < e.deadline }

// endLocked removes an entry whose time is over, or that makes room for others, and tells of it. What
// was a record the floor stands for from then on; a provisional value leaves nothing.
func (s *store) endLocked(sh *shard, e *entry, why changeKind) {
	if !e.isProvisional() {
		s.raiseFloor(e.bucket(), e.stamp)
	}
	s.watch.tellGone(e, why)
	s.unlinkLocked(sh, e)
}

// dropStaleLocked drops a provisional value that is none any more. After a Clear that was told there are
// no events for each.
func (s *store) dropStaleLocked(sh *shard, e *entry) {
	if e.epoch() >= s.clearedEpoch.Load() {
		s.watch.tellGone(e, changeEvict)
	}
	s.unlinkLocked(sh, e)
	s.provisionalsDropped.Add(1)
}

// staleLocked lists the provisional values of a shard that are none any more.
func (s *store) staleLocked(sh *shard) (stale []*entry) {
	if sh.provisional == 0 { // as a rule
		return nil
	}
	for e := range sh.index.all {
		if e.isProvisional() && !s.stands(e) {
			stale = append(stale, e)
		}
	}
	return stale
}
