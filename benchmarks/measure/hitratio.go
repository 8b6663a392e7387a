package measure

import (
	"context"
	"fmt"

	"github.com/iwanbk/bcache/benchmarks/caches"
	"github.com/iwanbk/bcache/benchmarks/workload"
)

// hitRatios plays the same trace to every cache that has a capacity: a Get, and a Set if it misses.
func (r *run) hitRatios(ctx context.Context) error {
	w := workload.New(r.plan.Universe)
	r.HitRatio = make(map[int]*Series)
	done := 0
	for _, capacity := range r.plan.Capacities {
		s := &Series{}
		r.HitRatio[capacity] = s
		for _, k := range caches.Main(caches.Local()) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if k.Unbounded || capacity < k.MinCapacity {
				continue
			}
			ratio, err := r.hitRatio(k, w, capacity)
			if err != nil {
				return fmt.Errorf("%s: %w", k.Name, err)
			}
			s.Add(k.Name, ratio)
		}
		done++
		r.step(float64(done) / float64(len(r.plan.Capacities)))
	}
	return nil
}

func (r *run) hitRatio(k caches.Kind, w *workload.Workload, capacity int) (float64, error) {
	c, err := k.New(capacity)
	if err != nil {
		return 0, err
	}
	hits := 0
	warm := r.plan.Trace / 2
	for i := range warm + r.plan.Trace {
		key := w.Draws[i%len(w.Draws)]
		if _, ok := c.Get(key); !ok {
			c.Set(key, w.Val(i))
		} else if i >= warm {
			hits++
		}
		if i%64 == 63 {
			c.Settle() // the trace comes faster than a service's requests
		}
	}
	return float64(hits) / float64(r.plan.Trace), c.Close()
}
