package delta

import "cmp"

// A Version orders the writes of one key. Stamp decides; equal stamps are
// common (two nodes, one millisecond), and then the origin does. The order is
// total and the same on every node, so every node picks the same winner.
type Version struct {
	Stamp  uint64 // hybrid logical clock, see clock.go
	Origin uint64 // one life of one node
}

// compare returns -1, 0 or +1, like cmp.Compare.
func (v Version) compare(w Version) int {
	if c := cmp.Compare(v.Stamp, w.Stamp); c != 0 {
		return c
	}
	return cmp.Compare(v.Origin, w.Origin)
}

// Less reports whether w wins against v.
func (v Version) Less(w Version) bool { return v.compare(w) < 0 }
