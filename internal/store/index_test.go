package store

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/keyhash"
	"pgregory.net/rapid"
)

// Whatever is put and removed, the index finds what a map has. Few homes, so that searches are
// long and go around the end, and keys that share a tag.
func TestIndexLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x index
		model := map[string]*Entry{}
		letters := rapid.StringOfN(rapid.RuneFrom([]rune("abcdefg")), 3, 3, -1)
		key := func(t *rapid.T) string { return letters.Draw(t, "key") }
		tagOfKey := func(key string) tag { return tag(key[0]-'a')<<29 | tag(key[1]-'a') | 1 }
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				k := key(t)
				e := &Entry{Key: k, deadline: rapid.Int64Range(0, 2).Draw(t, "end")}
				x.put(tagOfKey(k), model[k], e, uint32(e.deadline))
				model[k] = e
			},
			"remove": func(t *rapid.T) {
				if k := key(t); model[k] != nil {
					x.remove(tagOfKey(k), model[k])
					delete(model, k)
				}
			},
			"trim": func(*rapid.T) { x.trim() },
			"": func(t *rapid.T) {
				n := 0
				for e, i := range x.all {
					if n++; model[e.Key] != e || i != tagOfKey(e.Key) {
						t.Fatalf("%q yields another entry, or another tag: %x", e.Key, i)
					}
				}
				if n != len(model) || x.n != n {
					t.Fatalf("%d entries, it says %d, want %d", n, x.n, len(model))
				}
				for a := 'a'; a <= 'g'; a++ {
					for b := 'a'; b <= 'g'; b++ {
						for c := 'a'; c <= 'g'; c++ {
							k := string([]rune{a, b, c})
							if e := x.find(tagOfKey(k), k); e != model[k] {
								t.Fatalf("%s: found %p, want %p", k, e, model[k])
							}
							if model[k] != nil && x.first(tagOfKey(k)) == nil {
								t.Fatalf("%s: nothing has its tag", k)
							}
						}
					}
				}
				for i := range x.len() {
					s := &(*x.slots.Load())[i]
					if e := s.e.Load(); e == nil && s.word.Load() != 0 || e != nil && int64(s.end()) != e.deadline {
						t.Fatalf("place %d ends at %d, its entry is %v", i, s.end(), e)
					}
				}
				if n := x.len(); n > 4*minSlots && len(model)*8 < n || len(model)*4 > n*3 {
					t.Fatalf("%d slots for %d entries", n, len(model))
				}
			},
		})
	})
}

// Without the lock, what is found of a key is its entry, and what stays where it is is nearly always
// found.
func TestIndexConcurrently(t *testing.T) {
	var x index
	tagOfNumber := func(i uint64) tag { return tagOf(i * 0x9e3779b97f4a7c15) }
	const stay = 1000 // even numbers stay, odd ones come and go between them
	for i := range uint64(stay) {
		x.put(tagOfNumber(2*i), nil, &Entry{Key: fmt.Sprint(2 * i)}, 0)
	}
	var stop atomic.Bool
	var looks, missed atomic.Int64
	var wg sync.WaitGroup
	for r := range uint64(2) {
		wg.Go(func() {
			for i := r; !stop.Load(); i = (i + 7) % stay {
				looks.Add(1)
				want := fmt.Sprint(2 * i)
				switch e := x.find(tagOfNumber(2*i), want); {
				case e == nil:
					missed.Add(1)
				case e.Key != want:
					t.Errorf("found %q, not %q", e.Key, want)
				}
			}
		})
	}
	odd := make([]*Entry, stay)
	for range 50 {
		for i := range uint64(stay) {
			odd[i] = &Entry{Key: fmt.Sprint(2*i + 1)}
			x.put(tagOfNumber(2*i+1), nil, odd[i], 0)
		}
		for i := range uint64(stay) {
			x.remove(tagOfNumber(2*(i*7%stay)+1), odd[i*7%stay])
		}
	}
	stop.Store(true)
	wg.Wait()
	if l, m := looks.Load(), missed.Load(); m*10 > l {
		t.Errorf("%d of %d looks missed", m, l)
	}
}

// If a reader without the lock misses what is there, because it moves, it knows that it may have.
func TestIndexKnowsWhatItMisses(t *testing.T) {
	const before, enough = 50, 100
	var x index
	var there atomic.Int64 // odd: the key is there, and what lies before it is being removed
	var stop atomic.Bool
	var missed, wrong atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		for !stop.Load() {
			was, moves := there.Load(), x.moves.Load()
			if x.find(1, "key") != nil {
				continue
			}
			still := x.still(moves)
			if was%2 == 1 && there.Load() == was {
				if missed.Add(1); still {
					wrong.Add(1)
				}
			}
		}
	})
	e, others := &Entry{Key: "key"}, [before]*Entry{}
	limit := time.Minute
	if runtime.GOMAXPROCS(0) == 1 {
		limit = 5 * time.Second // one of the two is seldom stopped where the other can tell
	}
	for start := time.Now(); missed.Load() < enough && time.Since(start) < limit; {
		for i := range others { // all have one home
			others[i] = &Entry{Key: fmt.Sprint(i)}
			x.put(tag(2+i), nil, others[i], 0)
		}
		x.put(1, nil, e, 0)
		there.Add(1)
		for i := range others {
			x.remove(tag(2+i), others[i])
		}
		there.Add(1)
		x.remove(1, e)
	}
	stop.Store(true)
	wg.Wait()
	if wrong.Load() != 0 {
		t.Errorf("of %d entries that were missed %d were taken for absent", missed.Load(), wrong.Load())
	}
	if missed.Load() == 0 {
		t.Skipf("nothing was missed in %v: there is no second processor for the reader", limit)
	}
}

