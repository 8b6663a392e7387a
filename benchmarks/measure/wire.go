package measure

import (
	"context"
	"errors"
)

// wire counts what goes to a peer and back for Sets of which so many are issued in a row.
func (r *run) wire(ctx context.Context) (err error) {
	p, err := newPair(ctx, roomy(r.plan.Sets), nil, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	next := 0
	for atOnce := 1; ; atOnce *= 10 {
		atOnce = min(atOnce, r.plan.Sets)
		times := max(1, min(100, r.plan.Sets/10/atOnce))
		if err := (cluster{p.a, p.b}).settled(ctx); err != nil {
			return err
		}
		before := p.proxy.bytes.Load()
		for range times {
			var key, val string
			for range atOnce {
				key, val = r.big.Keys[next%r.plan.Sets], r.big.Val(next/r.plan.Sets+next)
				next++
				if err := p.a.Set(key, val, 3600); err != nil {
					return err
				}
			}
			err := await(ctx, func() bool {
				got, ok := p.b.Get(key)
				return ok && got == val
			})
			if err != nil {
				return err
			}
		}
		if err := (cluster{p.a, p.b}).settled(ctx); err != nil {
			return err
		}
		bytes := float64(p.proxy.bytes.Load()-before) / float64(times*atOnce)
		r.Wire = append(r.Wire, Wire{AtOnce: atOnce, Bytes: bytes})
		r.step(float64(next) / float64(2*r.plan.Sets))
		if atOnce == r.plan.Sets {
			return nil
		}
	}
}
