package measure

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// joins has a node join one that holds more and more.
func (r *run) joins(ctx context.Context) error {
	r.Join = make(map[int]*Series)
	for i, keys := range r.plan.Joins {
		r.Join[keys] = &Series{}
		if err := r.join(ctx, keys, r.plan.JoinRounds[i]); err != nil {
			return fmt.Errorf("%d keys: %w", keys, err)
		}
		r.step(float64(i+1) / float64(len(r.plan.Joins)))
	}
	return nil
}

func (r *run) join(ctx context.Context, keys, rounds int) (err error) {
	a, err := newNode(roomy(keys))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	if err := setAll(a, r.big.Keys[:keys], r.big.Val); err != nil {
		return err
	}
	for range rounds {
		runtime.GC()
		start := time.Now()
		b, err := newNode(roomy(keys), a.Addr())
		if err != nil {
			return err
		}
		wait, cancel := context.WithTimeout(ctx, patience)
		err = b.WaitSynced(wait)
		cancel()
		took, s := time.Since(start), b.Stats()
		if err == nil && (s.Keys != keys || s.SyncsReceived != 1) {
			err = fmt.Errorf("the joining node has %d keys after %d full syncs", s.Keys, s.SyncsReceived)
		}
		if err := errors.Join(err, b.Close()); err != nil {
			return err
		}
		r.Join[keys].Add(JoinWhole, took.Seconds())
		r.Join[keys].Add(SyncItself, s.SyncTook.Seconds())
	}
	return nil
}
