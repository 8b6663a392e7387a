package measure

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/iwanbk/bcache/benchmarks/caches"
	"github.com/iwanbk/bcache/benchmarks/workload"
)

// evictions measures Sets of new keys to caches that are full, so that each evicts another key.
func (r *run) evictions(ctx context.Context) (err error) {
	var all []entrant
	var do []chunk
	defer func() { err = errors.Join(err, closeAll(all)) }()
	fresh := workload.NewFresh()
	for _, k := range caches.Bounded() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if r.plan.Keys < k.MinCapacity {
			continue
		}
		c, sets, err := full(k, r.load, fresh)
		if err != nil {
			return err
		}
		all, do = append(all, entrant{k, c}), append(do, sets)
	}
	runtime.GC()
	s := &Speed{}
	r.Speeds[SetNew] = s
	return r.rounds(ctx, r.plan.Rounds, len(all), func(i, _ int) error {
		s.add(all[i].Name, drive(1, r.plan.Slot, do[i]))
		return nil
	})
}

// full returns a new cache that has as many keys of w as it can hold, and Sets that go on filling it.
func full(k caches.Kind, w *workload.Workload, fresh *workload.Fresh) (caches.Cache, chunk, error) {
	c, err := k.New(len(w.Keys))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", k.Name, err)
	}
	if err := fill(c, w); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", k.Name, errors.Join(err, c.Close()))
	}
	do := evicting(c, w, fresh)
	for range len(w.Keys) / chunkSize {
		do(0) // where keys are spread unevenly, too, there is no room left
	}
	return c, do, nil
}
