package workload

import (
	"slices"
	"testing"
)

func TestSameForAll(t *testing.T) {
	a, b := New(1000), New(1000)
	if !slices.Equal(a.Keys, b.Keys) || !slices.Equal(a.Vals, b.Vals) || !slices.Equal(a.Draws, b.Draws) {
		t.Error("two workloads of a size differ")
	}
}

func TestSizes(t *testing.T) {
	w := New(1000)
	for _, key := range slices.Concat(w.Keys, w.Absent) {
		if len(key) != KeySize {
			t.Fatalf("the key %q", key)
		}
	}
	for i := range 2 * vals {
		if len(w.Val(i)) != ValSize {
			t.Fatalf("the value %q", w.Val(i))
		}
	}
	if len(w.Draws) != Draws {
		t.Errorf("%d draws", len(w.Draws))
	}
}

func TestDrawsAreZipf(t *testing.T) {
	w := New(1000)
	count := make(map[string]int)
	for _, key := range w.Draws {
		count[key]++
	}
	counts := make([]int, 0, len(w.Keys))
	for _, key := range w.Keys {
		counts = append(counts, count[key])
		delete(count, key)
	}
	if len(count) > 0 {
		t.Errorf("draws of keys that there aren't: %v", count)
	}
	slices.Sort(counts)
	slices.Reverse(counts)
	// The n-th is drawn in proportion to n^-1.01: the first about twice as often as the second.
	if r := float64(counts[0]) / float64(counts[1]); r < 1.9 || r > 2.15 {
		t.Errorf("the first is drawn %.2f times as often as the second", r)
	}
	if counts[len(counts)-1] == 0 {
		t.Error("some key is never drawn")
	}
	for _, key := range w.Absent {
		if slices.Contains(w.Keys[:10], key) {
			t.Fatalf("%q is no absent key", key)
		}
	}
}

func TestSliceWraps(t *testing.T) {
	w := New(10)
	if got := w.Slice(Draws-256, 256); len(got) != 256 || got[255] != w.Draws[Draws-1] {
		t.Error("the last slice isn't the end")
	}
	if got := w.Slice(Draws, 256); got[0] != w.Draws[0] {
		t.Error("after the end doesn't come the beginning")
	}
}
