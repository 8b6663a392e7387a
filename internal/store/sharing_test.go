package store

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/testkit"
	"pgregory.net/rapid"
)

// keep keeps what an owner has decoded of an entry's value, and returns what is shared then.
func (r *storeRig) keep(e *Entry, owner *Owner, decoded string, size int64) (any, bool) {
	if !r.Sharer.Wants(e, size) {
		return e.Shared(owner)
	}
	return r.Sharer.Keep(e, &Sharing{Owner: owner, Decoded: decoded, Size: size})
}

// keepFill keeps what a fill of a key has brought, provisionally.
func (r *storeRig) keepFill(key, val string, ttl time.Duration) bool {
	rec := delta.Record{Key: key, Val: val}
	if ttl != 0 {
		rec.Deadline = r.now.Wall + ttl.Milliseconds()
	}
	f := r.Fills.Open(key, r.now)
	r.Fills.Begin(&f)
	defer r.Fills.End(&f)
	held, _ := r.Fills.Keep(r.now, r.Epochs.Now(), &rec, &f, false)
	return held
}

// What isn't shared takes no more than before.
func TestEntrySizes(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) == 4 {
		t.Skip("of 64 bits")
	}
	for what, size := range map[string][2]uintptr{
		"an entry":            {unsafe.Sizeof(Entry{}), 64},
		"one with soft times": {unsafe.Sizeof(softEntry{}), 80},
		"a provisional one":   {unsafe.Sizeof(provisionalEntry{}), 96},
		"a sharing one":       {unsafe.Sizeof(Sharing{}), 128},
		"one with tags":       {unsafe.Sizeof(taggedEntry{}), 128},
	} {
		if size[0] != size[1] {
			t.Errorf("%s takes %d bytes, not %d", what, size[0], size[1])
		}
	}
}

// What is shared goes with its value by every door, and then counts no more.
func TestSharingGoesWithItsValue(t *testing.T) {
	const key, val, size = "k", "value", 1000
	plain := entryCost(key, val, "")
	doors := map[string]struct {
		open func(r *storeRig)
		left int64 // bytes
	}{
		"a local write":      {func(r *storeRig) { r.set(key, "other") }, plain},
		"the same value":     {func(r *storeRig) { r.set(key, val) }, plain},
		"a remote write":     {func(r *storeRig) { r.remote(key, "other") }, plain},
		"a shorter value":    {func(r *storeRig) { r.replaceBy(key, "v") }, entryCost(key, "v", "")},
		"a delete":           {func(r *storeRig) { r.del(key) }, 0},
		"a forget":           {func(r *storeRig) { r.write(delta.Record{Key: key, Kind: delta.KindForget}, false) }, 0},
		"a negative":         {func(r *storeRig) { r.write(delta.Record{Key: key, Kind: delta.KindNegative}, true) }, entryCost(key, "", "")},
		"its deadline":       {func(r *storeRig) { r.pass(time.Hour); r.sweep() }, 0},
		"a read after it":    {func(r *storeRig) { r.pass(time.Hour); r.has(key) }, 0},
		"an eviction":        {func(r *storeRig) { r.crowdOut(key, val) }, 2 * plain},
		"Clear":              {func(r *storeRig) { r.write(delta.Record{Kind: delta.KindClear}, true); r.sweep() }, 0},
		"giving up":          {func(r *storeRig) { r.GiveUp(r.now, key, delta.Version{Stamp: r.stamp + 1}) }, 0},
		"a full sync":        {func(r *storeRig) { r.Sync.DropUnstreamed(r.now, 1, 0, NewKeySet(), r.allFloors()) }, 0},
		"one that isn't its": {func(r *storeRig) { r.remark(key); r.Sync.Vouch(r.now, 8) }, 0},
		"Close":              {func(r *storeRig) { r.Close() }, 0},
	}
	for name, door := range doors {
		for _, lru := range []bool{false, true} {
			r := newStoreRig(Config{MaxKeys: 2, LRU: lru})
			r.setTTL(key, val, time.Minute)
			var owner Owner
			wall := func() int64 { return r.now.Wall }
			if x, ok := r.keep(r.Fresh(key, wall), &owner, "decoded", size); !ok || x != "decoded" || r.Bytes() != plain+size {
				t.Fatalf("%v, %v, %d bytes", x, ok, r.Bytes())
			}
			if x, ok := r.Fresh(key, wall).Shared(&owner); !ok || x != "decoded" {
				t.Errorf("%v, %v is shared", x, ok)
			}
			door.open(r)
			if e := r.Fresh(key, wall); e != nil {
				if x, ok := e.Shared(&owner); ok {
					t.Errorf("%s: %v is still shared", name, x)
				}
			}
			if e := r.Sharer.Holder(key, val); e != nil && sharingOf(e) != nil {
				t.Errorf("%s: it is still held", name)
			}
			if r.Bytes() != door.left {
				t.Errorf("%s: %d bytes are left, not %d", name, r.Bytes(), door.left)
			}
			storeCheck(t, r.Store)
		}
	}
}

