package view

import (
	"unsafe"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/fill"
	"github.com/iwanbk/bcache/internal/store"
)

// A View is what a Loader sees of the cache: of what is held of a key, what it can read, and what
// it may do with that.
type View struct {
	Store  *store.Store
	Wall   func() int64
	Prefix string
	Policy fill.Policy

	// Of a Typed: how it writes values, which is compared, so that a caller never gets what another
	// layout's Fill brought; and whether it can read the value of a key. nil, and all, of other Loaders.
	Layout  any
	Decodes func(full, val string) bool
}

// Fresh returns the entry of a value about which there is nothing to do, if it is one of the Loader's
// layout; nil if there is none. That it is a hit isn't counted.
func (v *View) Fresh(key string) *store.Entry {
	if v.Prefix == "" {
		return v.Store.Fresh(key, v.Wall)
	}
	var joined [128]byte
	if len(v.Prefix)+len(key) > len(joined) {
		return v.Store.Fresh(v.Prefix+key, v.Wall)
	}
	n := copy(joined[:], v.Prefix)
	n += copy(joined[n:], key)
	return v.Store.Fresh(unsafe.String(&joined[0], n), v.Wall) // it isn't kept
}

// Look says what is held of a key of the cache, and what to do with it.
func (v *View) Look(full string) (delta.Record, fill.Verdict) {
	rec, todo, _ := v.Inspect(full, v.Wall())
	return rec, todo
}

// Inspect is Look that says too whether something is held that would be served if it could be decoded.
// Of what is held and what stands beside it on this node, it takes what this Loader can use.
func (v *View) Inspect(
	full string, wall int64,
) (rec delta.Record, todo fill.Verdict, garbled bool) {
	rec, held := v.Store.Entry(full, wall)
	todo = v.Policy.Judge(&rec, held, wall)
	if v.Decodes == nil || todo == fill.VerdictMissing || todo != fill.VerdictFill && v.Decodes(full, rec.Val) {
		return rec, todo, false
	}
	garbled = todo != fill.VerdictFill
	rec, held = v.Store.Beside(full, wall)
	todo = v.Policy.Judge(&rec, held && (rec.Kind != delta.KindValue || v.Decodes(full, rec.Val)), wall)
	return rec, todo, garbled && todo == fill.VerdictFill
}

// Live returns the value of a key, if it is one whose deadline hasn't come.
func (v *View) Live(full string) (delta.Record, bool) {
	rec, todo := v.Look(full)
	return rec, todo == fill.VerdictServe || todo == fill.VerdictRefresh
}

// Foreign reports whether a live value of another layout is held.
func (v *View) Foreign(full string) bool {
	if v.Decodes == nil {
		return false
	}
	rec, ok := v.Store.Peek(full)
	return ok && rec.Kind == delta.KindValue && !rec.Expired(v.Wall()) && !v.Decodes(full, rec.Val)
}

// Replaces reports whether a value is there that a fill that finds nothing ends: be it stale, or
// provisional, but not that of another layout.
func (v *View) Replaces(full string) bool {
	ours := func(rec delta.Record, ok bool) bool {
		return ok && rec.Kind == delta.KindValue && (v.Decodes == nil || v.Decodes(full, rec.Val))
	}
	return ours(v.Store.Peek(full)) || ours(v.Store.Beside(full, v.Wall()))
}
