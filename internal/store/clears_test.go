package store

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/testkit"
)

// put sets a value with tags.
func (r *storeRig) put(key, val string, tags ...string) Outcome {
	packed, _ := delta.MakeTags(tags)
	return r.write(delta.Record{Key: key, Val: val, Tags: packed}, true)
}

// clear makes room, and clears.
func (r *storeRig) clear(by delta.Selector) {
	for r.ToClear.Make(by) {
	}
	r.write(delta.Record{Key: string(by), Kind: delta.KindClear}, true)
}

// late applies a write with a stamp of before.
func (r *storeRig) late(rec delta.Record, stamp uint64) Outcome {
	rec.Version = delta.Version{Stamp: stamp, Origin: 1}
	return r.Apply(r.now, &rec, false)
}

// Once a Clear is applied, nobody who begins to read is served what it selects, also while others clear the
// shard.
func TestReadersAfterClears(t *testing.T) {
	for name, get := range map[string]func(r *storeRig, key string) (string, bool){
		"get": func(r *storeRig, key string) (string, bool) { return r.Get(key, storeNoWall) },
		"fresh": func(r *storeRig, key string) (string, bool) {
			if e := r.Fresh(key, storeNoWall); e != nil {
				return e.Val, true
			}
			return "", false
		},
		"entry": func(r *storeRig, key string) (string, bool) {
			rec, ok := r.Entry(key, 0)
			return rec.Val, ok
		},
	} {
		t.Run(name, func(t *testing.T) {
			rounds := int64(testkit.Rounds(20_000))
			r := newStoreRig(Config{MaxKeys: 2000, Shards: 1})
			var cleared atomic.Int64
			var wg sync.WaitGroup
			wg.Go(func() {
				defer cleared.Store(rounds)
				for i := int64(1); i < rounds; i++ {
					r.put("k", fmt.Sprint(i), "t")
					r.clear(delta.SelectTag("t"))
					cleared.Store(i)
				}
			})
			for range 4 {
				wg.Go(func() {
					for {
						before := cleared.Load()
						if before == rounds {
							return
						}
						val, ok := get(r, "k")
						if n, _ := strconv.ParseInt(val, 10, 64); ok && n <= before {
							t.Errorf("%d is served after the Clear %d", n, before)
							return
						}
					}
				})
			}
			wg.Wait()
			storeCheck(t, r.Store)
		})
	}
}

// The same where a shard is cleared just after a reader has found what the Clear selects.
func TestReadersWhileAShardIsCleared(t *testing.T) {
	for name, get := range map[string]func(r *storeRig, wall func() int64) bool{
		"get":   func(r *storeRig, wall func() int64) bool { _, ok := r.Get("k", wall); return ok },
		"fresh": func(r *storeRig, wall func() int64) bool { return r.Fresh("k", wall) != nil },
	} {
		for _, provisional := range []bool{false, true} {
			r := newStoreRig(Config{MaxKeys: 2000, Shards: 1})
			tags, _ := delta.MakeTags([]string{"t"})
			rec := delta.Record{Key: "k", Val: "v", Tags: tags, Deadline: r.now.Wall + 50} // so near that the clock is asked
			if provisional {
				r.fill(rec, false)
			} else {
				r.write(rec, true)
			}
			r.clear(delta.SelectTag("t"))
			asked := false
			wall := func() int64 {
				if !asked { // it is between finding the entry and serving it
					asked = true
					r.sweep()
				}
				return r.now.Wall
			}
			if get(r, wall) || !asked {
				t.Errorf("%s, provisional %v: what a Clear had selected is served; the clock was asked: %v", name, provisional, asked)
			}
		}
	}
}

