// Package measure runs the measures. It knows nothing of how they are shown.
package measure

import (
	"context"
	"fmt"
	"math/rand"
	"runtime"
	"time"

	"github.com/iwanbk/bcache/benchmarks/caches"
	"github.com/iwanbk/bcache/benchmarks/workload"
)

// Progress is told which measure runs and which share of the whole is done.
type Progress func(step string, share float64)

type run struct {
	plan  Plan
	load  *workload.Workload // of plan.Keys
	big   *workload.Workload // of plan.Entries
	order *rand.Rand
	step  func(share float64)
	*Results
}

// Run measures everything.
func Run(ctx context.Context, plan Plan, progress Progress) (*Results, error) {
	r := &run{
		plan:    plan,
		load:    workload.New(plan.Keys),
		big:     workload.New(plan.Entries),
		order:   rand.New(rand.NewSource(time.Now().UnixNano())),
		Results: &Results{Plan: plan, Began: time.Now(), Kinds: caches.Local()},
	}
	path, version := caches.FindRedis()
	if path != "" {
		r.Redis = version
		r.Kinds = append(r.Kinds, caches.RedisKinds(path)...)
	}
	// The weights are shares of the time, roughly.
	steps := []struct {
		name   string
		weight float64
		do     func(context.Context) error
	}{
		{"speed", 25, r.speeds},
		{"evictions", 3, r.evictions},
		{"memory", 8, r.memory},
		{"collector", 20, r.collector},
		{"expiry", 6, r.expiry},
		{"hit ratio", 6, r.hitRatios},
		{"replication", 10, r.bursts},
		{"bytes on the wire", 1, r.wire},
		{"Set with peers", 5, r.peers},
		{"visibility", 3, r.visibility},
		{"joins", 8, r.joins},
		{"idle nodes", 8, r.idle},
	}
	var whole, before float64
	for _, s := range steps {
		whole += s.weight
	}
	for _, s := range steps {
		r.step = func(share float64) { progress(s.name, (before+share*s.weight)/whole) }
		r.step(0)
		runtime.GC() // of what the last step left
		if err := s.do(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		before += s.weight
	}
	progress("done", 1)
	r.Took = time.Since(r.Began)
	return r.Results, nil
}

// rounds calls do for every subject in every round, each time in another order.
func (r *run) rounds(ctx context.Context, rounds, subjects int, do func(subject, round int) error) error {
	done := 0
	for round := range rounds {
		for _, i := range r.order.Perm(subjects) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := do(i, round); err != nil {
				return err
			}
			done++
			r.step(float64(done) / float64(rounds*subjects))
		}
	}
	return nil
}
