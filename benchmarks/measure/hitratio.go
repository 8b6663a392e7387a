package measure

import (
	"context"

	"github.com/iwanbk/bcache/benchmarks/workload"
)

// hitRatios plays the same Zipf draws at every capacity.
func (r *run) hitRatios(ctx context.Context) error {
	w := workload.New(r.plan.Universe)
	zipf := script{
		key:     func(i int) string { return w.Draws[i%len(w.Draws)] },
		val:     w.Val,
		warm:    r.plan.Trace / 2,
		counted: r.plan.Trace,
		settle:  64,
	}
	r.HitRatio = make(map[int]*Series)
	for i, capacity := range r.plan.Capacities {
		var err error
		if r.HitRatio[capacity], err = playAll(ctx, zipf, capacity); err != nil {
			return err
		}
		r.step(float64(i+1) / float64(len(r.plan.Capacities)))
	}
	return nil
}