// What is selected goes, by whatever it is found: memory goes with the next sweep. Nothing else goes, also
// where thousands of tags are cleared at once, a prefix among them.
func TestClearsTakeWhatTheySelect(t *testing.T) {
	for name, tt := range map[string]struct {
		by   func(i int) delta.Selector
		keep string // beginning of the key of those that stay
	}{
		"tags":             {func(i int) delta.Selector { return delta.SelectTag(fmt.Sprint("t", i)) }, "u"},
		"tags, and a part": {func(i int) delta.Selector { return delta.SelectTag(fmt.Sprint("t", i%100)) }, "u"},
		"keys":             {func(i int) delta.Selector { return delta.SelectPrefix(fmt.Sprintf("t%05d", i)) }, "u"},
		"both": {func(i int) delta.Selector {
			if i == 200 {
				return delta.SelectPrefix("t")
			}
			return delta.SelectTag(fmt.Sprint("none", i))
		}, "u"},
	} {
		for most, n := range map[int]int{0: 5000, 1: 300, 7: 300} {
			r := newStoreRig(Config{MaxKeys: 1 << 20, Shards: 16, MaxClears: most})
			for i := range n {
				r.put(fmt.Sprintf("t%05d", i), "v", fmt.Sprint("t", i), "all")
				r.put(fmt.Sprintf("u%05d", i), "v", fmt.Sprint("u", i), "all")
			}
			bytes := r.Bytes()
			for i := range n {
				r.clear(tt.by(i))
			}
			gone := 0
			for i := range n {
				if !r.has(fmt.Sprintf("u%05d", i)) {
					t.Fatalf("%s, %d remembered: u%05d is gone", name, most, i)
				}
				if !r.has(fmt.Sprintf("t%05d", i)) {
					gone++
				}
			}
			want := n
			if name == "tags, and a part" {
				want = 100
			}
			if gone != want {
				t.Errorf("%s, %d remembered: %d are gone instead of %d", name, most, gone, want)
			}
			r.sweep()
			if left := r.Len(); left != 2*n-want {
				t.Errorf("%s, %d remembered: %d are left", name, most, left)
			}
			if want == n && r.Bytes() != bytes/2 {
				t.Errorf("%s: %d bytes of %d are left", name, r.Bytes(), bytes)
			}
			if got := r.Clears.Len(); got > maxClears || most > 0 && got > most {
				t.Errorf("%s: %d Clears are remembered, and the bound is %d", name, got, most)
			}
			storeCheck(t, r.Store)
		}
	}
}

// The bytes of what Clears select by have a bound too.
func TestClearsAreBoundedInBytes(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 10})
	for i := range 3000 {
		r.clear(delta.SelectPrefix(fmt.Sprintf("%04d%s", i, strings.Repeat("p", delta.MaxPrefixLen-4))))
		if r.Clears.bytes > maxClearBytes {
			t.Fatalf("%d bytes after %d", r.Clears.bytes, i)
		}
	}
	if n := len(r.Clears.prefixes); n != r.Clears.Len() || r.Clears.lengths[delta.MaxPrefixLen] != n {
		t.Errorf("%d prefixes of %d Clears, lengths %v", n, r.Clears.Len(), r.Clears.lengths)
	}
}

