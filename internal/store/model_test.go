package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/keyhash"
	"pgregory.net/rapid"
)

func storeSameString(a, b string) bool {
	return len(a) == len(b) && unsafe.StringData(a) == unsafe.StringData(b)
}

// keys lists the keys, oldest first.
func (q *queue[K, V]) keys() []K {
	if q.lru == nil {
		return nil
	}
	return q.lru.Keys()
}

// storeOrder lists the entries of a shard as its order has them, and checks that order.
func storeOrder(t interface {
	Helper()
	Errorf(string, ...any)
}, sh *shard) (es []*Entry) {
	t.Helper()
	switch x := sh.entries.order.(type) {
	case *recency:
		for _, isProbation := range []bool{false, true} {
			for _, k := range x.queue(isProbation).keys() {
				i, _ := x.queue(isProbation).peek(k)
				e := x.index.find(i, k.key)
				if e == nil || e.inProbation() != isProbation || sh.tagOf(e) != i || lruKeyOf(e) != k {
					t.Errorf("%q is in the wrong queue, or has a wrong tag", k.key)
				}
				es = append(es, e)
			}
		}
	case *fifo:
		for queue := range x.rings {
			r := &x.rings[queue]
			n := 0
			for number := r.head; number != r.tail; number = next(number) {
				i := *r.cell(number)
				if i == 0 {
					continue
				}
				e := x.index.at(i, place(queue, number))
				if e == nil || e.queue() != queue || sh.tagOf(e) != i {
					t.Errorf("place %d of queue %d has %v", number, queue, e)
					continue
				}
				es = append(es, e)
				n++
			}
			if n != r.n || r.span() > len(r.cells) || r.n == 0 && r.span() != 0 || r.n > 0 && *r.cell(r.head) == 0 {
				t.Errorf("queue %d: %d entries, counted %d, %d of %d cells", queue, n, r.n, r.span(), len(r.cells))
			}
		}
	}
	return es
}

// storeInProbation tells whether an entry waits to be used.
func storeInProbation(sh *shard, e *Entry) bool {
	if _, ok := sh.entries.order.(*recency); ok {
		return e.inProbation()
	}
	return e.queue() != inMain
}

// storeCheck compares what a store says about itself with what it holds.
func storeCheck(t interface {
	Helper()
	Errorf(string, ...any)
}, s *Store) {
	t.Helper()
	var entries, probation, bytes, tombs, tombBytes int64
	seen := map[string]bool{}
	own := func(i int, key string) {
		if s.table.of(uint64(i)) != s.table.of(s.hash.Of(key)) || seen[key] {
			t.Errorf("%q is in the wrong place, or twice", key)
		}
		seen[key] = true
	}
	for i := range s.Shards() {
		sh := s.table.at(i)
		if sh == nil {
			continue
		}
		for i := range sh.entries.index.len() {
			sl := &(*sh.entries.index.slots.Load())[i]
			e := sl.e.Load()
			if e == nil && sl.word.Load() != 0 || e != nil && (sl.end() != s.ends.of(e.end()) || sl.tag() != sh.tagOf(e)) {
				t.Errorf("place %d has %x, its entry is %v", i, sl.word.Load(), e)
			}
		}
		es := storeOrder(t, sh)
		if n := len(es); n != sh.entries.index.n {
			t.Errorf("%d entries in order, %d in the index", n, sh.entries.index.n)
		}
		for _, e := range es {
			if !e.isProvisional() {
				own(i, e.Key)
			} else if rec := sh.entries.find(s.hash.Of(e.Key), e.Key); rec != nil &&
				!e.ofProvisional().beside && !sh.clearance.hidesLocked(&s.Clears, rec) {
				t.Errorf("%q has a record, and a provisional value that doesn't stand beside it", e.Key)
			}
			entries++
			bytes += e.cost()
			if storeInProbation(sh, e) {
				probation++
			}
			if d := e.end(); d != 0 && (sh.entries.nextExpiry == 0 || sh.entries.nextExpiry > d) {
				t.Errorf("end %d, hint %d", d, sh.entries.nextExpiry)
			}
			for tag := range e.tags().All() {
				if !slices.Contains(sh.entries.tagged.of(tag), e) {
					t.Errorf("%q isn't found by its tag %q", e.Key, tag)
				}
			}
			if e.Stamp <= sh.cleared && !e.isProvisional() {
				t.Errorf("%q is at %d, cleared up to %d", e.Key, e.Stamp, sh.cleared)
			}
		}
		for _, d := range sh.tombs.all() {
			own(i, d.key)
			tombs++
			tombBytes += int64(len(d.key))
		}
	}
	got := [...]int64{s.tally.entries.Load(), int64(s.policy.probation()), s.Bytes(), s.tombSums.count.Load(), s.tombSums.bytes.Load()}
	want := [...]int64{entries, probation, bytes, tombs, tombBytes}
	if got != want {
		t.Errorf("entries, in probation, bytes, tombstones, their bytes: counted %v, there are %v", got, want)
	}
	if entries > int64(s.limits.maxKeys) || s.limits.maxBytes > 0 && bytes > s.limits.maxBytes || tombs > int64(s.limits.maxTombstones) {
		t.Errorf("%d entries, %d bytes, %d tombstones: above %+v", entries, bytes, tombs, s.limits)
	}
}

