package store

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/iwanbk/bcache/internal/delta"
)

// What becomes of a key is remembered, whatever that is, and when.
func TestDecisions(t *testing.T) {
	const key = "k"
	// at applies a record with a version that is so much above that of the last write.
	at := func(r *storeRig, kind delta.Kind, above int) {
		v := delta.Version{Stamp: r.stamp + uint64(above), Origin: 1}
		r.Apply(r.now, &delta.Record{Key: key, Kind: kind, Version: v}, false)
	}
	giveUp := func(r *storeRig, above int) {
		r.GiveUp(r.now, key, delta.Version{Stamp: r.stamp + uint64(above), Origin: 1})
	}
	wall := func(r *storeRig) int64 { return r.now.Wall }
	for name, tt := range map[string]struct {
		kind   DecisionKind // 0: nothing is decided
		above  int          // by so much its stamp is above that of the last write
		twin   bool
		before func(r *storeRig)
		decide func(r *storeRig)
	}{
		"applied":         {decide: func(r *storeRig) { r.set(key, "v") }},
		"applied, remote": {decide: func(r *storeRig) { r.remote(key, "v") }},
		"replaced":        {before: hold, decide: func(r *storeRig) { r.replaceBy(key, "w") }},
		"deleted":         {before: hold, decide: func(r *storeRig) { r.del(key) }},
		"not given up":    {before: hold, decide: func(r *storeRig) { giveUp(r, 0) }},
		"once more":       {before: hold, decide: func(r *storeRig) { at(r, 0, 0) }},

		"a sweep": {kind: DecisionExpired, before: hold, decide: func(r *storeRig) { r.sweep() }},
		"a Get":   {kind: DecisionExpired, before: hold, decide: func(r *storeRig) { r.has(key) }},
		"an Entry": {kind: DecisionExpired, before: hold,
			decide: func(r *storeRig) { r.Entry(key, wall(r)) }},
		"expired": {kind: DecisionExpired, before: hold, decide: func(r *storeRig) { r.setTTL(key, "v", -1) }},
		"expired, in its place": {kind: DecisionExpired, before: hold,
			decide: func(r *storeRig) { r.local(&delta.Record{Key: key, Deadline: 1}) }},
		"too big": {kind: DecisionTooBig, before: hold,
			decide: func(r *storeRig) { r.local(&delta.Record{Key: key, Val: strings.Repeat("v", 9999)}) }},

		"an older write": {kind: DecisionOlder, above: -1, before: hold,
			decide: func(r *storeRig) { at(r, 0, -1) }},
		"older than a tombstone": {kind: DecisionOlder, above: -1,
			before: func(r *storeRig) { r.del(key) }, decide: func(r *storeRig) { at(r, 0, -1) }},
		"a floor": {kind: DecisionRefusedFloor, above: 1,
			before: func(r *storeRig) { r.RaiseFloor(delta.BucketOf(key), r.stamp+9) },
			decide: func(r *storeRig) { at(r, 0, 1) }},
		"Clear": {kind: DecisionRefusedClear, above: 1,
			before: func(r *storeRig) { r.ApplyClear(Clear{Version: delta.Version{Stamp: r.stamp + 9}}) },
			decide: func(r *storeRig) { at(r, 0, 1) }},
		"a fill": {kind: DecisionFillRefused,
			decide: func(r *storeRig) { r.Fills.Refuse(r.now, key, DecisionFillRefused, r.stamp) }},

		"a forget": {kind: DecisionForgotten, above: 1, before: hold,
			decide: func(r *storeRig) { at(r, delta.KindForget, 1) }},
		"given up": {kind: DecisionForgotten, before: hold, decide: func(r *storeRig) { giveUp(r, 1) }},
		"a full sync": {kind: DecisionForgotten, before: hold,
			decide: func(r *storeRig) { r.Sync.DropUnstreamed(r.now, 1, 0, NewKeySet(), r.allFloors()) }},
		"nobody vouches for it": {kind: DecisionForgotten, above: 1,
			before: func(r *storeRig) { r.set(key, "v"); r.remark(key) },
			decide: func(r *storeRig) { r.Sync.Vouch(r.now, 8) }},

		"a write": {kind: DecisionOverwritten, twin: true, before: keepOne,
			decide: func(r *storeRig) { r.del(key) }},
		"a replacement": {kind: DecisionOverwritten, twin: true,
			before: func(r *storeRig) { r.set(key, "v"); r.keepBeside(key, "w") },
			decide: func(r *storeRig) { r.replaceBy(key, "w") }},
		"a write that isn't applied": {kind: DecisionOverwritten, twin: true, before: keepOne,
			decide: func(r *storeRig) { giveUp(r, 1) }},
		"a provisional one expires": {kind: DecisionExpired, twin: true, before: keepOne,
			decide: func(r *storeRig) { r.has(key) }},
	} {
		r := newStoreRig(Config{MaxKeys: 2, MaxBytes: 2000})
		r.set("other", "v")
		r.TouchAll() // another epoch than the first one
		if tt.before != nil {
			tt.before(r)
		}
		r.pass(time.Hour)
		tt.decide(r)
		want := Decision{Kind: tt.kind, Provisional: tt.twin, Wall: r.now.Wall}
		if !tt.twin {
			want.Stamp = r.stamp + uint64(tt.above)
		}
		got := r.Inspect(key).Decisions
		if tt.kind == 0 && len(got) > 0 || tt.kind != 0 && !slices.Equal(got, []Decision{want}) {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

func TestDecisionsOfEvictions(t *testing.T) {
	for _, lru := range []bool{false, true} {
		r := newStoreRig(Config{MaxKeys: 2, LRU: lru})
		r.set("k", "v")
		stamp := r.stamp
		keepOne(r)
		r.keepBeside("k", "w")
		r.pass(time.Second)
		for i := range 5 { // both go, and what goes after them doesn't take their places
			r.set(fmt.Sprint(i), "v")
		}
		got := r.Inspect("k").Decisions
		slices.SortFunc(got, func(a, b Decision) int { return int(b.Stamp) - int(a.Stamp) })
		want := []Decision{{DecisionEvicted, false, stamp, r.now.Wall}, {DecisionEvicted, true, 0, r.now.Wall}}
		if !slices.Equal(got, want) {
			t.Errorf("LRU %v: %+v, want %+v", lru, got, want)
		}
	}
}

// hold has a key held for a minute.
func hold(r *storeRig) { r.setTTL("k", "v", time.Minute) }

// keepOne has a provisional value kept for a minute.
func keepOne(r *storeRig) { r.keepFill("k", "v", time.Minute) }

// keepBeside keeps one beside what is held.
func (r *storeRig) keepBeside(key, val string) {
	r.Fills.Keep(r.now, r.Epochs.Now(), &delta.Record{Key: key, Val: val}, nil, true)
}

// local writes as a local node does, of what it can't replace.
func (r *storeRig) local(rec *delta.Record) {
	for _, apply := range []bool{false, true} {
		r.stamp++
		rec.Version = delta.Version{Stamp: r.stamp, Origin: 1}
		if at := r.Approach(rec); apply {
			r.ApplyAt(r.now, rec, true, at)
		} else if r.Replace(r.now, rec, at) {
			panic("it was replaced")
		}
	}
}

// A shard remembers its last 8 of each of the two sorts, in memory that it takes with the first one.
func TestDecisionsAreBounded(t *testing.T) {
	if size := unsafe.Sizeof(decision{}); size > 24 {
		t.Errorf("one takes %d bytes", size)
	}
	r := newStoreRig(Config{MaxKeys: 99})
	r.set("k", "v")
	sh := r.table.at(0)
	if sh.decisions.rings != nil {
		t.Error("without decisions there is memory for them")
	}
	for _, next := range []uint32{0, 1<<32 - 5} { // it may wrap
		sh.decisions = decisions{rings: &[2]decisionRing{{next: next}, {next: next}}}
		for i := range uint64(50) {
			r.Fills.Refuse(r.now, "k", DecisionFillRefused, i)
			r.Fills.Refuse(r.now, "other", DecisionOfferRefused, i)
			got := r.Inspect("k").Decisions
			if len(got) != int(min(i+1, decisionsKept/4)) {
				t.Fatalf("after %d there are %d", i+1, len(got))
			}
			for j, d := range got {
				if d.Kind != DecisionFillRefused || d.Stamp != i-uint64(j) {
					t.Fatalf("after %d they are %v", i+1, got)
				}
			}
		}
	}
	again := func() { r.Fills.Refuse(r.now, "k", DecisionFillRefused, 1) }
	if n := testing.AllocsPerRun(100, again); n != 0 {
		t.Errorf("to remember one takes %v allocations", n)
	}
	r.Close()
	again()
	if got := r.Inspect("k"); got.Decisions != nil || got.Held {
		t.Errorf("after Close: %+v", got)
	}
}

// However much is evicted: what is rare stays, and all are in order.
func TestEvictionsLeaveRoomForOtherDecisions(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 9})
	r.Fills.Refuse(r.now, "k", DecisionFillRefused, 1)
	for i := range 200 {
		r.now.Wall++
		r.set(fmt.Sprint("other", i), "v")
	}
	r.set("k", "v")
	for i := range 12 {
		r.now.Wall++
		r.set(fmt.Sprint("another", i), "v")
	}
	var kinds []DecisionKind
	for _, d := range r.Inspect("k").Decisions {
		kinds = append(kinds, d.Kind)
	}
	if want := []DecisionKind{DecisionEvicted, DecisionFillRefused}; !slices.Equal(kinds, want) {
		t.Errorf("got %v, want %v", kinds, want)
	}
}

func TestInspect(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 9})
	if got := r.Inspect("k"); got.Held || got.IsProvisional || got.Fills != 0 || got.Floor != 0 ||
		got.Clear != (delta.Version{}) || got.Decisions != nil {
		t.Errorf("of an empty store: %+v", got)
	}
	is := func(what string, held delta.Record, cleared bool, provisional string, beside bool) {
		t.Helper()
		in := r.Inspect("k")
		if in.Held != (held.Key != "") || in.Record != held || in.Cleared != cleared {
			t.Errorf("%s: %+v is held, cleared is %v", what, in.Record, in.Cleared)
		}
		p := in.Provisional
		if in.IsProvisional != (provisional != "") || p.Provisional != in.IsProvisional ||
			p.Val != provisional || p.Version != (delta.Version{}) || in.Beside != beside {
			t.Errorf("%s: %+v is provisional, beside is %v", what, p, in.Beside)
		}
	}
	r.RaiseFloor(delta.BucketOf("k"), 77)
	if got := r.Inspect("k"); got.Floor != 77 {
		t.Errorf("the floor is %d", got.Floor)
	}

	r.setTTL("k", "value", time.Minute)
	rec := delta.Record{Key: "k", Val: "value", Version: delta.Version{Stamp: r.stamp, Origin: 1}}
	rec.Deadline = r.now.Wall + time.Minute.Milliseconds()
	is("a value", rec, false, "", false)
	held := r.Sharer.Holder("k", "value").Val
	if in := r.Inspect("k"); unsafe.StringData(in.Record.Val) != unsafe.StringData(held) {
		t.Error("the value was copied")
	}
	f := r.Fills.Open("k", r.now)
	r.Fills.Begin(&f)
	r.Fills.Keep(r.now, r.Epochs.Now(), &delta.Record{Key: "k", Val: "beside"}, &f, true)
	is("one beside it", rec, false, "beside", true)
	r.pass(time.Hour)
	is("it has expired", rec, false, "beside", true)

	r.del("k")
	rec = delta.Record{Key: "k", Kind: delta.KindTombstone}
	rec.Version = delta.Version{Stamp: r.stamp, Origin: 1}
	is("a tombstone", rec, false, "", false)
	r.keepFill("k", "alone", 0)
	is("a provisional value", rec, false, "alone", false)
	r.stamp++
	clear := delta.Version{Stamp: r.stamp, Origin: 3}
	r.ApplyClear(Clear{Version: clear})
	is("Clear", rec, true, "", false)
	if in := r.Inspect("k"); in.Clear != clear {
		t.Errorf("Clear is %v", in.Clear)
	}
	r.sweep()
	is("a sweep", delta.Record{}, false, "", false)

	other := OpenFill{Key: "other", hash: f.hash} // whose hash is the same
	r.Fills.Begin(&other)
	g := r.Fills.Open("k", r.now)
	r.Fills.Begin(&g)
	for _, want := range []int{2, 1, 0} {
		if in := r.Inspect("k"); in.Fills != want {
			t.Errorf("%d fills, not %d", in.Fills, want)
		}
		if want > 0 {
			r.Fills.End([]*OpenFill{&f, &g}[want-1])
		}
	}
}