// What is late is refused, whether the Clear is remembered or not, and the floor stands for it: what is
// older than that doesn't come back either. What isn't selected is taken.
func TestLateAfterClears(t *testing.T) {
	tags := func(list ...string) delta.Tags {
		packed, _ := delta.MakeTags(list)
		return packed
	}
	for _, forgotten := range []bool{false, true} {
		for name, tt := range map[string]struct {
			by   delta.Selector
			held *delta.Record // before: an older record of the key that isn't selected
			late delta.Record
		}{
			"a tag":                     {delta.SelectTag("t"), nil, delta.Record{Key: "k", Val: "v", Tags: tags("t", "u")}},
			"a tag, an older one held":  {delta.SelectTag("t"), &delta.Record{Key: "k", Val: "old"}, delta.Record{Key: "k", Val: "v", Tags: tags("t")}},
			"a tag, deleted before":     {delta.SelectTag("t"), &delta.Record{Key: "k", Kind: delta.KindTombstone}, delta.Record{Key: "k", Val: "v", Tags: tags("t")}},
			"a tag, a negative":         {delta.SelectTag("t"), nil, delta.Record{Key: "k", Kind: delta.KindNegative, Tags: tags("t")}},
			"a prefix":                  {delta.SelectPrefix("k"), nil, delta.Record{Key: "kk", Val: "v"}},
			"a prefix, deleted before":  {delta.SelectPrefix("k"), &delta.Record{Key: "kk", Kind: delta.KindTombstone}, delta.Record{Key: "kk", Val: "v"}},
			"a prefix, and a tombstone": {delta.SelectPrefix("k"), nil, delta.Record{Key: "kk", Kind: delta.KindTombstone}},
		} {
			r := newStoreRig(Config{MaxKeys: 100, Shards: 1, MaxClears: 1, DeletionDelay: time.Hour})
			if tt.held != nil {
				r.write(*tt.held, false)
			}
			r.stamp += 10
			r.clear(tt.by)
			at := r.stamp
			r.sweep()
			if forgotten {
				r.clear(delta.SelectTag("other"))
			}
			if o := r.late(tt.late, at-5); o != outcomeCleared && o != outcomeRefused {
				t.Errorf("%s, forgotten %v: outcome %d", name, forgotten, o)
			}
			if rec, ok := r.Peek(tt.late.Key); ok {
				t.Errorf("%s, forgotten %v: %+v is held", name, forgotten, rec)
			}
			if floor := r.FloorOf(delta.BucketOf(tt.late.Key)); floor < at-5 {
				t.Errorf("%s, forgotten %v: the floor is %d", name, forgotten, floor)
			}
			if o := r.late(delta.Record{Key: tt.late.Key, Val: "older"}, at-6); o != outcomeRefused {
				t.Errorf("%s, forgotten %v: an older one has outcome %d", name, forgotten, o)
			}
			if o := r.late(tt.late, at+20); o != outcomeApplied {
				t.Errorf("%s, forgotten %v: a newer one has outcome %d", name, forgotten, o)
			}
		}
	}
}

// A Clear that comes again does nothing.
func TestClearAgain(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 100})
	r.put("a", "v", "t")
	x := Clear{Selector: delta.SelectTag("t"), Version: delta.Version{Stamp: r.stamp, Origin: 7}}
	told := 0
	r.Watch.Set(func(c Change) {
		if c.Kind == ChangeClear {
			told++
		}
	})
	for i := range 3 {
		if isNew := r.ApplyClear(x); isNew != (i == 0) {
			t.Errorf("time %d: new %v", i, isNew)
		}
		r.put("a", "w", "t")
		if !r.has("a") {
			t.Errorf("time %d: what is newer is gone", i)
		}
	}
	if told != 1 || r.Clears.Len() != 1 || r.Clears.Number() != 1 {
		t.Errorf("told %d times; %d are remembered", told, r.Clears.Len())
	}
}

// A fill knows of the Clears that came since it began, or shortly before if what it reads lags.
func TestClearsSelectedSince(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 100, MaxClears: 2})
	packed, _ := delta.MakeTags([]string{"t"})
	rec := &delta.Record{Key: "k", Tags: packed}
	at := func(ms int, by delta.Selector) {
		r.now = storeNow(time.Duration(ms) * time.Millisecond)
		r.clear(by)
	}
	at(10, delta.SelectTag("t"))
	at(20, delta.SelectTag("other"))
	for _, tt := range []struct {
		number uint64
		since  int
		want   bool
	}{{0, 100, true}, {1, 100, false}, {1, 11, false}, {1, 10, true}, {2, 100, false}, {2, 15, false}, {2, 10, true}} {
		since := storeNow(time.Duration(tt.since) * time.Millisecond).Mono
		if got := r.Clears.Selected(rec, tt.number, since); got != tt.want {
			t.Errorf("after %d, since %d ms: %v", tt.number, tt.since, got)
		}
	}
	at(30, delta.SelectTag("more")) // the first is forgotten: it may have been about anything
	if !r.Clears.Selected(rec, 0, storeNow(100*time.Millisecond).Mono) {
		t.Error("a fill that began before what is forgotten could pass")
	}
	if r.Clears.Selected(rec, 1, storeNow(100*time.Millisecond).Mono) {
		t.Error("what came later is remembered, and doesn't select it")
	}
}

