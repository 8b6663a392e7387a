package store

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
)

// fill has a key filled at once, and keeps what that brought.
func (r *storeRig) fill(rec delta.Record, beside bool) (isNew bool) {
	f := r.Fills.Open(rec.Key, r.now)
	r.Fills.Begin(&f)
	defer r.Fills.End(&f)
	_, isNew = r.Fills.Keep(r.now, r.Epochs.Now(), &rec, &f, beside)
	return isNew
}

// findsNothing has a fill of a key find nothing.
func (r *storeRig) findsNothing(key string, beside bool) (dropped bool) {
	f := r.Fills.Open(key, r.now)
	r.Fills.Begin(&f)
	defer r.Fills.End(&f)
	return r.Fills.Unkeep(r.now, &f, beside)
}

// The two have tags of their own, in the same shard, whatever the hash.
func TestTwins(t *testing.T) {
	for high := range uint64(8) {
		for _, hash := range []uint64{high << 32, high<<32 | 1<<31 | 77, ^(high << 32)} {
			a, b := tagOf(hash), tagOf(twin(hash))
			if a == b || uint32(hash) != uint32(twin(hash)) || twin(twin(hash)) != hash {
				t.Errorf("of %x the tags are %x and %x", hash, a, b)
			}
		}
	}
}

// What is kept stands alone, or beside a live record; readers get the right one of the two, whichever
// they find first, and whether or not they need the lock.
func TestReadersOfTwins(t *testing.T) {
	keys := make([]string, 300) // in some places the one comes first, in some the other
	for i := range keys {
		keys[i] = fmt.Sprint("k", i)
	}
	for _, tt := range []struct {
		name string
		do   func(r *storeRig, key string)
		want string // "": nothing
	}{
		{"alone", func(r *storeRig, key string) { r.fill(delta.Record{Key: key, Val: "filled"}, false) }, "filled"},
		{"beside a live record", func(r *storeRig, key string) {
			r.set(key, "record")
			r.fill(delta.Record{Key: key, Val: "filled"}, true)
		}, "record"},
		{"beside one that has expired", func(r *storeRig, key string) {
			r.now = storeNow(0)
			r.setTTL(key, "record", time.Second)
			r.fill(delta.Record{Key: key, Val: "filled"}, true)
			r.now = storeNow(2 * time.Second)
		}, "filled"},
		{"in place of one that has expired", func(r *storeRig, key string) {
			r.now = storeNow(0)
			r.setTTL(key, "record", time.Second)
			r.now = storeNow(2 * time.Second)
			r.fill(delta.Record{Key: key, Val: "filled"}, false)
		}, "filled"},
		{"of an earlier epoch", func(r *storeRig, key string) { r.fill(delta.Record{Key: key, Val: "filled"}, false) }, ""},
		{"a negative", func(r *storeRig, key string) { r.fill(delta.Record{Key: key, Kind: delta.KindNegative}, false) }, ""},
		{"after a Clear", func(r *storeRig, key string) { r.fill(delta.Record{Key: key, Val: "filled"}, false) }, "filled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newStoreRig(Config{MaxKeys: 1000})
			if tt.name == "after a Clear" {
				r.write(delta.Record{Kind: delta.KindClear}, true)
			}
			for _, key := range keys {
				tt.do(r, key)
			}
			if tt.name == "of an earlier epoch" {
				r.Epochs.next()
			}
			wall := func() int64 { return r.now.Wall }
			for _, key := range keys {
				val, ok := r.Get(key, wall)
				if val != tt.want || ok != (tt.want != "") {
					t.Fatalf("Get(%s) = %q, %v", key, val, ok)
				}
				if e := r.Fresh(key, wall); e == nil && tt.want == "filled" && tt.name != "beside one that has expired" ||
					e != nil && e.Val != tt.want {
					t.Fatalf("%s: fresh is %+v", key, e)
				}
			}
			storeCheck(t, r.Store)
		})
	}
}

