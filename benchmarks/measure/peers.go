package measure

import (
	"context"
	"errors"
	"time"

	"github.com/iwanbk/bcache/benchmarks/caches"
)

const (
	pacedRate  = 50_000 // Sets per second
	pacedBatch = 100    // Sets that are timed together
)

// peers measures what a Set costs its caller while two other nodes are sent it.
func (r *run) peers(ctx context.Context) (err error) {
	c, err := newCluster(ctx, 3, roomy(r.plan.Keys))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	named := make(map[string]caches.Cache)
	defer func() {
		for _, l := range named {
			err = errors.Join(err, l.Close())
		}
	}()
	for _, k := range caches.Main(caches.Local()) {
		if k.Name == caches.Bcache || k.Name == caches.Otter {
			if named[k.Name], err = filled(k, r.load); err != nil {
				delete(named, k.Name)
				return err
			}
		}
	}
	var failed error
	replicated := func(key, val string) {
		if err := c[0].Set(key, val, int(caches.TTL.Seconds())); err != nil {
			failed = err
		}
	}
	for i, key := range r.load.Keys {
		replicated(key, r.load.Val(i))
	}
	subjects := []struct {
		name string
		set  func(key, val string)
		rate float64 // 0 is as fast as it goes
	}{
		{Paced, replicated, pacedRate},
		{Local, named[caches.Bcache].Set, pacedRate},
		{OtterSet, named[caches.Otter].Set, pacedRate},
		{Saturated, replicated, 0},
	}
	err = r.rounds(ctx, r.plan.Rounds, len(subjects), func(i, _ int) error {
		if err := c.settled(ctx); err != nil {
			return err
		}
		ns, err := r.paced(ctx, subjects[i].set, subjects[i].rate)
		if err != nil {
			return err
		}
		r.Peers.Add(subjects[i].name, median(ns))
		return failed
	})
	r.Dropped = c[0].Stats().DroppedOutbox
	return err
}

// paced returns the time per Set of each batch.
func (r *run) paced(ctx context.Context, set func(key, val string), rate float64) (ns []float64, err error) {
	start := time.Now()
	for n := 0; ; n++ {
		if rate > 0 {
			due := start.Add(time.Duration(float64(n*pacedBatch) / rate * float64(time.Second)))
			if err := Sleep(ctx, time.Until(due)); err != nil {
				return nil, err
			}
		} else if err := ctx.Err(); err != nil {
			return nil, err
		}
		began := time.Now()
		if began.Sub(start) > r.plan.Paced {
			return ns, nil
		}
		at := n * pacedBatch
		for i := range pacedBatch {
			set(r.load.Draws[(at+i)%len(r.load.Draws)], r.load.Val(at+i))
		}
		ns = append(ns, float64(time.Since(began))/pacedBatch)
	}
}