// crowdOut writes other keys until one is evicted.
func (r *storeRig) crowdOut(key, val string) {
	for i := 0; r.Sharer.Holder(key, val) != nil; i++ {
		r.set(fmt.Sprint(i%10), val)
	}
}

// replaceBy is a local write by Replace.
func (r *storeRig) replaceBy(key, val string) {
	r.stamp++
	rec := delta.Record{Key: key, Val: val, Version: delta.Version{Stamp: r.stamp, Origin: 1}}
	if !r.Replace(r.now, &rec, r.Approach(&rec)) {
		panic("it wasn't replaced")
	}
}

// remark has a key come once more in a full sync that doesn't end.
func (r *storeRig) remark(key string) {
	held, _ := r.Peek(key)
	held.Version.Stamp++
	held.Mark = 7
	r.Apply(r.now, &held, false)
	r.keep(r.Sharer.Holder(key, held.Val), new(Owner), "once more", 1000)
	if now, _ := r.Peek(key); now.Mark != 7 || sharingOf(r.Sharer.Holder(key, held.Val)) == nil {
		panic("it isn't shared, or not marked")
	}
}

func (r *storeRig) allFloors() (floors []delta.BucketFloor) {
	for b := range delta.NumBuckets {
		floors = append(floors, delta.BucketFloor{Bucket: uint16(b), Stamp: r.stamp + 1})
	}
	return floors
}

// Provisional values share too, until any write of the key.
func TestSharingProvisional(t *testing.T) {
	for name, touch := range map[string]func(r *storeRig){
		"a write":      func(r *storeRig) { r.del("k") },
		"one of all":   func(r *storeRig) { r.TouchAll(); r.sweep() },
		"Clear":        func(r *storeRig) { r.write(delta.Record{Kind: delta.KindClear}, true); r.sweep() },
		"its deadline": func(r *storeRig) { r.pass(time.Hour); r.sweep() },
		"another one":  func(r *storeRig) { r.pass(time.Hour); r.keepFill("k", "other", time.Minute) },
		"a later one":  func(r *storeRig) { r.pass(time.Second); r.keepFill("k", "other", time.Minute) },
		"nothing any more": func(r *storeRig) {
			r.pass(time.Second)
			f := r.Fills.Open("k", r.now)
			r.Fills.Begin(&f)
			r.Fills.Unkeep(r.now, &f, false)
			r.Fills.End(&f)
		},
	} {
		r := newStoreRig(Config{MaxKeys: 10})
		var owner Owner
		wall := func() int64 { return r.now.Wall }
		r.del("k")
		r.keepFill("k", "v", time.Minute)
		before, _ := r.Fills.Peek("k")
		if x, ok := r.keep(r.Fresh("k", wall), &owner, "decoded", 1000); !ok || x != "decoded" {
			t.Fatalf("%v, %v is kept", x, ok)
		}
		e := r.Fresh("k", wall)
		if x, ok := e.Shared(&owner); !ok || x != "decoded" || r.Sharer.Holder("k", "v") != e {
			t.Errorf("%v, %v is shared", x, ok)
		}
		if after, ok := r.Fills.Peek("k"); after != before || !ok {
			t.Errorf("%+v has become %+v", before, after)
		}
		storeCheck(t, r.Store)
		touch(r)
		if r.Sharer.Holder("k", "v") != nil {
			t.Errorf("%s: it is still held", name)
		}
		if e := r.Sharer.Holder("k", "other"); e != nil && sharingOf(e) != nil {
			t.Errorf("%s: another value shares it", name)
		}
		storeCheck(t, r.Store)
	}
}

