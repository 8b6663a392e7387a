package store

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/testkit"
)

// A clockRig is a store whose Clock runs, and a real clock that counts how often it is read.
type clockRig struct {
	*storeRig
	reads int
}

func newClockRig(t *testing.T) *clockRig {
	r := &clockRig{storeRig: newStoreRig(Config{MaxKeys: 1000})}
	done := make(chan struct{})
	go r.Clock.Run(done, func() int64 { return time.Now().UnixMilli() })
	t.Cleanup(func() { close(done) })
	r.now.Wall = time.Now().UnixMilli()
	for i := range 100 { // so that uses of the others don't move them
		r.set(fmt.Sprint(i), "v")
	}
	return r
}

func (r *clockRig) wall() int64 {
	r.reads++
	return time.Now().UnixMilli()
}

// put holds values that last a minute, a Loader's but 10 s less; each is found in another way.
func (r *clockRig) put() {
	end := r.now.Wall + 60_000
	rec := delta.Record{Val: "v", Deadline: end}
	named := func(key string, rec delta.Record) delta.Record {
		rec.Key = key
		return rec
	}
	r.write(named("used here", rec), true)
	r.write(named("of others", rec), false)
	kept := named("provisional", rec)
	r.Fills.Keep(r.now, r.Epochs.Now(), &kept, nil, false)
	soft := rec
	soft.RefreshFrom = end - 10_000
	r.write(named("to refresh", soft), true)
	r.write(named("of others, to refresh", soft), false)
	kept = named("provisional, to refresh", soft)
	r.Fills.Keep(r.now, r.Epochs.Now(), &kept, nil, false)
}

// Whatever finds a value looks at its deadline, and mostly reads no clock for that.
func TestStoreReadsDeadlines(t *testing.T) {
	find := map[string]func(r *clockRig, key string) bool{
		"Get":   func(r *clockRig, key string) bool { _, ok := r.Get(key, r.wall); return ok },
		"Fresh": func(r *clockRig, key string) bool { return r.Fresh(key, r.wall) != nil },
	}
	for name, found := range find {
		for key, fresh := range map[string]time.Duration{
			"used here": time.Minute, "to refresh": 50 * time.Second,
			"of others": time.Minute, "of others, to refresh": 50 * time.Second,
			"provisional": time.Minute, "provisional, to refresh": 50 * time.Second,
		} {
			if name == "Get" {
				fresh = time.Minute
			}
			t.Run(name+" "+key, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newClockRig(t)
					r.put()
					use := func() bool {
						found(r, "used here") // so that the time is stored
						synctest.Wait()
						return found(r, key)
					}
					use()
					r.reads = 0
					if !found(r, key) || r.reads > 0 {
						t.Errorf("at first: the clock was read %d times", r.reads)
					}
					testkit.Advance(fresh - time.Millisecond)
					if !use() {
						t.Error("before its time")
					}
					testkit.Advance(time.Millisecond)
					if use() {
						t.Error("after its time")
					}
				})
			})
		}
	}
}

// A miss reads no clock, whatever else is there.
func TestStoreMissReadsNoClock(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 1000})
	r.setTTL("mortal", "v", time.Hour)
	r.set("immortal", "v")
	r.set("deleted", "v")
	r.del("deleted")
	wall := func() int64 {
		t.Error("the clock is read")
		return 0
	}
	for _, key := range []string{"none", "deleted", "immortal"} {
		_, hit := r.Get(key, wall)
		fresh := r.Fresh(key, wall) != nil
		if want := key == "immortal"; hit != want || fresh != want {
			t.Errorf("%s is found: %v, %v", key, hit, fresh)
		}
	}
}
