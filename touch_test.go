package bcache

import (
	"testing"

	"pgregory.net/rapid"
)

// A ring never takes a touch for known that is neither below the echo nor among the dots, however
// long ago it came; and it knows those that it has room for.
func TestTouchRingLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ring touchRing
		all := []dotTouch{}
		n := rapid.IntRange(0, 40).Draw(t, "touches")
		for count := uint64(1); count <= uint64(n); count++ {
			d := dot{1, count}
			if rapid.IntRange(0, 9).Draw(t, "dotless") == 0 {
				d = dot{}
			}
			ring.add(d, count)
			all = append(all, dotTouch{d, count})
		}
		echo := rapid.Uint64Range(0, uint64(n)+2).Draw(t, "echo")
		var dots []dot
		for _, x := range all {
			if rapid.IntRange(0, 4).Draw(t, "known") > 0 && x.dot != (dot{}) {
				dots = append(dots, x.dot)
			}
		}
		truth, within := echo > 0, echo > 0
		for i, x := range all {
			known := x.count < echo || x.dot != (dot{}) && contains(dots, x.dot)
			truth = truth && known
			within = within && known && (x.count < echo || i >= len(all)-ringSize)
		}
		if got := ring.known(echo, dots); got && !truth || within && !got {
			t.Fatalf("known(%d, %v) is %v; all are known: %v; of %v", echo, dots, got, truth, all)
		}
	})
}
