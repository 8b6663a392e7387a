package measure

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/iwanbk/bcache/benchmarks/caches"
	"github.com/iwanbk/bcache/benchmarks/workload"
)

// speedMeasures are in the order in which they run: those that only read come first, because
// a Set makes a client-side copy of Redis invalid.
var speedMeasures = []struct {
	name     string
	parallel bool
	ops      func(caches.Cache, *workload.Workload) chunk
}{
	{GetHit, true, getHits},
	{GetOne, false, getHits},
	{GetHot, true, getHot},
	{GetMiss, true, getMisses},
	{SetOne, false, sets},
	{SetAll, true, sets},
	{Mixed, true, mixed},
}

// speeds measures all caches in turns, all of them filled and alive all the time.
func (r *run) speeds(ctx context.Context) (err error) {
	var all []caches.Cache
	defer func() {
		for i, c := range all {
			if cerr := c.Close(); cerr != nil {
				err = errors.Join(err, fmt.Errorf("%s: %w", r.Kinds[i].Name, cerr))
			}
		}
	}()
	for _, k := range r.Kinds {
		if err := ctx.Err(); err != nil {
			return err
		}
		c, err := filled(k, r.load)
		if err != nil {
			return err
		}
		all = append(all, c)
	}
	runtime.GC()

	whole := r.step
	defer func() { r.step = whole }()
	parts, done := float64(len(speedMeasures)+1+len(r.plan.Goroutines)), 0.0
	r.step = func(share float64) { whole((done + share) / parts) }

	r.Speeds = make(map[string]*Speed)
	reading := true
	for _, m := range speedMeasures {
		if m.name == SetOne {
			reading = false
			if err := r.readers(ctx, all, &done); err != nil {
				return err
			}
		}
		s := &Speed{}
		r.Speeds[m.name] = s
		goroutines := 1
		if m.parallel {
			goroutines = runtime.GOMAXPROCS(0)
		}
		err := r.rounds(ctx, r.plan.Rounds, len(all), func(i, _ int) error {
			s.add(r.Kinds[i].Name, drive(goroutines, r.plan.Slot, m.ops(all[i], r.load)))
			if !reading {
				all[i].Settle()
			}
			return nil
		})
		if err != nil {
			return err
		}
		done++
	}
	return nil
}

// readers are the measures that only read, of the local caches.
func (r *run) readers(ctx context.Context, all []caches.Cache, done *float64) error {
	if err := r.filler(ctx, all[0].(caches.Filling)); err != nil {
		return err
	}
	*done++
	local := len(caches.Local())
	r.Goroutines = make(map[int]*Series)
	for _, goroutines := range r.plan.Goroutines {
		s := &Series{}
		r.Goroutines[goroutines] = s
		err := r.rounds(ctx, r.plan.Rounds, local, func(i, _ int) error {
			if !r.Kinds[i].Variant {
				s.Add(r.Kinds[i].Name, drive(goroutines, r.plan.Slot/2, getHits(all[i], r.load)).ns)
			}
			return nil
		})
		if err != nil {
			return err
		}
		*done++
	}
	return nil
}

// filler compares a Get with a GetWithFiller that finds the key.
func (r *run) filler(ctx context.Context, c caches.Filling) error {
	none := func(string) (string, error) { return "", errors.New("the cache lacks a key that was written") }
	subjects := []struct {
		name string
		do   chunk
	}{
		{Get, getHits(c, r.load)},
		{GetWithFiller, fillerHits(c, r.load, none)},
	}
	r.Filler = &Speed{}
	return r.rounds(ctx, 2*r.plan.Rounds, len(subjects), func(i, _ int) error {
		r.Filler.add(subjects[i].name, drive(1, r.plan.Slot, subjects[i].do))
		return nil
	})
}

func (s *Speed) add(subject string, v slot) {
	s.Ns.Add(subject, v.ns)
	s.Allocs.Add(subject, v.allocs)
	s.Missed.Add(subject, v.missed)
}
