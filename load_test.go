package bcache

import (
	"testing"
)

// Who comes after a write doesn't get what was looked up before it, by a load whose Fill hadn't begun.
func TestLoaderLookUpIsForgotten(t *testing.T) {
	f := newLoads(newKeyHash().of)
	r := newRun(t.Context(), false)
	ld, _ := f.join("k", nil, r, make(chan struct{}, 1))
	other := func() bool {
		ld2, isNew := f.join("k", nil, newRun(t.Context(), false), make(chan struct{}, 1))
		if isNew {
			f.end(ld2, loadResult{})
		}
		return isNew
	}
	f.written("k")
	if other() {
		t.Error("before its Fill a write forgets it")
	}
	f.lookUp(ld, func() bool {
		f.written("k")
		if !other() {
			t.Error("what is being looked up is joined after a write")
		}
		return false
	})
	if other() {
		t.Error("nothing was found, and it isn't joined")
	}
	f.lookUp(ld, func() bool { return true })
	if f.written("k"); !other() {
		t.Error("what was looked up is joined after a write")
	}
	f.end(ld, loadResult{})
}
