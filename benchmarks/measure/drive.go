package measure

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache/benchmarks/workload"
)

// Operations between two looks at the clock: it costs as much as an operation.
const chunkSize = 256

// A chunk does chunkSize operations, the at-th first, and returns how many of them missed.
type chunk func(at int) (missed int)

// A slot is what one cache did in its turn.
type slot struct {
	ops    int
	ns     float64 // wall time per operation: with two goroutines half of what each takes
	allocs float64
	missed float64
}

// drive has goroutines do chunks for d, after an eighth of it to warm up.
func drive(goroutines int, d time.Duration, do chunk) slot {
	driveUntil(goroutines, after(d/8), do)
	return driveUntil(goroutines, after(d), do)
}

// A stop tells whether it is enough; it is asked by all goroutines.
type stop func(start time.Time) bool

func after(d time.Duration) stop {
	return func(start time.Time) bool { return time.Since(start) >= d }
}

func driveUntil(goroutines int, enough stop, do chunk) slot {
	var before, after runtime.MemStats
	var ops, missed atomic.Int64
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	var start time.Time
	ready.Add(goroutines)
	for g := range goroutines {
		done.Go(func() {
			ready.Done()
			<-begin
			at := workload.Draws / goroutines * g &^ (chunkSize - 1)
			n, m := 0, 0
			for !enough(start) {
				m += do(at)
				at += chunkSize
				n += chunkSize
			}
			ops.Add(int64(n))
			missed.Add(int64(m))
		})
	}
	ready.Wait()
	runtime.ReadMemStats(&before)
	start = time.Now()
	close(begin)
	done.Wait()
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	n := float64(ops.Load())
	return slot{
		ops:    int(ops.Load()),
		ns:     float64(took.Nanoseconds()) / n,
		allocs: float64(after.Mallocs-before.Mallocs) / n,
		missed: float64(missed.Load()) / n,
	}
}
