package store

import (
	"github.com/iwanbk/bcache/internal/delta"
)

// A FillKeeper keeps what fills bring although the fence refuses it: provisional values. So it has to
// know which fills are under way: a write of the key that comes meanwhile is noted with the fill.
// Begin, Keep and Refuse are serialised as Apply is.
type FillKeeper struct {
	*shared
	table   *table
	evictor *evictor
}

// Open returns a fill of a key, to be given to Begin.
func (k *FillKeeper) Open(key string, now delta.Instant) OpenFill {
	return OpenFill{Key: key, hash: k.hash.Of(key), Begin: now.Mono}
}

// Begin has touches noted that come while a key is filled. It must be ended, by End.
func (k *FillKeeper) Begin(f *OpenFill) {
	sh := k.table.need(f.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.fills.add(f)
}

func (k *FillKeeper) End(f *OpenFill) {
	sh := k.table.of(f.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.fills.remove(f)
}

// GivenUp reports whether a write of the key couldn't be applied since the fill began: then the fence
// knows nothing of it.
func (k *FillKeeper) GivenUp(f *OpenFill) bool {
	sh := k.table.of(f.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return f.givenUp
}

// EvictFor is that of the store for what Keep would hold.
func (k *FillKeeper) EvictFor(now delta.Instant, rec *delta.Record, n int) bool {
	return k.evictor.evictFor(now, rec, twin(k.hash.Of(rec.Key)), n)
}

// Keep holds a value, or a negative, provisionally. It stands in the epoch in which it was found to be
// current: another one may begin meanwhile. f is the fill that brought it, nil if it was another node's.
// It reports whether the key has a provisional value from now on, and whether it is this one.
//
// It isn't kept if the key has been written since the fill began, or has a live record, unless it is to
// stand beside that. A record that isn't live makes room for it: that was written before it was read, and
// mustn't be back, stale or not, when it is gone. Of two provisional values the first one stays, unless the
// second one was read later for certain: by a fill that began here when the first one was there.
func (k *FillKeeper) Keep(
	now delta.Instant, epoch uint64, rec *delta.Record, f *OpenFill, beside bool,
) (held, isNew bool) {
	if k.closed.Load() || rec.Expired(now.Wall) || k.limits.tooBig(rec) {
		return false, false
	}
	hash := k.hash.Of(rec.Key)
	sh := k.table.need(hash)
	at := Place{hash: twin(hash), Bucket: delta.BucketOf(rec.Key)}
	k.ends.begin(now.Wall)
	k.room.claim()
	defer k.room.release()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for nth := 0; ; nth++ {
		old, wanted := k.wantsLocked(sh, now, hash, rec, f, beside)
		if !wanted {
			return old != nil, false
		}
		if old != nil && f != nil {
			sh.entries.order.use(tagOf(at.hash), old) // it mustn't be the victim itself
		}
		if sh.fitsLocked(rec, old) {
			if !beside {
				k.outdateLocked(sh, now.Wall, hash, rec.Key)
			}
			k.putLocked(sh, now, at, epoch, rec, old, f != nil, beside)
			return true, true
		}
		sh.mu.Unlock() // see ApplyAt
		k.policy.evict(now, at.hash, nth)
		sh.mu.Lock()
	}
}

// Wants reports whether Keep would hold a value now.
func (k *FillKeeper) Wants(now delta.Instant, rec *delta.Record, f *OpenFill, beside bool) bool {
	hash := k.hash.Of(rec.Key)
	sh := k.table.of(hash)
	if sh == nil {
		return true
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	_, wanted := k.wantsLocked(sh, now, hash, rec, f, beside)
	return wanted
}

// wantsLocked reports whether a value is to be kept, and in place of which one, if there is one. If it
// isn't, old is the one that stays, if there is one.
func (k *FillKeeper) wantsLocked(
	sh *shard, now delta.Instant, hash uint64, rec *delta.Record, f *OpenFill, beside bool,
) (old *Entry, wanted bool) {
	if f != nil && f.touched || !beside && sh.liveLocked(hash, rec.Key, now.Wall) {
		return nil, false
	}
	old = sh.entries.find(twin(hash), rec.Key)
	later := old != nil && f != nil && f.Begin > old.ofProvisional().kept
	return old, old == nil || later || !k.Epochs.stands(old) || !old.aliveAt(now.Wall) ||
		sh.clearance.hidesLocked(&sh.Clears, old)
}

// putLocked holds it in place of old, if there is one. There is room for it.
func (k *FillKeeper) putLocked(
	sh *shard, now delta.Instant, at Place, epoch uint64, rec *delta.Record, old *Entry,
	local, beside bool,
) {
	kept := *rec
	kept.Version, kept.Mark = delta.Version{Stamp: epoch, Origin: rec.Origin}, 0
	kept.Key, _ = sh.ownKeyLocked(twin(at.hash), rec.Key)
	at.Fresh = newProvisional(&kept, at.Bucket, k.Clears.Number(), now.Mono, beside)
	sh.putLocked(at, &kept, old, local)
	if !beside {
		k.Watch.tellProvisional(rec)
	}
}

// Refuse notes of a key that what a fill brought isn't kept. The fill had this stamp; 0 if it was
// another node's.
func (k *FillKeeper) Refuse(now delta.Instant, key string, kind DecisionKind, stamp uint64) {
	if k.closed.Load() {
		return
	}
	hash := k.hash.Of(key)
	sh := k.table.need(hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.decisions.note(tagOf(hash), kind, stamp, now.Wall)
}

// outdateLocked drops a record that isn't live, as what the database has now is known. It reports whether
// there was one.
func (k *FillKeeper) outdateLocked(sh *shard, wall int64, hash uint64, key string) bool {
	e := sh.entries.find(hash, key)
	if e == nil || sh.liveLocked(hash, key, wall) || sh.clearance.hidesLocked(&sh.Clears, e) {
		return false // or it goes with that Clear
	}
	why := DecisionExpired
	if e.aliveAt(wall) {
		why = DecisionForgotten
	}
	sh.decisions.noteGone(tagOf(hash), e, why, wall)
	sh.endLocked(tagOf(hash), e, ChangeEvict)
	return true
}

// Unkeep drops what is held of a key of which a fill says that it has no value any more: the provisional
// value that was there when the fill began, and, unless what the fill brings is to stand beside that, a
// record whose deadline has come. It reports whether it has dropped something.
func (k *FillKeeper) Unkeep(now delta.Instant, f *OpenFill, beside bool) (dropped bool) {
	sh := k.table.of(f.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if f.touched {
		return false
	}
	if p := sh.twinOf(f.hash, f.Key); p != nil && f.Begin > p.ofProvisional().kept {
		sh.endLocked(tagOf(twin(f.hash)), p, ChangeEvict)
		k.counters.provisionalsDropped.Add(1)
		dropped = true
	}
	return !beside && k.outdateLocked(sh, now.Wall, f.hash, f.Key) || dropped
}

// Len is the number of fills that have begun and not ended.
func (k *FillKeeper) Len() (n int) {
	for sh := range k.table.all {
		sh.mu.Lock()
		n += len(sh.fills)
		sh.mu.Unlock()
	}
	return n
}

// Peek returns the provisional value of a key, without that being a use of it.
func (k *FillKeeper) Peek(key string) (delta.Record, bool) {
	hash := k.hash.Of(key)
	sh := k.table.of(hash)
	if sh == nil {
		return delta.Record{}, false
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if p := sh.clearance.twinLocked(sh, hash, key); p != nil {
		return p.served(), true
	}
	return delta.Record{}, false
}
