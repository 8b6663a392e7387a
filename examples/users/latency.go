package main

import (
	"math"
	"math/bits"
	"time"
)

// A histogram counts durations in buckets whose width is at most 1/32 of their
// value (the scheme of HdrHistogram), so it has the same size however many
// there are. The zero histogram is empty. It isn't locked.
type histogram struct {
	buckets [59 * 32]uint64
	count   uint64
	max     time.Duration
}

// add counts d. A negative one counts as 0.
func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.buckets[bucketOf(uint64(d))]++
	h.count++
	h.max = max(h.max, d)
}

// merge adds what o counted.
func (h *histogram) merge(o *histogram) {
	for i, n := range o.buckets {
		h.buckets[i] += n
	}
	h.count += o.count
	h.max = max(h.max, o.max)
}

// quantile returns the duration that the share q (0 to 1) of all durations doesn't
// exceed, at most 1/32 too high. It is 0 if there are none.
func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(math.Ceil(q * float64(h.count)))
	var seen uint64
	for i, n := range h.buckets {
		if seen += n; n > 0 && seen >= rank {
			return min(time.Duration(bucketEnd(i)), h.max)
		}
	}
	return h.max
}

// bucketOf keeps the highest six bits of v: below 64 every value has a bucket of
// its own, then every power of two is cut in 32.
func bucketOf(v uint64) int {
	shift := max(bits.Len64(v)-6, 0)
	return shift*32 + int(v>>shift)
}

// bucketEnd returns the greatest value of a bucket.
func bucketEnd(i int) uint64 {
	shift := max(i/32-1, 0)
	return uint64(i-shift*32+1)<<shift - 1
}
