package measure

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/iwanbk/bcache/benchmarks/caches"
	"github.com/iwanbk/bcache/benchmarks/workload"
)

type speedMeasure struct {
	name     string
	parallel bool
	ops      func(caches.Cache, *workload.Workload) chunk
}

var (
	reads = []speedMeasure{
		{GetHit, true, getHits},
		{GetOne, false, getHits},
		{GetHot, true, getHot},
		{GetMiss, true, getMisses},
	}
	writes = []speedMeasure{
		{SetOne, false, sets},
		{SetAll, true, sets},
		{Mixed, true, mixed},
	}
)

// An entrant is a cache that is ready to be measured.
type entrant struct {
	caches.Kind
	cache caches.Cache
}

func closeAll(all []entrant) error {
	var errs []error
	for _, e := range all {
		if err := e.cache.Close(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", e.Name, err))
		}
	}
	return errors.Join(errs...)
}

// speeds measures all caches in turns, all of them filled and alive all the time.
func (r *run) speeds(ctx context.Context) (err error) {
	var all []entrant
	defer func() { err = errors.Join(err, closeAll(all)) }()
	for _, k := range r.Kinds {
		if err := ctx.Err(); err != nil {
			return err
		}
		c, err := filled(k, r.load)
		if err != nil {
			return err
		}
		all = append(all, entrant{k, c})
	}
	runtime.GC()

	var parts []func() error
	speeds := func(measures []speedMeasure) {
		for _, m := range measures {
			parts = append(parts, func() error { return r.speed(ctx, all, m) })
		}
	}
	// Those that only read come first: a Set makes a client's copy of what is in Redis invalid.
	r.Speeds, r.Goroutines = make(map[string]*Speed), make(map[int]*Series)
	speeds(reads)
	for _, n := range r.plan.Goroutines {
		parts = append(parts, func() error { return r.goroutines(ctx, all, n) })
	}
	parts = append(parts, func() error { return r.fillers(ctx, all) })
	speeds(writes)

	whole := r.step
	for i, part := range parts {
		r.step = func(share float64) { whole((float64(i) + share) / float64(len(parts))) }
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) speed(ctx context.Context, all []entrant, m speedMeasure) error {
	goroutines := 1
	if m.parallel {
		goroutines = runtime.GOMAXPROCS(0)
	}
	s := &Speed{}
	r.Speeds[m.name] = s
	return r.rounds(ctx, r.plan.Rounds, len(all), func(i, _ int) error {
		s.add(all[i].Name, drive(goroutines, r.plan.Slot, m.ops(all[i].cache, r.load)))
		all[i].cache.Settle() // not in another one's turn
		return nil
	})
}

// goroutines measures the Gets of so many goroutines, of the local caches.
func (r *run) goroutines(ctx context.Context, all []entrant, n int) error {
	s := &Series{}
	r.Goroutines[n] = s
	return r.rounds(ctx, r.plan.Rounds, len(all), func(i, _ int) error {
		if !all[i].Variant && !all[i].Remote {
			s.Add(all[i].Name, drive(n, r.plan.Slot/2, getHits(all[i].cache, r.load)).ns)
		}
		return nil
	})
}

var errAbsent = errors.New("the cache lacks a key that was written")

// fillers compares the ways to Get a key that is there, with something to fall back on if it
// weren't.
func (r *run) fillers(ctx context.Context, all []entrant) (err error) {
	c, ok := all[0].cache.(caches.Filling)
	if !ok {
		return fmt.Errorf("%s has no fillers", all[0].Name)
	}
	database := make(map[string]string) // captured, as a service's handle is
	absent := func(key string) (string, error) {
		if val, ok := database[key]; ok {
			return val, nil
		}
		return "", errAbsent
	}
	type subject struct {
		name string
		do   chunk
	}
	subjects := []subject{
		{Get, getHits(c, r.load)},
		{GetWithFiller, fillerHits(c, r.load, absent)},
	}
	for _, e := range all {
		l, ok := e.cache.(caches.Loading)
		if !ok || e.Variant {
			continue
		}
		get, err := l.Loader(func(_ context.Context, key string) (string, error) { return absent(key) })
		if err != nil {
			return err
		}
		subjects = append(subjects, subject{LoaderOf(e.Name), loaderHits(ctx, get, r.load)})
	}
	typed, err := newSharing(ctx, r.load)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, typed.node.Close()) }()
	subjects = append(subjects, subject{TypedShared, loaderHits(ctx, typed.Get, r.load)})
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