// Whatever is removed is noticed by who searched meanwhile; what comes in moves nothing.
func TestIndexCountsMoves(t *testing.T) {
	var x index
	entries := [100]*Entry{}
	for i := range entries {
		moves := x.moves.Load()
		entries[i] = &Entry{Key: fmt.Sprint(i)}
		if x.put(tag(1+i), nil, entries[i], 0); !x.still(moves) {
			t.Fatalf("a search while %d came in isn't trusted", i)
		}
	}
	for i, e := range entries {
		moves := x.moves.Load()
		if x.remove(tag(1+i), e); x.still(moves) || !x.still(x.moves.Load()) || x.still(x.moves.Load()|1) {
			t.Fatalf("a search while %d was removed is trusted, or one after that isn't", i)
		}
	}
}

// sameHash returns a string of 16 bytes, other than key, which has 16, of the same xxHash64: its
// first half is taken anywhere, and the second one such that the state after it is the same (the
// rounds can be inverted).
func sameHash(key string, first uint64) string {
	const p1, p2, p3, p4, p5 = 11400714785074694791, 14029467366897019727, 1609587929392839161, 9650029242287828579, 2870177450012600261
	round := func(v uint64) uint64 { v *= p2; return bits.RotateLeft64(v, 31) * p1 } // of an empty accumulator
	half := func(h, v uint64) uint64 { return bits.RotateLeft64(h^round(v), 27)*p1 + p4 }
	inverse := func(v uint64) uint64 { // modulo 2^64, by Newton's method
		x := v
		for range 6 {
			x *= 2 - v*x
		}
		return x
	}
	start := uint64(p5 + 16)
	a, b := binary.LittleEndian.Uint64([]byte(key)), binary.LittleEndian.Uint64([]byte(key[8:]))
	want := half(start, a) ^ round(b)
	second := bits.RotateLeft64((want^half(start, first))*inverse(p1), -31) * inverse(p2)
	other := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, first), second)
	return string(other)
}

// Two keys of one hash live side by side, and none has the other's value. Only with a hash that isn't
// secret are there such keys.
func TestStoreSameHash(t *testing.T) {
	a := "sixteen bytes..."
	b := sameHash(a, 4711)
	if a == b || xxhash.Sum64String(a) != xxhash.Sum64String(b) {
		t.Fatalf("%q and %q have the hashes %x and %x", a, b, xxhash.Sum64String(a), xxhash.Sum64String(b))
	}
	for i := range 4 {
		ttl, lru := i%2 == 0, i/2 == 0
		r := newStoreRig(Config{MaxKeys: 10, LRU: lru, Hash: keyhash.Hash{Replay: 1}})
		wall := func() int64 { return r.now.Wall }
		put := func(key string, local bool) {
			rec := delta.Record{Key: key, Val: "of " + key}
			if ttl {
				rec.Deadline = r.now.Wall + 1000
			}
			r.write(rec, local)
		}
		for i, key := range []string{a, b, b, a, b} {
			put(key, i%2 == 0)
			if v, ok := r.Get(key, wall); !ok || v != "of "+key {
				t.Errorf("%d: got %q %v", i, v, ok)
			}
			storeCheck(t, r.Store)
		}
		if n := r.Stats().Evictions; n != 0 || r.Len() != 2 {
			t.Errorf("%d evictions, %d entries", n, r.Len())
		}
		// A tombstone isn't in the index.
		r.del(a)
		if v, ok := r.Get(b, wall); !ok || v != "of "+b {
			t.Errorf("the tombstone of another key of that hash: got %q %v", v, ok)
		}
		r.del(b)
		storeCheck(t, r.Store)
		if r.Len() != 0 || r.Tombstones() != 2 {
			t.Errorf("%d entries and %d tombstones are left, want 0 and 2", r.Len(), r.Tombstones())
		}
	}
}

// A miss takes no lock, unless something is being removed.
func TestMissTakesNoLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newStoreRig(Config{MaxKeys: 1000})
		r.set("there", "v")
		sh := r.table.at(0)
		locked := make(chan struct{})
		defer close(locked)
		r.Watch.Set(func(Change) { <-locked }) // under the shard's lock
		go r.set("other", "v")
		synctest.Wait()
		if _, ok := r.Get("none", storeNoWall); ok || r.counters.misses.Load() != 1 {
			t.Errorf("%d misses are counted, want 1", r.counters.misses.Load())
		}
		if x := &sh.entries.index; !x.still(x.moves.Load()) || x.still(x.moves.Load()+2) || x.still(x.moves.Load()|1) {
			t.Error("whether something moved isn't known")
		}
	})
}

// A record and the provisional value of its key have the same key. While one of them moves, a reader without the
// lock may come upon the other one's place.
func TestReadersTellTwinsApart(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 10})
	f := r.Fills.Open("k", r.now)
	r.Fills.Begin(&f)
	r.Fills.Keep(r.now, r.Epochs.Now(), &delta.Record{Key: "k", Val: "provisional"}, &f, true)
	r.Fills.End(&f)
	r.Epochs.next() // it isn't to be served any more
	hash := r.hash.Of("k")
	sh := r.table.of(hash)
	p := sh.entries.find(twin(hash), "k")
	if p == nil {
		t.Fatal("there is no provisional value")
	}
	sh.entries.index.put(tagOf(hash), nil, p, 0) // as for a moment in remove
	sh.entries.index.moves.Add(1)
	if e := sh.entries.recordOf(hash, "k"); e != nil {
		t.Errorf("the provisional value is taken for the record: %+v", e)
	}
}