// Each owner has its own, and the first one stays.
func TestSharingOwners(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 10})
	r.set("k", "v")
	var one, two Owner
	plain := r.Fresh("k", storeNoWall)
	if x, ok := r.keep(plain, &one, "first", 1); !ok || x != "first" {
		t.Errorf("%v, %v is kept", x, ok)
	}
	for range 3 {
		if x, ok := r.keep(r.Fresh("k", storeNoWall), &two, "of another", 1); ok {
			t.Errorf("%v is shared by another", x)
		}
	}
	// Who has looked before it was there gets what is shared, or nothing.
	for owner, want := range map[*Owner]any{&one: "first", &two: nil} {
		x, ok := r.Sharer.Keep(plain, &Sharing{Owner: owner, Decoded: "late"})
		if x != want || ok != (want != nil) {
			t.Errorf("%v, %v is shared, not %v", x, ok, want)
		}
	}
	r.set("k", "w")
	if x, ok := r.Sharer.Keep(plain, &Sharing{Owner: &one, Decoded: "of v"}); ok {
		t.Errorf("%v is shared with another value", x)
	}
	if x, ok := r.keep(r.Fresh("k", storeNoWall), &two, "of w", 1); !ok || x != "of w" {
		t.Errorf("%v, %v is kept", x, ok)
	}
	if x, ok := r.Sharer.Keep(plain, &Sharing{Owner: &two, Decoded: "of v"}); ok {
		t.Errorf("%v is shared with another value", x)
	}
}

// Where there is no room for it, it isn't kept, and nothing goes for it.
func TestSharingNeverEvicts(t *testing.T) {
	cost := entryCost("k", "v", "")
	r := newStoreRig(Config{MaxKeys: 10, MaxBytes: 2*cost + 50})
	r.set("k", "v")
	r.set("l", "v")
	var owner Owner
	e := r.Fresh("k", storeNoWall)
	if x, ok := r.keep(e, &owner, "too large", 51); ok || r.Bytes() != 2*cost || r.Len() != 2 {
		t.Errorf("%v is kept; %d bytes of %d keys", x, r.Bytes(), r.Len())
	}
	if x, ok := r.Sharer.Keep(e, &Sharing{Owner: &owner, Decoded: "too large", Size: 51}); ok {
		t.Errorf("%v is kept", x)
	}
	r.room.claim()
	if x, ok := r.keep(e, &owner, "while a write takes room", 50); ok {
		t.Errorf("%v is kept", x)
	}
	r.room.release()
	if x, ok := r.keep(e, &owner, "fits", 50); !ok || x != "fits" || r.Bytes() != 2*cost+50 {
		t.Errorf("%v, %v is kept; %d bytes", x, ok, r.Bytes())
	}
	if s := r.Stats(); s.Evictions != 0 {
		t.Errorf("%d evictions", s.Evictions)
	}
	evictions := 0
	r.Watch.Set(func(c Change) {
		if c.Kind != ChangeEvict {
			return
		}
		if evictions++; r.room.tryClaim() {
			t.Error("the room that a write makes can be taken")
			r.room.release()
		}
	})
	r.set("m", "v")
	r.del("n")
	r.pass(time.Second)
	r.keepFill("n", "v", 0)
	storeCheck(t, r.Store)
	if evictions < 2 || !r.room.tryClaim() {
		t.Errorf("%d evictions, or the room isn't free again", evictions)
	}
}

