package engines

import (
	"context"
	"os"
	"time"

	"github.com/iwanbk/bcache/benchmarks/measure"
)

// A Sample is what a process takes.
type Sample struct {
	Heap                    float64 // bytes
	Goroutines, Descriptors int     // Descriptors is 0 where the system doesn't list them
}

// takeSample takes the least of some: nothing is kept that one of them doesn't show.
func takeSample(ctx context.Context) (s Sample, err error) {
	for i := range 10 {
		var x Sample
		x.Heap, x.Goroutines = heap()
		fds, _ := os.ReadDir("/proc/self/fd")
		x.Descriptors = len(fds)
		if i == 0 {
			s = x
		}
		s.Heap = min(s.Heap, x.Heap)
		s.Goroutines, s.Descriptors = min(s.Goroutines, x.Goroutines), min(s.Descriptors, x.Descriptors)
		if err := measure.Sleep(ctx, 100*time.Millisecond); err != nil {
			return s, err
		}
	}
	return s, nil
}

// flat reports whether a later sample shows no growth. What a collector leaves is none, nor a connection that
// has just begun.
func (s Sample) flat(later Sample) bool {
	return later.Heap <= s.Heap*5/4+16<<20 && later.Goroutines <= s.Goroutines+20 &&
		later.Descriptors <= s.Descriptors+10
}