// Where a tag was cleared many times before anybody looked, the greatest version counts for records, and the
// last Clear for provisional values.
func TestManyClearsOfOneTag(t *testing.T) {
	for _, by := range []delta.Selector{delta.SelectTag("t"), delta.SelectPrefix("k")} {
		r := newStoreRig(Config{MaxKeys: 100, Shards: 1})
		first := r.stamp
		r.stamp += 100
		r.put("k", "v", "t")
		tags, _ := delta.MakeTags([]string{"t"})
		for i := range 50 {
			if i == 45 {
				r.fill(delta.Record{Key: "k2", Val: "v", Tags: tags}, false)
			}
			v := delta.Version{Stamp: first + uint64(i), Origin: 2}
			if i == 20 {
				v.Stamp = r.stamp
			}
			if !r.ApplyClear(Clear{Selector: by, Version: v}) {
				t.Fatalf("the Clear %d isn't new", i)
			}
		}
		r.sweep()
		if r.Len() != 0 || r.has("k") || r.has("k2") {
			t.Errorf("after many Clears by %q there are %d entries", by, r.Len())
		}
		r.ToClear.step()
		if n := r.Clears.Len(); n != 1 {
			t.Errorf("%d Clears by %q are remembered, one stands for all", n, by)
		}
		storeCheck(t, r.Store)
	}
}

// A provisional value may be older than billions of Clears of other things: the next one that is about it
// still ends it.
func TestClearsOfLongAgo(t *testing.T) {
	tags, _ := delta.MakeTags([]string{"t"})
	rec := delta.Record{Key: "k", Val: "v", Tags: tags}
	for _, since := range []uint64{0, 1 << 30, 3 << 30, 5 << 32, 1 << 38} {
		for _, shared := range []bool{false, true} {
			r := newStoreRig(Config{MaxKeys: 100, Shards: 1})
			r.clear(delta.SelectTag("other"))
			if !r.fill(rec, false) {
				t.Fatal("it isn't kept")
			}
			if e := r.Fresh("k", storeNoWall); shared {
				if _, ok := r.keep(e, new(Owner), "decoded", 1); !ok {
					t.Fatal("it isn't shared")
				}
			}
			r.sweep()
			r.Clears.number.Add(since)
			r.table.at(0).clearance.by.Add(since)
			if !r.has("k") {
				t.Errorf("after %d more Clears, shared %v: it is gone", since, shared)
			}
			r.clear(delta.SelectTag("t"))
			if r.has("k") {
				t.Errorf("after %d more Clears, shared %v: one that selects it is ignored", since, shared)
			}
		}
	}
}

// The dots of a record are those of the last Clears that select it; of others, and of forgotten ones, none.
func TestDotsOfClears(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 100, MaxClears: 40})
	seq := uint64(0)
	clear := func(by delta.Selector) {
		for r.ToClear.Make(by) {
		}
		seq++
		r.stamp++
		x := Clear{Selector: by, Version: delta.Version{Stamp: r.stamp, Origin: 1}, Dot: delta.Dot{Origin: 1, Seq: seq}}
		r.ApplyClear(x)
	}
	tags, _ := delta.MakeTags([]string{"t", "u"})
	dots := func(key string, tags delta.Tags) (seqs []uint64) {
		for _, d := range r.Clears.Dots(&delta.Record{Key: key, Tags: tags}) {
			seqs = append(seqs, d.Seq)
		}
		return seqs
	}
	check := func(key string, tags delta.Tags, want ...uint64) {
		t.Helper()
		if got := dots(key, tags); !slices.Equal(got, want) {
			t.Errorf("of %q with tags %q: the dots %v, want %v", key, tags, got, want)
		}
	}
	clear(delta.SelectPrefix("long:prefix"))
	clear(delta.SelectTag("u"))
	clear(delta.SelectPrefix("k"))
	clear(delta.SelectTag("t"))
	check("long", "")
	check("other", "")
	check("long:prefix", "", 1)
	check("k1", "", 3)
	check("k1", tags, 4, 3, 2)
	check("x", tags, 4, 2)
	for range 10 {
		clear(delta.SelectTag("t"))
	}
	check("k1", tags, 14, 13, 12, 11, 10, 9, 8, 7)
	for i := range 40 {
		clear(delta.SelectTag(fmt.Sprint("v", i)))
	}
	check("k1", tags)
}