// To share is neither a write nor a use, and nobody is told. What is shared is always that of the value
// with which it is, and the bytes are those of all that is held.
func TestSharingLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newStoreRig(Config{
			MaxKeys:  rapid.IntRange(1, 5).Draw(t, "maxKeys"),
			MaxBytes: rapid.SampledFrom([]int64{0, 800, 2000}).Draw(t, "maxBytes"),
			Shards:   rapid.SampledFrom([]int{1, 2, 16}).Draw(t, "shards"),
			LRU:      rapid.Bool().Draw(t, "lru"), DeletionDelay: 20 * time.Millisecond,
		})
		wall := func() int64 { return r.now.Wall }
		events := 0
		r.Watch.Set(func(Change) { events++ })
		owners := [2]Owner{}
		key := rapid.SampledFrom(strings.Fields("a b c d"))
		var seen []*Entry // some of which are gone
		order := func() (keys []string) {
			for i := range r.Shards() {
				if sh := r.table.at(i); sh != nil {
					for _, e := range storeOrder(t, sh) {
						keys = append(keys, fmt.Sprint(e.Key, e.isProvisional()))
					}
				}
			}
			return keys
		}
		val := func(t *rapid.T) string {
			r.stamp++
			return fmt.Sprint(r.stamp, strings.Repeat("x", rapid.SampledFrom([]int{0, 100}).Draw(t, "len")))
		}
		ttl := rapid.SampledFrom([]time.Duration{0, 5 * time.Millisecond, time.Hour})
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				rec := delta.Record{Key: key.Draw(t, "key"), Val: val(t)}
				if d := ttl.Draw(t, "ttl"); d != 0 {
					rec.Deadline = r.now.Wall + d.Milliseconds()
					rec.StaleUntil = rec.Deadline + rapid.Int64Range(0, 5).Draw(t, "stale")
				}
				if rapid.IntRange(0, 3).Draw(t, "delete") == 0 {
					rec = delta.Record{Key: rec.Key, Kind: delta.KindTombstone}
				}
				r.write(rec, rapid.Bool().Draw(t, "local"))
			},
			"fill": func(t *rapid.T) { r.keepFill(key.Draw(t, "key"), val(t), ttl.Draw(t, "ttl")) },
			"pass": func(t *rapid.T) {
				r.pass(time.Duration(rapid.IntRange(1, 10).Draw(t, "ms")) * time.Millisecond)
			},
			"sweep": func(*rapid.T) { r.sweep() },
			"clear": func(t *rapid.T) {
				if rapid.IntRange(0, 4).Draw(t, "rarely") == 0 {
					r.write(delta.Record{Kind: delta.KindClear}, true)
				}
			},
			"get": func(t *rapid.T) {
				if e := r.Fresh(key.Draw(t, "key"), wall); e != nil {
					seen = append(seen, e)
				}
			},
			"share": func(t *rapid.T) {
				if e := r.Fresh(key.Draw(t, "key"), wall); e != nil {
					seen = append(seen, e)
				}
				if len(seen) == 0 {
					t.Skip("none")
				}
				e, owner := seen[len(seen)-1], &owners[rapid.IntRange(0, 4).Draw(t, "owner")/4]
				if rapid.Bool().Draw(t, "late") {
					e = rapid.SampledFrom(seen).Draw(t, "entry")
				}
				k := e.Key
				held, _ := r.Peek(k)
				beside, _ := r.Fills.Peek(k)
				places, told, n, bytes := order(), events, r.Len(), r.Bytes()
				size := rapid.SampledFrom([]int64{0, 1, 150, 3000}).Draw(t, "size")
				x, ok := r.keep(e, owner, fmt.Sprint(e.Val, owner), size)
				if ok && x != fmt.Sprint(e.Val, owner) {
					t.Fatalf("%v is shared of %q", x, e.Val)
				}
				if now, _ := r.Peek(k); now != held {
					t.Fatalf("%+v has become %+v", held, now)
				}
				if now, _ := r.Fills.Peek(k); now != beside {
					t.Fatalf("%+v has become %+v", beside, now)
				}
				grown := r.Bytes() - bytes
				if now := order(); !slices.Equal(now, places) || events != told || r.Len() != n || grown != 0 && grown != size {
					t.Fatalf("%v has become %v; %d events, %d entries, %d bytes more", places, now, events-told, r.Len(), grown)
				}
			},
			"": func(t *rapid.T) {
				storeCheck(t, r.Store)
				for i := range r.Shards() {
					if sh := r.table.at(i); sh != nil {
						for _, e := range sh.entries.all() {
							for i := range owners {
								if x, ok := e.Shared(&owners[i]); ok && x != fmt.Sprint(e.Val, &owners[i]) {
									t.Fatalf("%v is shared with %q", x, e.Val)
								}
							}
						}
					}
				}
			},
		})
	})
}