// A fill that finds nothing ends what it can be sure of.
func TestFillFindsNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		do      func(r *storeRig)
		beside  bool
		dropped bool
		left    string
	}{
		"a value":                 {do: func(r *storeRig) { r.fill(delta.Record{Key: "k", Val: "filled"}, false) }, dropped: true},
		"a record that is stale":  {do: func(r *storeRig) { r.stale("k") }, dropped: true},
		"of another layout":       {do: func(r *storeRig) { r.stale("k") }, beside: true, left: "stale"},
		"a live record":           {do: func(r *storeRig) { r.set("k", "live") }, left: "live"},
		"a value beside that":     {do: func(r *storeRig) { r.set("k", "live"); r.fill(delta.Record{Key: "k", Val: "filled"}, true) }, beside: true, dropped: true, left: "live"},
		"nothing":                 {do: func(r *storeRig) { r.del("k") }},
		"both, and both are over": {do: func(r *storeRig) { r.stale("k"); r.fill(delta.Record{Key: "k", Val: "filled"}, true) }, dropped: true},
	} {
		r := newStoreRig(Config{MaxKeys: 10})
		tt.do(r)
		r.pass(10 * time.Second)
		floor := r.FloorOf(delta.BucketOf("k"))
		was, _ := r.Peek("k")
		if dropped := r.findsNothing("k", tt.beside); dropped != tt.dropped {
			t.Errorf("%s: dropped %v", name, dropped)
		}
		if rec, ok := r.Entry("k", r.now.Wall); ok != (tt.left != "") || rec.Val != tt.left {
			t.Errorf("%s: %+v is left", name, rec)
		}
		if _, held := r.Peek("k"); !held && r.FloorOf(delta.BucketOf("k")) < max(was.Stamp, floor) {
			t.Errorf("%s: no floor stands for the record that has gone", name)
		}
		storeCheck(t, r.Store)
	}
}

// stale holds a record of a key that is stale after a moment.
func (r *storeRig) stale(key string) {
	r.write(delta.Record{Key: key, Val: "stale", Deadline: r.now.Wall + 1, StaleUntil: r.now.Wall + 3_600_000}, true)
}

// What a Get returns never gets older while records and what fills bring take each other's places.
func TestReadersOfTwinsConcurrently(t *testing.T) {
	const keys, writes = 20, 40_000
	r := newStoreRig(Config{MaxKeys: 15, Shards: 1})
	wall := func() int64 { return storeWall }
	var done atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		defer done.Store(true)
		for i := range writes {
			key, val := fmt.Sprint(i*7919%keys), fmt.Sprintf("%08d", i)
			r.now.Mono++
			switch i % 4 {
			case 0:
				r.del(key)
			case 1:
				r.set(key, val)
			default:
				r.fill(delta.Record{Key: key, Val: val}, false)
			}
		}
	})
	for range 2 {
		wg.Go(func() {
			last := map[string]string{}
			for i := 0; !done.Load(); i++ {
				key := fmt.Sprint(i % keys)
				val, ok := r.Get(key, wall)
				if i%2 == 0 {
					if e := r.Fresh(key, wall); e != nil {
						val, ok = e.Val, true
					}
				}
				if ok && val < last[key] {
					t.Errorf("%s: %s after %s", key, val, last[key])
					return
				}
				if ok {
					last[key] = val
				}
			}
		})
	}
	wg.Wait()
	storeCheck(t, r.Store)
}

// Where all provisional values end at once, who watches hears of each, once: at once if they are few,
// and otherwise as they are swept, so that no lock is held for long.
func TestManyProvisionalValuesEnd(t *testing.T) {
	for _, n := range []int{fewProvisional, fewProvisional + 1} {
		r := newStoreRig(Config{MaxKeys: 10_000})
		for i := range n {
			r.fill(delta.Record{Key: fmt.Sprint(i), Val: "v"}, false)
		}
		told := 0
		r.Watch.Set(func(c Change) {
			if c.Kind == ChangeEvict && c.Provisional {
				told++
			}
		})
		r.TouchAll()
		if atOnce := n <= fewProvisional; atOnce && told != n || !atOnce && told != 0 {
			t.Errorf("of %d that have ended %d are told of at once", n, told)
		}
		if r.has("1") {
			t.Error("one is served")
		}
		if r.sweep(); told != n || r.Len() != 0 {
			t.Errorf("of %d that have ended %d were told of, and %d are left", n, told, r.Len())
		}
	}
}
