package store

import (
	"math"
	"sync/atomic"

	"github.com/iwanbk/bcache/internal/delta"
)

// A Change is what happens to the entries of a store, as a watcher is told of it.
type Change struct {
	Kind        ChangeKind
	Selector    delta.Selector // of a Clear
	Provisional bool           // the entry is, or was, a provisional value
	Key, Val    string         // "" with ChangeClear; val with ChangeSet only
	Origin      uint64         // whose write it is, or was

	// A Clear that selects the key, or one of the tags, and isn't below this stamp, stands for it if the
	// watcher was told of the Clear before.
	Stamp uint64
	Tags  delta.Tags
}

type ChangeKind uint8

const (
	ChangeSet    ChangeKind = iota // the key has this value now
	ChangeDelete                   // the key was deleted, or is known to have no value
	ChangeExpire                   // the entry's time was over
	ChangeEvict                    // the entry was given up
	ChangeClear                    // what the selector selects is gone; there are no changes for each
)

// always is a stamp that no Clear has.
const always = math.MaxUint64

// A watch tells one watcher of changes, under the lock under which they happen, so that those of a key
// come in order. Where nobody watches that is one load of a pointer that is nil.
type watch struct {
	watcher atomic.Pointer[func(Change)]
}

// Set has a watcher told from now on; nil is nobody. The watcher runs under locks of the store: it must
// not wait, and of the store it may call cleared only.
func (w *watch) Set(watcher func(Change)) {
	if watcher == nil {
		w.watcher.Store(nil)
	} else {
		w.watcher.Store(&watcher)
	}
}

// none reports whether nobody watches.
func (w *watch) none() bool { return w.watcher.Load() == nil }

func (w *watch) tell(c Change) {
	if watcher := w.watcher.Load(); watcher != nil {
		(*watcher)(c)
	}
}

// tellGone tells what becomes of an entry, unless it is nil.
func (w *watch) tellGone(e *Entry, kind ChangeKind) {
	if w.none() || e == nil || e.kind != delta.KindValue || e.isProvisional() && e.ofProvisional().beside {
		return
	}
	w.tell(Change{Kind: kind, Key: e.Key, Origin: e.Origin, Provisional: e.isProvisional(), Stamp: always})
}

// tellHeld tells of what is held now.
func (w *watch) tellHeld(rec *delta.Record) { w.tellOf(rec, rec.Stamp, false) }

// tellProvisional tells of a provisional value. Only a Clear that comes later ends it.
func (w *watch) tellProvisional(rec *delta.Record) { w.tellOf(rec, always, true) }

func (w *watch) tellOf(rec *delta.Record, stamp uint64, provisional bool) {
	if w.none() {
		return
	}
	c := Change{Kind: ChangeDelete, Key: rec.Key, Origin: rec.Origin, Provisional: provisional}
	c.Stamp, c.Tags = stamp, rec.Tags
	if rec.Kind == delta.KindValue {
		c.Kind, c.Val = ChangeSet, rec.Val
	}
	w.tell(c)
}

// tellClear tells of a Clear.
func (w *watch) tellClear(s delta.Selector, v delta.Version) {
	w.tell(Change{Kind: ChangeClear, Selector: s, Origin: v.Origin, Stamp: always})
}