// To look at an entry is no use of it, and isn't counted.
func TestInspectIsNoUse(t *testing.T) {
	for _, lru := range []bool{false, true} {
		r := newStoreRig(Config{MaxKeys: 2, LRU: lru})
		r.set("a", "v")
		r.set("b", "v")
		before := r.Stats()
		for range 9 {
			r.Inspect("a")
			r.Inspect("none")
		}
		if after := r.Stats(); after != before {
			t.Errorf("%+v have become %+v", before, after)
		}
		if r.set("c", "v"); r.holds("a") {
			t.Errorf("LRU %v: it is kept as it was looked at", lru)
		}
	}
}

// Looks come at any time.
func TestInspectAtOnce(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 50})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for i := range 5000 {
				key := fmt.Sprint(i % 100)
				in := r.Inspect(key)
				if in.Held && in.Record.Key != key {
					t.Errorf("%s: %+v", key, in.Record)
				}
				for _, d := range in.Decisions {
					if d.Kind != DecisionEvicted {
						t.Errorf("%s: %+v", key, d)
					}
				}
			}
		})
	}
	for i := range 5000 {
		r.set(fmt.Sprint(i%100), "v")
	}
	wg.Wait()
}

// The latest decision comes first even if the clock was set back: those of one ring keep their order.
func TestDecisionsAfterTheClockWasSetBack(t *testing.T) {
	var x decisions
	const hash = 7
	walls := map[DecisionKind][]int64{DecisionOlder: {5000, 10, 20}, DecisionExpired: {15}}
	for kind, at := range walls {
		for i, wall := range at {
			x.note(tagOf(hash), kind, uint64(i+1), wall)
		}
	}
	var got []int64
	for _, d := range x.about(hash) {
		got = append(got, d.Wall)
	}
	if want := []int64{20, 15, 10, 5000}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