// COVER: a version that was processed is held, or something greater is, or the
// floor or Clear stands for it. And what is served is the greatest of all.
func TestStoreCover(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Config{
			MaxKeys:       rapid.IntRange(1, 8).Draw(t, "maxKeys"),
			MaxBytes:      rapid.SampledFrom([]int64{0, 800, 2000}).Draw(t, "maxBytes"),
			DeletionDelay: 20 * time.Millisecond,
			MaxTombstones: rapid.IntRange(1, 4).Draw(t, "maxTombstones"),
			LRU:           rapid.Bool().Draw(t, "lru"),
			Shards:        rapid.SampledFrom([]int{1, 2, 16, 1 << 15}).Draw(t, "shards"),
			MaxClears:     rapid.IntRange(1, 4).Draw(t, "maxClears"),
			Seed:          rapid.Uint64().Draw(t, "seed"),
			Hash:          keyhash.Hash{Replay: rapid.Uint64Min(1).Draw(t, "hash")},
		}
		s := New(c)
		now := storeNow(0)
		processed := map[string]delta.Record{} // the greatest
		keys := rapid.SampledFrom(strings.Fields("a b c d e f g h i j k l"))
		tags := rapid.Custom(func(t *rapid.T) delta.Tags {
			all, _ := delta.MakeTags(rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"s", "t", "u"}), 0, 2, rapid.ID).Draw(t, "tags"))
			return all
		})
		selectors := rapid.SampledFrom([]delta.Selector{"", delta.SelectPrefix("a"), delta.SelectPrefix("b"), delta.SelectTag("s"), delta.SelectTag("t"), delta.SelectTag("none")})
		var clears []delta.Record
		cleared := func(rec *delta.Record) bool {
			return slices.ContainsFunc(clears, func(c delta.Record) bool {
				return rec.Stamp <= c.Stamp && c.Selector().Selects(rec.Key, rec.Tags)
			})
		}
		stamps := rapid.Uint64Range(0, 40)

		cover := func() {
			t.Helper()
			for key, rec := range processed {
				held, ok := s.Peek(key)
				if ok && !held.Less(rec.Version) || s.FloorOf(delta.BucketOf(key)) >= rec.Stamp || s.Clears.Covers(&rec) {
					continue
				}
				t.Fatalf("%s at %+v isn't covered; held: %+v %v", key, rec, held, ok)
			}
			storeCheck(t, s)
		}
		t.Repeat(map[string]func(*rapid.T){
			"apply": func(t *rapid.T) {
				rec := delta.Record{
					Key:     keys.Draw(t, "key"),
					Kind:    delta.Kind(rapid.SampledFrom([]int{0, 0, 0, 0, 1, 1, 3, 4, 9}).Draw(t, "kind")),
					Version: delta.Version{Stamp: delta.StampOf(now.Wall) + stamps.Draw(t, "stamp"), Origin: rapid.Uint64Range(1, 3).Draw(t, "origin")},
				}
				if rapid.Bool().Draw(t, "ttl") {
					rec.Deadline = now.Wall + rapid.Int64Range(-2, 30).Draw(t, "deadline")
					if rapid.Bool().Draw(t, "stale") {
						rec.StaleUntil = rec.Deadline + rapid.Int64Range(-1, 30).Draw(t, "stale for")
						rec.RefreshFrom = rec.Deadline - rapid.Int64Range(0, 10).Draw(t, "refresh ahead")
					}
				}
				if rec.Kind == delta.KindValue || rec.Kind == delta.KindNegative {
					rec.Tags = tags.Draw(t, "tags")
				}
				rec.Val = fmt.Sprint(rec.Stamp, rec.Origin, strings.Repeat("x", rapid.SampledFrom([]int{0, 300, 900}).Draw(t, "len")))
				admitted := s.Admits(&rec)
				_, wasHeld := s.Peek(rec.Key)
				if old := processed[rec.Key]; old.Version.Less(rec.Version) {
					processed[rec.Key] = rec
				}
				before := rec
				o := s.Apply(now, &rec, rapid.Bool().Draw(t, "local"))
				if rec != before {
					t.Fatalf("apply changed %+v into %+v", before, rec)
				}
				held, ok := s.Peek(rec.Key)
				// What was held may have had to make room for it, and then a floor that others have raised counts.
				victim := o == outcomeRefused && wasHeld && !ok && s.FloorOf(delta.BucketOf(rec.Key)) >= rec.Stamp
				if accepted := o != outcomeKept && o != outcomeRefused && o != outcomeCleared; accepted != admitted && !victim {
					t.Fatalf("outcome %d, admits %v", o, admitted)
				}
				if o == outcomeApplied && (!ok || held.Version != rec.Version) {
					t.Fatalf("applied, but %+v is held", held)
				}
			},
			"get": func(t *rapid.T) {
				key := keys.Draw(t, "key")
				rec, held := s.Peek(key)
				v, ok := s.Get(key, func() int64 { return now.Wall })
				if want := held && rec.Kind == delta.KindValue && !rec.Expired(now.Wall); ok != want || ok && v != rec.Val {
					t.Fatalf("%s: got %q %v, held: %+v", key, v, ok, rec)
				}
				if ok && rec.Version != processed[key].Version {
					t.Fatalf("%s is served at %+v after %+v", key, rec.Version, processed[key])
				}
				if ok && cleared(&rec) {
					t.Fatalf("%+v is served after %+v", rec, clears)
				}
			},
			"fresh": func(t *rapid.T) {
				key := keys.Draw(t, "key")
				rec, held := s.Peek(key)
				e := s.Fresh(key, func() int64 { return now.Wall })
				due := rec.RefreshFrom != 0 && now.Wall >= rec.RefreshFrom
				if want := held && rec.Kind == delta.KindValue && !rec.Expired(now.Wall) && !due; (e != nil) != want || want && e.Val != rec.Val {
					t.Fatalf("%s: got %+v, held: %+v", key, e, rec)
				}
			},
			"entry": func(t *rapid.T) {
				key := keys.Draw(t, "key")
				rec, held := s.Peek(key)
				held = held && rec.Kind != delta.KindTombstone && !rec.Ended(now.Wall)
				if got, ok := s.Entry(key, now.Wall); ok != held || ok && got != rec {
					t.Fatalf("%s: got %+v %v, held: %+v", key, got, ok, rec)
				}
			},
			"pass": func(t *rapid.T) {
				d := rapid.Int64Range(0, 20).Draw(t, "ms")
				now.Mono += time.Duration(d) * time.Millisecond
				now.Wall += d - rapid.Int64Range(0, 5).Draw(t, "back") // the wall clock jumps
			},
			"sweep": func(t *rapid.T) {
				for i := range s.Shards() {
					s.Sweeper.Sweep(now, i)
				}
				for i := range s.Shards() {
					sh := s.table.at(i)
					if sh == nil {
						continue
					}
					for _, e := range sh.entries.all() {
						if rec := e.record(); rec.Ended(now.Wall) || cleared(&rec) {
							t.Fatalf("%+v is left", rec)
						}
					}
				}
			},
			"floor": func(t *rapid.T) {
				s.RaiseFloor(delta.BucketOf(keys.Draw(t, "key")), delta.StampOf(now.Wall)+stamps.Draw(t, "stamp"))
			},
			"clear": func(t *rapid.T) {
				v := delta.Version{Stamp: delta.StampOf(now.Wall) + stamps.Draw(t, "stamp"), Origin: 1}
				before := s.Clears.All()
				sel := selectors.Draw(t, "selector")
				x := delta.Record{Key: string(sel), Kind: delta.KindClear, Version: v}
				clears = append(clears, x)
				for s.ToClear.Make(sel) {
				}
				s.Apply(now, &x, true)
				if after := s.Clears.All(); sel == "" && after.Less(v) || after.Less(before) {
					t.Fatalf("Clear is %+v after %+v and %+v", after, before, v)
				}
			},
			"forget Clears": func(t *rapid.T) {
				for range rapid.IntRange(1, 3).Draw(t, "steps") {
					s.ToClear.step()
				}
			},
			"": func(*rapid.T) { cover() },
		})
	})
}

