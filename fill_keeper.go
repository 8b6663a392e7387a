package bcache

// A fillKeeper keeps what fills bring although the fence refuses it: provisional values. So it has to
// know which fills are under way: a write of the key that comes meanwhile is noted with the fill.
// begin and keep are serialised as apply is.
type fillKeeper struct {
	*shared
	table   *table
	evictor *evictor
}

// open returns a fill of a key, to be given to begin.
func (k *fillKeeper) open(key string, now instant) openFill {
	return openFill{key: key, hash: k.hash.of(key), begin: now.mono}
}

// begin has touches noted that come while a key is filled. It must be ended, by end.
func (k *fillKeeper) begin(f *openFill) {
	sh := k.table.need(f.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.fills.add(f)
}

func (k *fillKeeper) end(f *openFill) {
	sh := k.table.of(f.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.fills.remove(f)
}

// givenUp reports whether a write of the key couldn't be applied since the fill began: then the fence
// knows nothing of it.
func (k *fillKeeper) givenUp(f *openFill) bool {
	sh := k.table.of(f.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return f.givenUp
}

// evictFor is that of the store for what keep would hold.
func (k *fillKeeper) evictFor(now instant, rec *record, n int) bool {
	return k.evictor.evictFor(now, rec, twin(k.hash.of(rec.key)), n)
}

// keep holds a value, or a negative, provisionally. f is the fill that brought it, nil if it was another
// node's. It reports whether the key has a provisional value from now on, and whether it is this one.
//
// It isn't kept if the key has been written since the fill began, or has a live record, unless it is to
// stand beside that. Of two provisional values the first one stays, unless the second one was read later
// for certain: by a fill that began here when the first one was there.
func (k *fillKeeper) keep(now instant, rec *record, f *openFill, beside bool) (held, isNew bool) {
	if k.closed.Load() || rec.expired(now.wall) || k.limits.tooBig(rec) {
		return false, false
	}
	hash := k.hash.of(rec.key)
	sh := k.table.need(hash)
	at := place{hash: twin(hash), bucket: bucketOf(rec.key)}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for {
		old, wanted := k.wantsLocked(sh, now, hash, rec, f, beside)
		if !wanted {
			return old != nil, false
		}
		if old != nil && f != nil {
			sh.entries.use(at.hash, old) // it mustn't be the victim itself
		}
		if sh.fitsLocked(rec, old) {
			k.putLocked(sh, now, at, rec, old, f != nil, beside)
			return true, true
		}
		sh.mu.Unlock() // see applyAt
		k.evictor.evict(now)
		sh.mu.Lock()
	}
}

// wants reports whether keep would hold a value now.
func (k *fillKeeper) wants(now instant, rec *record, f *openFill, beside bool) bool {
	hash := k.hash.of(rec.key)
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
func (k *fillKeeper) wantsLocked(
	sh *shard, now instant, hash uint64, rec *record, f *openFill, beside bool,
) (old *entry, wanted bool) {
	if f != nil && f.touched || !beside && sh.liveLocked(hash, rec.key, now.wall) {
		return nil, false
	}
	old = sh.entries.find(twin(hash), rec.key)
	later := old != nil && f != nil && f.begin > old.ofProvisional().kept
	return old, old == nil || later || !k.epochs.stands(old) || !old.aliveAt(now.wall)
}

// putLocked holds it in place of old, if there is one. There is room for it.
func (k *fillKeeper) putLocked(
	sh *shard, now instant, at place, rec *record, old *entry, local, beside bool,
) {
	kept := *rec
	kept.version, kept.mark = version{k.epochs.now(), rec.origin}, 0
	kept.key, _ = sh.ownKeyLocked(twin(at.hash), rec.key)
	at.fresh = newProvisional(&kept, at.bucket, now.mono, beside)
	sh.putLocked(at, &kept, old, local)
	if !beside {
		k.watch.tellProvisional(rec)
	}
}

// unkeep drops the provisional value of a key of which a fill that began when it was there says that
// it has none any more. It reports whether there is none now.
func (k *fillKeeper) unkeep(f *openFill) bool {
	sh := k.table.of(f.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	p := sh.twinOf(f.hash, f.key)
	if p == nil || f.touched || f.begin <= p.ofProvisional().kept {
		return false
	}
	sh.endLocked(p, changeEvict)
	k.counters.provisionalsDropped.Add(1)
	return true
}

// len is the number of fills that have begun and not ended.
func (k *fillKeeper) len() (n int) {
	for sh := range k.table.all {
		sh.mu.Lock()
		n += len(sh.fills)
		sh.mu.Unlock()
	}
	return n
}
