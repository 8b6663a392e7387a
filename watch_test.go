package bcache

import (
	"slices"
	"testing"
	"time"
)

// What a watcher is told, in order.
func TestStoreWatch(t *testing.T) {
	r := newStoreRig(storeConfig{maxKeys: 2, deletionDelay: time.Hour})
	r.set("before", "v")
	var got []change
	r.watch.set(func(c change) { got = append(got, c) })
	told := func(what string, want ...change) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: told %+v, want %+v", what, got, want)
		}
		got = nil
	}

	r.set("a", "1")
	told("a value", change{kind: changeSet, key: "a", val: "1", origin: 1, stamp: r.stamp})
	r.setTTL("b", "2", time.Second)
	told("a value that takes another's place",
		change{kind: changeEvict, key: "before", origin: 1, stamp: always},
		change{kind: changeSet, key: "b", val: "2", origin: 1, stamp: r.stamp})
	r.del("a")
	told("a tombstone", change{kind: changeDelete, key: "a", origin: 1, stamp: r.stamp})
	r.apply(r.now, &record{key: "a", val: "late", version: version{1, 2}}, false)
	told("a write that loses")
	r.pass(time.Second)
	r.sweep()
	told("a sweep", change{kind: changeExpire, key: "b", origin: 1, stamp: always})

	kept := record{key: "a", val: "3", version: version{0, 9}}
	r.fills.keep(r.now, &kept, nil, false)
	told("a provisional value",
		change{kind: changeSet, provisional: true, key: "a", val: "3", origin: 9, stamp: always})
	r.touchAll()
	told("a touch of all keys",
		change{kind: changeEvict, provisional: true, key: "a", origin: 9, stamp: always})
	r.apply(r.now, &record{kind: kindClear, version: version{r.stamp, 5}}, true)
	told("a Clear", change{kind: changeClear, origin: 5, stamp: always})
	if r.sweep(); !r.cleared(r.stamp) || r.cleared(r.stamp+1) {
		t.Error("cleared up to another stamp")
	}
	told("what a Clear ended")

	r.watch.set(nil)
	r.set("c", "4")
	told("nobody")
}