// Who lists what a shard holds clears it before: it doesn't compare each entry with each Clear.
func TestLiveClearsAShard(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 2000, Shards: 1})
	for i := range 1000 {
		r.put(fmt.Sprintf("k%03d", i), "v", "t"+fmt.Sprint(i%2))
	}
	r.clear(delta.SelectTag("t1"))
	r.clear(delta.SelectPrefix("k1"))
	if n := len(r.Live(0, r.now.Wall)); n != 450 || r.Len() != n {
		t.Errorf("%d values are listed, %d are held", n, r.Len())
	}
	if by := r.table.at(0).clearance.by.Load(); by != r.Clears.Number() {
		t.Errorf("the shard is cleared up to %d of %d", by, r.Clears.Number())
	}
}

// To make room for one more Clear takes many steps, none of which removes more than a batch: others wait
// for each.
func TestClearRoomGoesInSteps(t *testing.T) {
	const n, clears = 1000, 4
	r := newStoreRig(Config{MaxKeys: 4 * n, Shards: 4, MaxClears: clears})
	for i := range n {
		r.put(fmt.Sprintf("%d:%d", i%clears, i), "v")
	}
	for i := range clears {
		r.clear(delta.SelectPrefix(fmt.Sprintf("%d:", i)))
	}
	steps := 1
	for left := n; r.ToClear.Make(delta.SelectTag("t")); steps++ {
		if gone := left - r.Len(); gone > sweepBatch {
			t.Fatalf("the step %d removes %d entries", steps, gone)
		}
		left = r.Len()
	}
	if r.Len() != 0 || steps < n/sweepBatch || steps > n/sweepBatch+2*4+1 {
		t.Errorf("%d are left after %d steps", r.Len(), steps)
	}
	if got := r.Clears.Len(); got > clears*3/4 {
		t.Errorf("%d are remembered", got)
	}
}

// The first Clear after a number that is about a record is found, and all that is forgotten is.
func TestClearsFirst(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 10, MaxClears: 4})
	tags, _ := delta.MakeTags([]string{"t"})
	first := func(key string, tags delta.Tags, after, want uint64) {
		t.Helper()
		if got := r.Clears.First(&delta.Record{Key: key, Tags: tags}, after); got != want {
			t.Errorf("%s with tags %q after %d: %d, want %d", key, tags, after, got, want)
		}
	}
	first("k", tags, 0, 0)
	r.clear(delta.SelectTag("u"))
	r.clear(delta.SelectTag("t"))
	r.clear(delta.SelectPrefix("k"))
	r.clear(delta.SelectTag("t"))
	first("k", tags, 0, 2)
	first("k", tags, 2, 3)
	first("k", tags, 3, 4)
	first("k", tags, 4, 0)
	first("k", "", 0, 3)
	first("l", tags, 2, 4)
	first("l", "", 0, 0)
	r.clear(delta.SelectTag("u")) // the oldest make room
	gone := r.Clears.forgotten.number
	if gone == 0 {
		t.Fatal("nothing is forgotten")
	}
	first("l", "", gone-1, gone)
	first("l", "", gone, 0)
}

