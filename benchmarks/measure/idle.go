package measure

import (
	"context"
	"errors"
	"time"
)

// idle counts what two nodes that have nothing to do send each other, for several numbers of
// keys at once: they don't disturb each other.
func (r *run) idle(ctx context.Context) (err error) {
	pairs := make(map[int]*pair)
	defer func() {
		for _, p := range pairs {
			err = errors.Join(err, p.close())
		}
	}()
	for _, keys := range r.plan.IdleKeys {
		p, err := newPair(ctx, roomy(keys), r.big.Keys[:keys], r.big.Val)
		if err != nil {
			return err
		}
		pairs[keys] = p
	}
	if err := Sleep(ctx, r.plan.IdleSettle); err != nil {
		return err
	}
	before := make(map[int]int64)
	for keys, p := range pairs {
		before[keys] = p.proxy.bytes.Load()
	}
	start := time.Now()
	for left := r.plan.Idle; left > 0; left = r.plan.Idle - time.Since(start) {
		r.step(1 - left.Seconds()/r.plan.Idle.Seconds())
		if err := Sleep(ctx, min(left, time.Second)); err != nil {
			return err
		}
	}
	took := time.Since(start)
	r.IdleUsed = make(map[int]float64)
	for keys, p := range pairs {
		r.IdleUsed[keys] = float64(p.proxy.bytes.Load()-before[keys]) / took.Minutes()
	}
	return nil
}
