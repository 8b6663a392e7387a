package delta

import (
	"testing"

	"pgregory.net/rapid"
)

func TestClockIncreases(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c Clock
		last := uint64(0)
		for range 100 {
			wall := rapid.Int64Range(-1000, 1<<40).Draw(t, "wall")
			if rapid.Bool().Draw(t, "observe") {
				seen := rapid.Uint64Range(0, 1<<60).Draw(t, "seen")
				c.Observe(seen)
				last = max(last, seen)
			}
			got := c.Tick(wall)
			if got <= last || got < StampOf(wall) {
				t.Fatalf("tick(%d) = %d after %d", wall, got, last)
			}
			last = got
		}
	})
}

func TestVersionOrderIsTotal(t *testing.T) {
	gen := rapid.Custom(func(t *rapid.T) Version {
		return Version{Stamp: rapid.Uint64Range(0, 3).Draw(t, "stamp"), Origin: rapid.Uint64Range(0, 3).Draw(t, "origin")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := gen.Draw(t, "a"), gen.Draw(t, "b"), gen.Draw(t, "c")
		if a.Less(b) == b.Less(a) && a != b {
			t.Fatal("not antisymmetric or not total")
		}
		if a.Less(b) && b.Less(c) && !a.Less(c) {
			t.Fatal("not transitive")
		}
		if a.Less(a) {
			t.Fatal("not irreflexive")
		}
	})
}