// Up to which stamp a key's records aren't taken, whatever their tags are.
func TestTakesAbove(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 10})
	takes := func(what, key string, want uint64) {
		t.Helper()
		if got := r.TakesAbove(key); got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	takes("nothing is known", "k1", 0)
	r.clear(delta.SelectPrefix("k"))
	prefix := r.Clears.Newest().Stamp
	takes("a Clear of its prefix", "k1", prefix)
	takes("of another one", "l1", 0)
	r.put("l1", "v", "t")
	held, _ := r.Peek("l1")
	r.clear(delta.SelectTag("t"))
	takes("held, and cleared", "l1", held.Stamp)
	takes("a tag's Clear is about what nobody knows", "k1", prefix)
	r.clear("")
	takes("a Clear of everything", "k1", r.Clears.All().Stamp)
}

// What many entries of a shard go by, readers neither remove nor wait for: they compare without the lock.
// A sweep removes it.
func TestReadersDontClearMuch(t *testing.T) {
	for name, by := range map[string]delta.Selector{"tag": delta.SelectTag("t1"), "prefix": delta.SelectPrefix("k1")} {
		r := newStoreRig(Config{MaxKeys: 2000, Shards: 1})
		for i := range 1000 {
			r.put(fmt.Sprintf("k%d-%d", i%2, i), "v", fmt.Sprint("t", i%2))
		}
		sh := r.table.at(0)
		reads := func() {
			t.Helper()
			for i := range 1000 {
				if _, ok := r.Get(fmt.Sprintf("k%d-%d", i%2, i), storeNoWall); ok != (i%2 == 0) {
					t.Fatalf("%s: entry %d is served: %v", name, i, ok)
				}
			}
		}
		for round := range numRecent {
			r.clear(by)
			sh.get(r.hash.Of("k0-0"), "k0-0", storeNoWall) // takes the lock, for whatever reason
			sh.mu.Lock()                                   // who takes it waits for ever
			reads()
			sh.mu.Unlock()
			if r.Len() != 1000 {
				t.Fatalf("%s, round %d: readers have removed %d entries", name, round, 1000-r.Len())
			}
		}
		for i := 0; r.Len() > 500; i++ { // more Clears than readers compare with
			if i == clearAfter {
				t.Fatalf("%s: %d entries are left", name, r.Len())
			}
			r.clear(by)
			reads()
		}
	}
}

// Clears that select nothing of a shard cost it no lock, or one look for many of them.
func TestReadersLookOnceForManyClears(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 2000, Shards: 1})
	r.put("k", "v", "t")
	sh := r.table.at(0)
	looks := 0
	for i := range 10 * (numRecent + 1) {
		r.clear(delta.SelectTag(fmt.Sprint("other", i)))
		behind := r.Clears.Number() - sh.clearance.by.Load()
		if behind <= numRecent {
			sh.mu.Lock() // who takes it waits for ever
		}
		if !r.has("k") {
			t.Fatal("it is gone")
		}
		if behind <= numRecent {
			sh.mu.Unlock()
			continue
		}
		looks++
		if by := sh.clearance.by.Load(); by != r.Clears.Number() {
			t.Fatalf("the shard is cleared up to %d of %d", by, r.Clears.Number())
		}
	}
	if looks != 10 {
		t.Errorf("%d looks, not 10", looks)
	}
}

