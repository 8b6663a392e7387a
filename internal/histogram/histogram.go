package histogram

import (
	"slices"
	"sync/atomic"
	"time"
)

// Bounds are the upper bounds of the buckets, each included in its bucket: 1, 2 and 5 times each power
// of ten, which people can read. What is longer than the last one has a bucket of its own.
var Bounds = [...]time.Duration{
	10 * time.Microsecond, 20 * time.Microsecond, 50 * time.Microsecond,
	100 * time.Microsecond, 200 * time.Microsecond, 500 * time.Microsecond,
	1 * time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond,
	10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
	1 * time.Second, 2 * time.Second, 5 * time.Second,
	10 * time.Second, 20 * time.Second, 50 * time.Second,
	100 * time.Second,
}

// A Histogram counts durations. The zero value has none. It is safe for concurrent use, and mustn't be
// copied.
type Histogram struct {
	counts [len(Bounds) + 1]atomic.Uint64
	sum    atomic.Int64
}

// Add counts a duration; a negative one is 0.
func (h *Histogram) Add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucketOf(d)].Add(1)
	h.sum.Add(int64(d))
}

// Counts returns what was counted so far. What is added meanwhile may be in a part of it.
func (h *Histogram) Counts() (c Counts) {
	for i := range h.counts {
		c.Buckets[i] = h.counts[i].Load()
	}
	c.Sum = time.Duration(h.sum.Load())
	return c
}

// bucketOf returns the place of the first bound that isn't less.
func bucketOf(d time.Duration) int {
	i, _ := slices.BinarySearch(Bounds[:], d)
	return i
}
