package bcache

import (
	"unsafe"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/fill"
	"github.com/iwanbk/bcache/internal/store"
)

// A loaderView is what a Loader sees of the cache: of what is held of a key, what it can read, and what
// it may do with that.
type loaderView struct {
	store  *store.Store
	wall   func() int64
	prefix string
	policy fill.Policy

	// Of a Typed: how it writes values, which is compared, so that a caller never gets what another
	// layout's Fill brought; and whether it can read the value of a key. nil, and all, of other Loaders.
	layout  any
	decodes func(full, val string) bool
}

// fresh returns the entry of a value about which there is nothing to do, if it is one of the Loader's
// layout; nil if there is none. That it is a hit isn't counted.
func (v *loaderView) fresh(key string) *store.Entry {
	if v.prefix == "" {
		return v.store.Fresh(key, v.wall)
	}
	var joined [128]byte
	if len(v.prefix)+len(key) > len(joined) {
		return v.store.Fresh(v.prefix+key, v.wall)
	}
	n := copy(joined[:], v.prefix)
	n += copy(joined[n:], key)
	return v.store.Fresh(unsafe.String(&joined[0], n), v.wall) // it isn't kept
}

// look says what is held of a key of the cache, and what to do with it.
func (v *loaderView) look(full string) (delta.Record, fill.Verdict) {
	rec, todo, _ := v.inspect(full, v.wall())
	return rec, todo
}

// inspect is look that says too whether something is held that would be served if it could be decoded.
// Of what is held and what stands beside it on this node, it takes what this Loader can use.
func (v *loaderView) inspect(
	full string, wall int64,
) (rec delta.Record, todo fill.Verdict, garbled bool) {
	rec, held := v.store.Entry(full, wall)
	todo = v.policy.Judge(&rec, held, wall)
	if v.decodes == nil || todo == fill.VerdictMissing || todo != fill.VerdictFill && v.decodes(full, rec.Val) {
		return rec, todo, false
	}
	garbled = todo != fill.VerdictFill
	rec, held = v.store.Beside(full, wall)
	todo = v.policy.Judge(&rec, held && (rec.Kind != delta.KindValue || v.decodes(full, rec.Val)), wall)
	return rec, todo, garbled && todo == fill.VerdictFill
}

// live returns the value of a key, if it is one whose deadline hasn't come.
func (v *loaderView) live(full string) (string, bool) {
	rec, todo := v.look(full)
	return rec.Val, todo == fill.VerdictServe || todo == fill.VerdictRefresh
}

// foreign reports whether a live value of another layout is held.
func (v *loaderView) foreign(full string) bool {
	if v.decodes == nil {
		return false
	}
	rec, ok := v.store.Peek(full)
	return ok && rec.Kind == delta.KindValue && !rec.Expired(v.wall()) && !v.decodes(full, rec.Val)
}

// replaces reports whether a value is there that a fill that finds nothing ends: be it stale, or
// provisional, but not that of another layout.
func (v *loaderView) replaces(full string) bool {
	ours := func(rec delta.Record, ok bool) bool {
		return ok && rec.Kind == delta.KindValue && (v.decodes == nil || v.decodes(full, rec.Val))
	}
	return ours(v.store.Peek(full)) || ours(v.store.Beside(full, v.wall()))
}