// What a Get serves at once is what no Clear is about, and as a rule it is served at once.
func TestSpare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c Clears
		tags := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"})
		stamps := rapid.Uint64Range(1, 20)
		for range rapid.IntRange(0, 2*numRecent).Draw(t, "clears") {
			v := delta.Version{Stamp: stamps.Draw(t, "stamp"), Origin: rapid.Uint64().Draw(t, "origin")}
			switch rapid.IntRange(0, 9).Draw(t, "kind") {
			case 0:
				c.setAll(v)
			case 1:
				prefix := rapid.SampledFrom([]string{"k", "x"}).Draw(t, "prefix")
				c.add(Clear{Selector: delta.SelectPrefix(prefix), Version: v})
			case 2:
				c.Hide(rapid.Bool().Draw(t, "hide"))
			default:
				c.add(Clear{Selector: delta.SelectTag(tags.Draw(t, "tag")), Version: v})
			}
		}
		by := rapid.Uint64Range(0, c.Number()).Draw(t, "by")
		packed, _ := delta.MakeTags(rapid.SliceOfN(tags, 0, 3).Draw(t, "tags"))
		rec := delta.Record{Key: "key", Tags: packed, Version: delta.Version{Stamp: stamps.Draw(t, "at")}}
		e := newEntry(&rec, 0)
		switch rapid.IntRange(0, 3).Draw(t, "as") {
		case 0:
			e = newProvisional(&rec, 0, 0, 0, false)
		case 1:
			e = (&Sharing{Decoded: 1}).copyOf(e)
		}
		about := slices.ContainsFunc(c.after(by), func(x clearEvent) bool { return x.clears(e) })
		// Of a provisional value the epoch counts too.
		if (about || c.Hidden() || c.last.covers(e.Stamp) || e.isProvisional()) && c.recent.spare(e, by) {
			t.Fatalf("%+v is spared, and cleared by %+v", rec, c.after(by))
		}
	})
	var c Clears
	packed, _ := delta.MakeTags([]string{"mine"})
	e := newEntry(&delta.Record{Key: "k", Tags: packed, Version: delta.Version{Stamp: 1}}, 0)
	c.add(Clear{Selector: delta.SelectTag("mine"), Version: delta.Version{Stamp: 2}})
	for i := range uint64(2 * numRecent) {
		if c.recent.spare(e, 0) {
			t.Fatalf("what is cleared is spared after %d more Clears", i)
		}
		c.add(Clear{Selector: delta.SelectTag(fmt.Sprint("other", i)), Version: delta.Version{Stamp: i + 3}})
	}
	c = Clears{}
	spared := 0
	for i := range uint64(1000) {
		c.add(Clear{Selector: delta.SelectTag(fmt.Sprint("other", i)), Version: delta.Version{Stamp: i + 2}})
		packed, _ := delta.MakeTags([]string{fmt.Sprint("mine", i), "all"})
		if c.recent.spare(newEntry(&delta.Record{Key: "k", Tags: packed, Version: delta.Version{Stamp: 1}}, 0), i) {
			spared++
		}
	}
	if spared < 900 {
		t.Errorf("%d of 1000 are spared", spared)
	}
}

// Who compares without the lock doesn't know what came after the Clears that are listed for that.
func TestRecentClears(t *testing.T) {
	var r recentClears
	e := &Entry{Key: "k", Version: delta.Version{Stamp: 10}}
	for n := uint64(1); n <= 3*numRecent; n++ {
		by := delta.SelectPrefix("other")
		if n%5 == 0 {
			by = delta.SelectPrefix("k")
		}
		r.set(&clearEvent{Clear{Selector: by, Version: delta.Version{Stamp: 10 + n}}, n}, 0)
		for from := uint64(1); from <= n; from++ {
			clear, known := r.clear(e, from)
			if known != (n-from < numRecent) || known && clear != (n/5 > (from-1)/5) {
				t.Fatalf("from %d to %d: clear %v, known %v", from, n, clear, known)
			}
		}
	}
}

// Thousands of prefixes are sorted once, and not for each shard.
func TestManyPrefixesAreSortedOnce(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 10_000, Shards: 64})
	for i := range 5000 {
		r.put(fmt.Sprintf("%04d", i), "v")
	}
	for i := range maxClears {
		r.clear(delta.SelectPrefix(fmt.Sprintf("%04d", i)))
	}
	r.has("0000")
	first := r.Clears.sorted.last.Load()
	for i := range 5000 {
		if r.has(fmt.Sprintf("%04d", i)) != (i >= maxClears) {
			t.Fatalf("%04d", i)
		}
	}
	if d := r.Clears.sorted.last.Load(); d != first || d == nil {
		t.Error("they were sorted again")
	}
	r.clear(delta.SelectTag("t")) // makes room
	if d := r.Clears.sorted.last.Load(); d != nil {
		t.Error("what is forgotten is kept")
	}
}
