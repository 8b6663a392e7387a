package bcache

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestStoreDeadlines(t *testing.T) {
	r := newStoreRig(storeConfig{maxKeys: 10})
	r.setTTL("short", "", time.Second)
	r.setTTL("shorter", "", time.Minute)
	r.setTTL("shorter", "", time.Second)
	r.setTTL("longer", "", time.Second)
	r.setTTL("longer", "", time.Minute)
	r.setTTL("for ever", "", time.Second)
	r.set("for ever", "")
	r.set("no longer", "")
	r.setTTL("no longer", "", time.Second)

	r.pass(999 * time.Millisecond)
	r.sweep()
	if r.len() != 5 {
		t.Fatalf("%d entries before any deadline", r.len())
	}
	r.pass(time.Millisecond)
	for key, want := range map[string]bool{
		"short": false, "shorter": false, "no longer": false, "longer": true, "for ever": true,
	} {
		if _, ok := r.peek(key); !ok {
			t.Errorf("%s isn't held before the sweep", key)
		}
		if key == "short" {
			continue // for the sweep to find; a get removes what it finds expired
		}
		if got := r.has(key); got != want {
			t.Errorf("%s: %v before the sweep", key, got)
		}
		if _, ok := r.peek(key); ok != want {
			t.Errorf("%s: held %v after a get", key, ok)
		}
	}
	r.pass(-time.Minute)
	if r.has("shorter") {
		t.Error("what has expired is back when the clock is set back")
	}
	r.pass(time.Minute)
	rec, _ := r.peek("short")
	r.sweep()
	if r.len() != 2 || r.stats().expirations != 3 {
		t.Errorf("%d entries, %+v after the sweep", r.len(), r.stats())
	}
	if f := r.floorOf(bucketOf("short")); f < rec.stamp {
		t.Errorf("floor %d below %d", f, rec.stamp)
	}
	storeCheck(t, r.store)
	r.pass(time.Minute)
	r.sweep()
	if r.len() != 1 || !r.has("for ever") {
		t.Errorf("%d entries in the end", r.len())
	}
}

func TestStoreSweepOfManyDead(t *testing.T) {
	r := newStoreRig(storeConfig{maxKeys: 5000, deletionDelay: time.Second})
	for i := range 4000 {
		r.setTTL(fmt.Sprint(i), "", time.Second)
	}
	for i := range 1000 {
		r.del(fmt.Sprint("d", i))
		r.set(fmt.Sprint("c", i), "")
	}
	if r.len() != 5000 || r.tombstones() != 1000 {
		t.Fatal(r.len(), r.tombstones())
	}
	r.pass(time.Second)
	r.apply(r.now, &record{kind: kindClear, version: version{r.stamp, 2}}, true)
	r.set("last", "")
	r.sweep()
	if r.len() != 1 || r.tombstones() != 0 {
		t.Errorf("%d entries, %d tombstones", r.len(), r.tombstones())
	}
	storeCheck(t, r.store)
}

func TestStoreTombstonesAreCollected(t *testing.T) {
	r := newStoreRig(storeConfig{maxKeys: 10, deletionDelay: 10 * time.Second})
	r.set("a", "")
	r.del("a")
	r.del("b")
	r.pass(5 * time.Second)
	r.del("b") // starts again
	r.pass(5 * time.Second)
	r.now.wall -= 1_000_000 // doesn't matter
	a, _ := r.peek("a")
	r.sweep()
	if _, ok := r.peek("a"); ok || r.tombstones() != 1 {
		t.Errorf("a: %v, %d tombstones", ok, r.tombstones())
	}
	if f := r.floorOf(bucketOf("a")); f != a.stamp {
		t.Errorf("floor %d, want %d", f, a.stamp)
	}
	if rec, ok := r.peek("b"); !ok || rec.kind != kindTombstone {
		t.Errorf("b: %+v", rec)
	}
	if o := r.apply(r.now, &record{key: "a", version: a.version}, false); o != outcomeRefused {
		t.Errorf("a came back: outcome %d", o)
	}
	r.pass(5 * time.Second)
	r.sweep()
	if st := r.stats(); r.tombstones() != 0 || st.tombstonesCollected != 2 || st.floorRefusals != 1 {
		t.Errorf("%d tombstones, %+v", r.tombstones(), st)
	}
	storeCheck(t, r.store)
}

func TestStoreTombstoneBounds(t *testing.T) {
	for _, shards := range []int{1, 64} {
		r := newStoreRig(storeConfig{maxKeys: 1, maxTombstones: 100, deletionDelay: time.Hour, shards: shards})
		var first version
		for i := range 1000 {
			r.pass(time.Millisecond)
			r.del(fmt.Sprint(i))
			if i == 0 {
				rec, _ := r.peek("0")
				first = rec.version
			}
			if n := r.tombstones(); n != min(i+1, 100) {
				t.Fatalf("%d shards: %d tombstones after %d", shards, n, i+1)
			}
		}
		if f := r.floorOf(bucketOf("0")); f < first.stamp {
			t.Errorf("%d shards: floor %d below %d", shards, f, first.stamp)
		}
		if st := r.stats(); st.tombstonesDropped != 900 || st.tombstonesCollected != 0 {
			t.Errorf("%+v", st)
		}
		if shards == 1 {
			for i := range 1000 {
				if _, ok := r.peek(fmt.Sprint(i)); ok != (i >= 900) {
					t.Fatalf("%d: %v", i, ok)
				}
			}
		}
		storeCheck(t, r.store)

		big := strings.Repeat("k", 16<<20)
		for i := range 6 {
			r.del(fmt.Sprint(big[:16<<20-10], i))
			if n := r.tombSums.bytes.Load(); n > maxTombstoneBytes {
				t.Fatalf("%d bytes", n)
			}
		}
		if n := r.tombstones(); n < 2 {
			t.Errorf("%d shards: %d tombstones", shards, n)
		}
	}
}
