package store

import (
	"slices"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
)

// What a watcher is told, in order.
func TestStoreWatch(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 2, DeletionDelay: time.Hour})
	r.set("before", "v")
	var got []Change
	r.Watch.Set(func(c Change) { got = append(got, c) })
	told := func(what string, want ...Change) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: told %+v, want %+v", what, got, want)
		}
		got = nil
	}

	r.set("a", "1")
	told("a value", Change{Kind: ChangeSet, Key: "a", Val: "1", Origin: 1, Stamp: r.stamp})
	r.setTTL("b", "2", time.Second)
	told("a value that takes another's place",
		Change{Kind: ChangeEvict, Key: "before", Origin: 1, Stamp: always},
		Change{Kind: ChangeSet, Key: "b", Val: "2", Origin: 1, Stamp: r.stamp})
	r.del("a")
	told("a tombstone", Change{Kind: ChangeDelete, Key: "a", Origin: 1, Stamp: r.stamp})
	r.Apply(r.now, &delta.Record{Key: "a", Val: "late", Version: delta.Version{Stamp: 1, Origin: 2}}, false)
	told("a write that loses")
	r.pass(time.Second)
	r.sweep()
	told("a sweep", Change{Kind: ChangeExpire, Key: "b", Origin: 1, Stamp: always})

	kept := delta.Record{Key: "a", Val: "3", Version: delta.Version{Stamp: 0, Origin: 9}}
	r.Fills.Keep(r.now, r.Epochs.Now(), &kept, nil, false)
	told("a provisional value",
		Change{Kind: ChangeSet, Provisional: true, Key: "a", Val: "3", Origin: 9, Stamp: always})
	r.TouchAll()
	told("a touch of all keys",
		Change{Kind: ChangeEvict, Provisional: true, Key: "a", Origin: 9, Stamp: always})
	r.Apply(r.now, &delta.Record{Kind: delta.KindClear, Version: delta.Version{Stamp: r.stamp, Origin: 5}}, true)
	told("a Clear", Change{Kind: ChangeClear, Origin: 5, Stamp: always})
	if r.sweep(); r.Clears.All().Stamp != r.stamp {
		t.Error("cleared up to another stamp")
	}
	told("what a Clear ended")

	r.Watch.Set(nil)
	r.set("c", "4")
	told("nobody")
}
