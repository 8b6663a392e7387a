package testkit

import (
	"time"
)

// Bursts returns how many queries came together, those of one expiry: further ones are at least a
// gap later.
func Bursts(queries []time.Time, gap time.Duration) (sizes []int) {
	var first time.Time
	for _, at := range queries {
		if len(sizes) == 0 || at.Sub(first) >= gap {
			first = at
			sizes = append(sizes, 0)
		}
		sizes[len(sizes)-1]++
	}
	return sizes
}
