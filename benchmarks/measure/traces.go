package measure

import (
	"context"
	"fmt"
	"strings"

	"github.com/iwanbk/bcache/benchmarks/trace"
	"github.com/iwanbk/bcache/benchmarks/workload"
)

// TraceParts are the capacities at which traces are played, in percent of their keys.
var TraceParts = []int{1, 5, 10, 25, 50}

// A Played trace has been played at several capacities.
type Played struct {
	*trace.Trace
	Points []Point
}

// A Point is what a trace gave at one capacity.
type Point struct {
	Part     int // percent of the keys
	Capacity int
	HitRatio Series // share by cache
}

// PlayTraces plays every trace to every cache that has a capacity, one after the other.
func PlayTraces(ctx context.Context, traces []*trace.Trace, progress Progress) ([]*Played, error) {
	var all []*Played
	for i, t := range traces {
		p := &Played{Trace: t}
		all = append(all, p)
		for j, part := range TraceParts {
			capacity := max(len(t.Keys)*part/100, 1)
			if j > 0 && capacity == p.Points[len(p.Points)-1].Capacity {
				continue // of only a few keys
			}
			progress(t.Name, (float64(i)+float64(j)/float64(len(TraceParts)))/float64(len(traces)))
			ratios, err := playAll(ctx, scriptOf(t), capacity)
			if err != nil {
				return nil, fmt.Errorf("%s, %d entries: %w", t.Name, capacity, err)
			}
			p.Points = append(p.Points, Point{part, capacity, *ratios})
		}
	}
	progress("done", 1)
	return all, nil
}

// scriptOf counts from the first access on: a cache has to earn what it holds. Each access is settled,
// as queues would make a small capacity larger. Key and value are as long together as the entries of the
// other measures, since there are caches whose capacity is in bytes.
func scriptOf(t *trace.Trace) script {
	vals := strings.Repeat("v", workload.Payload)
	return script{
		key:     t.Key,
		val:     func(i int) string { return vals[min(len(t.Key(i)), len(vals)):] },
		counted: len(t.Accesses),
		settle:  1,
	}
}
