package measure

import "time"

const (
	histogramStep  = 50 * time.Nanosecond
	histogramSteps = 1 << 16 // 3 ms
)

// A histogram takes any number of durations without allocating. It is exact to a step, and
// of those beyond its end it knows the longest.
type histogram struct {
	counts  [histogramSteps]int
	n       int
	longest time.Duration
}

func (h *histogram) add(d time.Duration) {
	h.counts[min(d/histogramStep, histogramSteps-1)]++
	h.n++
	h.longest = max(h.longest, d)
}

func (h *histogram) quantile(q float64) time.Duration {
	left := int(q * float64(h.n))
	for i, n := range h.counts {
		if left -= n; left < 0 && i < histogramSteps-1 {
			return time.Duration(i) * histogramStep
		}
	}
	return h.longest
}
