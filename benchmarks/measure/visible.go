package measure

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/benchmarks/workload"
)

const idleGap = 2 * time.Millisecond // between two Sets, so that each meets idle nodes

// visibility measures how long it takes until a Set on one idle node shows on another, and how
// long a round trip of as many bytes takes over a bare connection meanwhile.
func (r *run) visibility(ctx context.Context) (err error) {
	c, err := newCluster(ctx, 2, roomy(r.plan.Keys))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	arrivals, cancel := newWatch(c[1])
	defer cancel()
	e, err := NewEcho()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()

	next := 0
	subjects := []struct {
		name, name99 string
		once         func() (time.Duration, error)
	}{
		{RawTCP, RawTCP99, e.RoundTrip},
		{Visible, Visible99, func() (time.Duration, error) {
			next++
			return arrivals.setUntilVisible(ctx, c[0], fmt.Sprintf("%0*d", workload.KeySize, next), r.load.Val(next))
		}},
	}
	r.Samples = make(map[string][]float64)
	for round := range r.plan.Rounds {
		// In turns, one by one: how fast either is depends on where the scheduler last left
		// the threads that wait for the network.
		us := make(map[string][]float64)
		for range r.plan.Visible {
			for _, s := range subjects {
				if err := Sleep(ctx, idleGap); err != nil {
					return err
				}
				d, err := s.once()
				if err != nil {
					return err
				}
				us[s.name] = append(us[s.name], float64(d)/1e3)
			}
		}
		for _, s := range subjects {
			r.Samples[s.name] = append(r.Samples[s.name], us[s.name]...)
			r.Latency.Add(s.name, median(us[s.name]))
			r.Latency.Add(s.name99, Quantile(us[s.name], .99))
		}
		r.step(float64(round+1) / float64(r.plan.Rounds))
	}
	return nil
}

// A watch is told when a value shows on a node.
type watch chan arrival

type arrival struct {
	key string
	at  time.Time
}

func newWatch(b *bcache.Bcache) (w watch, cancel func()) {
	w = make(watch, 1)
	return w, b.Subscribe(func(e bcache.Event) {
		if e.Kind == bcache.EventSet {
			w <- arrival{e.Key, time.Now()}
		}
	})
}

func (w watch) setUntilVisible(ctx context.Context, from *bcache.Bcache, key, val string) (time.Duration, error) {
	start := time.Now()
	if err := from.Set(key, val, 3600); err != nil {
		return 0, err
	}
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	select {
	case a := <-w:
		if a.key != key {
			return 0, fmt.Errorf("%q arrived instead of %q", a.key, key)
		}
		return a.at.Sub(start), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("%q didn't arrive: %w", key, ctx.Err())
	}
}
