package workload

import "testing"

func TestFreshKeysAreFresh(t *testing.T) {
	a, b, w := NewFresh(), NewFresh(), New(1000)
	seen := make(map[string]bool)
	for _, key := range append(w.Keys, w.Absent...) {
		seen[key] = true
	}
	for i := range 1 << 18 {
		key := a.Key(i)
		if seen[key] || len(key) != KeySize {
			t.Fatalf("the %d. key is %q", i, key)
		}
		if key != b.Key(i) || key != a.Key(i+FreshKeys) {
			t.Fatalf("the %d. key is another one the next time", i)
		}
		seen[key] = true
	}
	if last := a.Key(FreshKeys - 1); len(last) != KeySize {
		t.Errorf("the last key is %q", last)
	}
}
