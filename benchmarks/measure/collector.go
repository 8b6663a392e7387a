package measure

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache/benchmarks/caches"
	"github.com/iwanbk/bcache/benchmarks/workload"
)

// EagerGC is GOGC while the collector is measured. By default it would run every few seconds;
// here it has several turns within one. What a cycle costs is the same.
const EagerGC = 10

// collector measures what the garbage collector does under the mixed load on a cache with
// all entries, alone in the process.
func (r *run) collector(ctx context.Context) error {
	// The others would be the collector's burden from one turn to the next.
	kinds, _ := split(caches.Main(caches.Local()), func(k caches.Kind) bool { return !k.Immortal })
	return r.rounds(ctx, r.plan.Rounds, len(kinds), func(i, _ int) error {
		return r.collectorOf(kinds[i])
	})
}

func (r *run) collectorOf(k caches.Kind) error {
	c, err := filled(k, r.big)
	if err != nil {
		return err
	}
	defer debug.SetGCPercent(debug.SetGCPercent(EagerGC))
	runtime.GC()
	var longest atomic.Int64
	// From the end of one cycle to that of another, so that none is counted in part.
	before, cycles := cpu(), gcCycles()
	late := after(r.plan.LoadAtMost)
	enough := func(start time.Time) bool {
		return gcCycles()-cycles >= uint64(r.plan.Cycles) || late(start)
	}
	s := driveUntil(runtime.GOMAXPROCS(0), enough, mixedNew(c, r.big, &longest))
	after := cpu()
	if after.total > before.total { // the runtime knows it as of the last cycle
		r.GCShare.Add(k.Name, (after.gc-before.gc)/(after.total-before.total))
		r.GCPerOp.Add(k.Name, (after.gc-before.gc)*1e9/float64(s.ops))
	}
	r.LoadNs.Add(k.Name, s.ns)
	r.LongestStep.Add(k.Name, float64(longest.Load())/1e6)
	return c.Close()
}

// mixedNew is mixed with a new value for each Set, as a service has it, and notes the longest
// time that sixteen operations took.
func mixedNew(c caches.Cache, w *workload.Workload, longest *atomic.Int64) chunk {
	return func(at int) (missed int) {
		last := time.Now()
		for i, key := range w.Slice(at, chunkSize) {
			if (at+i)%10 == 0 {
				c.Set(key, strings.Clone(w.Val(at+i)))
			} else if _, ok := c.Get(key); !ok {
				missed++
			}
			if i%16 == 15 {
				now := time.Now()
				for took := int64(now.Sub(last)); ; {
					was := longest.Load()
					if took <= was || longest.CompareAndSwap(was, took) {
						break
					}
				}
				last = now
			}
		}
		return missed
	}
}

func gcCycles() uint64 {
	s := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

type cpuSeconds struct{ gc, total float64 }

func cpu() cpuSeconds {
	s := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}, {Name: "/cpu/classes/total:cpu-seconds"}}
	metrics.Read(s)
	return cpuSeconds{s[0].Value.Float64(), s[1].Value.Float64()}
}
