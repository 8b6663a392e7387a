package histogram

import (
	"math"
	"time"
)

// Counts are a histogram's at some time: how many durations were in each bucket, the last of which has
// those beyond all bounds, and what they sum up to.
type Counts struct {
	Buckets [len(Bounds) + 1]uint64
	Sum     time.Duration
}

// Total is how many durations were counted.
func (c *Counts) Total() (n uint64) {
	for _, in := range c.Buckets {
		n += in
	}
	return n
}

// Add counts one more; a negative one is 0.
func (c *Counts) Add(d time.Duration) {
	d = max(d, 0)
	c.Buckets[bucketOf(d)]++
	c.Sum += d
}

// Merge adds those of another histogram.
func (c *Counts) Merge(other *Counts) {
	for i, n := range other.Buckets {
		c.Buckets[i] += n
	}
	c.Sum += other.Sum
}

// Quantile returns the duration that a part q of all, 0 to 1, don't exceed, as exactly as the buckets
// tell: within one it is interpolated. Beyond all bounds it is the last one. It is 0 if nothing was
// counted.
func (c *Counts) Quantile(q float64) time.Duration {
	total := c.Total()
	if total == 0 {
		return 0
	}
	rank := min(max(q, 0), 1) * float64(total)
	below := 0.0
	for i, n := range c.Buckets {
		in := float64(n)
		if n == 0 || below+in < rank {
			below += in
			continue
		}
		if i == len(Bounds) {
			break
		}
		from := time.Duration(0)
		if i > 0 {
			from = Bounds[i-1]
		}
		// Rounded up, as from itself is in the bucket before.
		return from + time.Duration(math.Ceil((rank-below)/in*float64(Bounds[i]-from)))
	}
	return Bounds[len(Bounds)-1]
}
