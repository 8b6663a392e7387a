package bcache

import "unsafe"

// A loaderView is what a Loader sees of the cache: of what is held of a key, what it can read, and what
// it may do with that.
type loaderView struct {
	store  *store
	wall   func() int64
	prefix string
	policy loadPolicy

	// Of a Typed: how it writes values, which is compared, so that a caller never gets what another
	// layout's Fill brought; and whether it can read one. nil, and all, of other Loaders.
	layout  any
	decodes func(val string) bool
}

// fresh returns a value about which there is nothing to do, if it is one of the Loader's layout. That it
// is a hit isn't counted.
func (v *loaderView) fresh(key string) (string, bool) {
	if v.prefix == "" {
		return v.store.fresh(key, v.wall)
	}
	var joined [128]byte
	if len(v.prefix)+len(key) > len(joined) {
		return v.store.fresh(v.prefix+key, v.wall)
	}
	n := copy(joined[:], v.prefix)
	n += copy(joined[n:], key)
	return v.store.fresh(unsafe.String(&joined[0], n), v.wall) // it isn't kept
}

// look says what is held of a key of the cache, and what to do with it.
func (v *loaderView) look(full string) (record, verdict) {
	rec, todo, _ := v.inspect(full, v.wall())
	return rec, todo
}

// inspect is look that says too whether something is held that would be served if it could be decoded.
// Of what is held and what stands beside it on this node, it takes what this Loader can use.
func (v *loaderView) inspect(full string, wall int64) (rec record, todo verdict, garbled bool) {
	rec, held := v.store.entry(full, wall)
	todo = v.policy.judge(&rec, held, wall)
	if v.decodes == nil || todo == verdictMissing || todo != verdictFill && v.decodes(rec.val) {
		return rec, todo, false
	}
	garbled = todo != verdictFill
	rec, held = v.store.beside(full, wall)
	todo = v.policy.judge(&rec, held && (rec.kind != kindValue || v.decodes(rec.val)), wall)
	return rec, todo, garbled && todo == verdictFill
}

// live returns the value of a key, if it is one whose deadline hasn't come.
func (v *loaderView) live(full string) (string, bool) {
	rec, todo := v.look(full)
	return rec.val, todo == verdictServe || todo == verdictRefresh
}

// foreign reports whether a live value of another layout is held.
func (v *loaderView) foreign(full string) bool {
	if v.decodes == nil {
		return false
	}
	rec, ok := v.store.peek(full)
	return ok && rec.kind == kindValue && !rec.expired(v.wall()) && !v.decodes(rec.val)
}

// replaces reports whether a value is there that a fill that finds nothing ends: be it stale, or
// provisional, but not that of another layout.
func (v *loaderView) replaces(full string) bool {
	ours := func(rec record, ok bool) bool {
		return ok && rec.kind == kindValue && (v.decodes == nil || v.decodes(rec.val))
	}
	return ours(v.store.peek(full)) || ours(v.store.beside(full, v.wall()))
}
