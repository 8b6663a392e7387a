package store

import (
	"fmt"
	"slices"
	"testing"

	"github.com/iwanbk/bcache/internal/delta"
)

// clearBy applies a Clear of what a selector selects, and returns it.
func (r *storeRig) clearBy(s delta.Selector) Clear {
	r.stamp++
	x := Clear{
		Selector: s, Version: delta.Version{Stamp: r.stamp, Origin: 3}, Wall: r.now.Wall, At: r.now.Mono,
	}
	r.ApplyClear(x)
	return x
}

// setTagged sets a value with tags.
func (r *storeRig) setTagged(key, val string, list ...string) {
	tags, wrong := delta.MakeTags(list)
	if wrong != "" {
		panic(wrong)
	}
	r.write(delta.Record{Key: key, Val: val, Tags: tags}, true)
}

// Of Clears of prefixes and tags the greatest is told that is about the key, as long as that is known.
func TestInspectSelected(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 99})
	is := func(what string, want Clear, cleared, ended bool) {
		t.Helper()
		in := r.Inspect("user:1")
		if in.Selected != want || in.Cleared != cleared || in.Ended != ended {
			t.Errorf("%s: %+v, want %+v; cleared %v, ended %v", what, in.Selected, want, in.Cleared, in.Ended)
		}
	}
	r.clearBy(delta.SelectTag("team:7"))
	r.clearBy(delta.SelectPrefix("page:"))
	is("of others", Clear{}, false, false)
	before := r.clearBy(delta.SelectTag("none")).Version
	user := r.clearBy(delta.SelectPrefix("user:"))
	r.ApplyClear(Clear{Selector: delta.SelectPrefix("us"), Version: before}) // it comes late
	is("of a key that isn't there", user, false, false)
	r.setTagged("user:1", "v", "team:7", "team:8")
	is("older ones, of which its prefix has the last", user, false, false)
	r.clearBy(delta.SelectTag("team:9"))
	is("a tag that it doesn't have", user, false, false)
	team := r.clearBy(delta.SelectTag("team:8"))
	is("one of its tags", team, true, false)
	r.sweep()
	is("its tags aren't known any more", user, false, false)
	if got := r.Inspect("user:1"); got.Held || len(got.Decisions) != 1 ||
		got.Decisions[0].Kind != DecisionCleared || got.Decisions[0].Wall != team.Wall {
		t.Errorf("after a sweep: %+v", got)
	}

	tags, _ := delta.MakeTags([]string{"team:7"})
	f := r.Fills.Open("user:1", r.now)
	r.Fills.Begin(&f)
	r.Fills.Keep(r.now, r.Epochs.Now(), &delta.Record{Key: "user:1", Val: "v", Tags: tags}, &f, false)
	if in := r.Inspect("user:1"); !in.IsProvisional || in.Ended {
		t.Fatalf("a provisional value: %+v", in)
	}
	team = r.clearBy(delta.SelectTag("team:7"))
	is("a tag of the provisional value", team, false, true)
	all := r.clearBy("")
	if in := r.Inspect("user:1"); in.Clear != all.Version || in.TagFloor != 0 {
		t.Errorf("of everything: %+v", in)
	}
}

// What is forgotten to make room is counted by what it selected, and not if a later one stands for it.
func TestClearsDroppedAreCounted(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 9, MaxClears: 8})
	clear := func(s delta.Selector) {
		for r.ToClear.Make(s) {
		}
		r.clearBy(s)
	}
	for range 50 {
		clear(delta.SelectTag("the same"))
	}
	if n := r.Stats().ClearsDropped; n != 0 {
		t.Errorf("%d are forgotten, though the last one is known", n)
	}
	known := func() (n uint64) { return uint64(len(r.Clears.Records())) }
	for i := range 50 {
		clear(delta.SelectPrefix(fmt.Sprint("p", i)))
		clear(delta.SelectTag(fmt.Sprint("t", i)))
	}
	if n := r.Stats().ClearsDropped; n == 0 || n+known() != 101 {
		t.Errorf("%d are forgotten, and %d known, of 101", n, known())
	}
	if in := r.Inspect("k"); in.TagFloor == 0 || in.Floor == 0 {
		t.Errorf("nothing stands for them: %+v", in)
	}
	kinds := slices.ContainsFunc(r.Clears.Records(), func(rec delta.Record) bool {
		return rec.Selector() == delta.SelectTag("the same")
	})
	if kinds {
		t.Error("the oldest one is known still")
	}
}
