package bcache

import (
	"math"
	"sync/atomic"
)

// A change is what happens to the entries of a store, as a watcher is told of it.
type change struct {
	kind        changeKind
	provisional bool   // the entry is, or was, a provisional value
	key, val    string // "" with changeClear; val with changeSet only
	origin      uint64 // whose write it is, or was

	// A Clear that isn't below this stamp, and of which the watcher was told before, stands for it.
	stamp uint64
}

type changeKind uint8

const (
	changeSet    changeKind = iota // the key has this value now
	changeDelete                   // the key was deleted, or is known to have no value
	changeExpire                   // the entry's time was over
	changeEvict                    // the entry was given up
	changeClear                    // all keys are gone; there are no changes for each
)

// always is a stamp that no Clear has.
const always = math.MaxUint64

// A watch tells one watcher of changes, under the lock under which they happen, so that those of a key
// come in order. Where nobody watches that is one load of a pointer that is nil.
type watch struct {
	watcher atomic.Pointer[func(change)]
}

// set has a watcher told from now on; nil is nobody. The watcher runs under locks of the store: it must
// not wait, and of the store it may call cleared only.
func (w *watch) set(watcher func(change)) {
	if watcher == nil {
		w.watcher.Store(nil)
	} else {
		w.watcher.Store(&watcher)
	}
}

// none reports whether nobody watches.
func (w *watch) none() bool { return w.watcher.Load() == nil }

func (w *watch) tell(c change) {
	if watcher := w.watcher.Load(); watcher != nil {
		(*watcher)(c)
	}
}

// tellGone tells what becomes of an entry, unless it is nil.
func (w *watch) tellGone(e *entry, kind changeKind) {
	if w.none() || e == nil || e.kind != kindValue || e.isProvisional() && e.ofProvisional().beside {
		return
	}
	w.tell(change{kind: kind, key: e.key, origin: e.origin, provisional: e.isProvisional(), stamp: always})
}

// tellHeld tells of what is held now.
func (w *watch) tellHeld(rec *record) { w.tellOf(rec, rec.stamp, false) }

// tellProvisional tells of a provisional value. Only a Clear that comes later ends it.
func (w *watch) tellProvisional(rec *record) { w.tellOf(rec, always, true) }

func (w *watch) tellOf(rec *record, stamp uint64, provisional bool) {
	if w.none() {
		return
	}
	c := change{kind: changeDelete, key: rec.key, origin: rec.origin, provisional: provisional}
	c.stamp = stamp
	if rec.kind == kindValue {
		c.kind, c.val = changeSet, rec.val
	}
	w.tell(c)
}

// tellClear tells of a Clear.
func (w *watch) tellClear(v version) {
	w.tell(change{kind: changeClear, origin: v.origin, stamp: always})
}