// The same calls with the same seed lead to the same state.
func TestStoreIsDeterministic(t *testing.T) {
	run := func(lru bool) string {
		r := newStoreRig(Config{
			MaxKeys: 300, Shards: 4, MaxTombstones: 50, LRU: lru, Seed: 7, Hash: keyhash.Hash{Replay: 7},
		})
		for i := range 5000 {
			key := fmt.Sprint(i * 7919 % 1000)
			switch {
			case r.has(key):
			case i%3 == 0:
				r.remote(key, "v")
			case i%17 == 0:
				r.del(key)
			default:
				r.setTTL(key, "v", time.Second)
			}
			if r.pass(time.Millisecond); i%500 == 0 {
				r.sweep()
			}
		}
		var held []string
		for i := range r.Shards() {
			if sh := r.table.at(i); sh != nil {
				for _, e := range storeOrder(t, sh) {
					held = append(held, e.Key)
				}
				for _, d := range sh.tombs.all() {
					held = append(held, "-"+d.key)
				}
			}
		}
		return fmt.Sprint(held, r.Stats())
	}
	for _, lru := range []bool{false, true} {
		if a, b := run(lru), run(lru); a != b {
			t.Errorf("%s\n%s", a, b)
		}
	}
}

// Up to 1,024 keys, and without remote writes, the policy LRU is golang-lru.
func TestStoreIsExactLRU(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		maxKeys := rapid.SampledFrom([]int{1, 2, 3, 10, 31, 100, 1024}).Draw(t, "maxKeys")
		r := newStoreRig(Config{MaxKeys: maxKeys, LRU: true})
		model, _ := simplelru.NewLRU[string, string](maxKeys, nil)
		key := rapid.Custom(func(t *rapid.T) string {
			return fmt.Sprint(rapid.IntRange(0, 2*maxKeys).Draw(t, "key"))
		})
		for i := range maxKeys {
			r.set(fmt.Sprint(i), "")
			model.Add(fmt.Sprint(i), "")
		}
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				k, v := key.Draw(t, "key"), rapid.StringN(0, 5, -1).Draw(t, "val")
				r.set(k, v)
				model.Add(k, v)
			},
			"get": func(t *rapid.T) {
				k := key.Draw(t, "key")
				v, ok := r.Get(k, storeNoWall)
				if w, want := model.Get(k); v != w || ok != want {
					t.Fatalf("%s: got %q %v, want %q %v", k, v, ok, w, want)
				}
			},
			"peek": func(t *rapid.T) { r.Peek(key.Draw(t, "key")) },
			"delete": func(t *rapid.T) {
				k := key.Draw(t, "key")
				r.del(k)
				model.Remove(k)
			},
			"": func(t *rapid.T) {
				var got []string
				if sh := r.table.at(0); sh != nil {
					for _, e := range storeOrder(t, sh) {
						got = append(got, e.Key)
					}
				}
				if want := model.Keys(); !slices.Equal(got, want) {
					t.Fatalf("got %v, want %v", got, want)
				}
			},
		})
	})
}