// So it is with everything at the same time, and the bound of bytes holds at every moment.
func TestSharingConcurrently(t *testing.T) {
	const keys, maxBytes = 50, 55 * EntryOverhead
	writes := testkit.Rounds(20_000)
	r := newStoreRig(Config{MaxKeys: 1000, MaxBytes: maxBytes, Shards: 4})
	var owner Owner
	var done atomic.Bool
	var shared, kept atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		defer done.Store(true)
		for i := 0; i < writes || i < 100*writes && (shared.Load() == 0 || kept.Load() == 0); i++ {
			rec := delta.Record{Key: fmt.Sprint(i * 7919 % keys), Val: fmt.Sprintf("%08d", i)}
			if i%5 == 0 {
				rec.Kind, rec.Val = delta.KindTombstone, ""
			}
			if r.write(rec, i%2 == 0); i%1000 == 0 {
				r.write(delta.Record{Kind: delta.KindClear}, true)
				r.sweep()
			}
			if i%50 == 0 {
				runtime.Gosched()
			}
		}
	})
	for range 2 {
		wg.Go(func() {
			for i := 0; !done.Load(); i++ {
				e := r.Fresh(fmt.Sprint(i%keys), storeNoWall)
				if n := r.Bytes(); n > maxBytes {
					t.Errorf("%d bytes", n)
				}
				if e == nil {
					continue
				}
				x, ok := e.Shared(&owner)
				if ok {
					shared.Add(1)
				} else if x, ok = r.keep(e, &owner, "decoded "+e.Val, int64(i%300)); ok {
					kept.Add(1)
				}
				if ok && x != "decoded "+e.Val {
					t.Errorf("%v is shared with %q", x, e.Val)
				}
			}
		})
	}
	wg.Wait()
	storeCheck(t, r.Store)
	if shared.Load() == 0 || kept.Load() == 0 {
		t.Errorf("%d were shared, %d kept", shared.Load(), kept.Load())
	}
}

// What a large record has evicted others for, in steps, isn't shared meanwhile.
func TestSharingLeavesRoomForALargeRecord(t *testing.T) {
	const n = 1000
	r := newStoreRig(Config{MaxKeys: 1 << 20, MaxBytes: n * 1010, Shards: 1})
	key := func(i int) string { return fmt.Sprintf("%04d", i) }
	for i := range n {
		r.set(key(i), strings.Repeat("v", 800))
	}
	big := delta.Record{Key: "big", Val: strings.Repeat("v", 500_000)}
	var owner Owner
	share := func() (kept int) {
		for i := range n {
			if e := r.Fresh(key(i), storeNoWall); e != nil {
				if _, ok := r.keep(e, &owner, "d", 5000); ok {
					kept++
				}
			}
		}
		return kept
	}
	for r.EvictFor(r.now, &big, 64) {
		if kept := share(); kept > 0 {
			t.Fatalf("%d were shared in the room that was made for a record", kept)
		}
	}
	for i := range n { // what is shared in the room that is left doesn't open the rest to others
		if e := r.Fresh(key(i), storeNoWall); e != nil {
			r.keep(e, &owner, "d", 1)
			break
		}
	}
	if kept := share(); kept > 1 {
		t.Errorf("%d were shared in the room that was made for a record", kept)
	}
	if r.write(big, true); share() == 0 && r.Bytes()+10_000 < r.limits.maxBytes {
		t.Error("nothing is shared though there is room")
	}
	storeCheck(t, r.Store)
}