// What was read again and again before the first insert stays, although nothing told by then
// which was used last: when its turn comes it goes round instead. All ways to read are uses.
func TestStoreSecondChance(t *testing.T) {
	const maxKeys, kept = 1000, 20
	for name, get := range map[string]func(*Store, string) bool{
		"get":   func(s *Store, key string) bool { _, ok := s.Get(key, storeNoWall); return ok },
		"fresh": func(s *Store, key string) bool { return s.Fresh(key, storeNoWall) != nil },
		"entry": func(s *Store, key string) bool { _, ok := s.Entry(key, 0); return ok },
	} {
		for _, lru := range []bool{false, true} {
			r := newStoreRig(Config{MaxKeys: maxKeys, Shards: 2, LRU: lru})
			for i := range maxKeys {
				r.set(fmt.Sprint(i), "")
			}
			read := func(from, to int) {
				for i := from; i < to; i++ {
					if !get(r.Store, fmt.Sprint(i)) && i >= maxKeys-kept {
						t.Fatalf("%s, LRU %v: %d is gone, which was read after all others", name, lru, i)
					}
				}
			}
			read(0, maxKeys) // the last ones don't move: they were near the front
			for i := range 2 * maxKeys {
				read(maxKeys-kept, maxKeys)
				r.set(fmt.Sprint(maxKeys+i), "")
			}
			storeCheck(t, r.Store)
		}
	}
}
