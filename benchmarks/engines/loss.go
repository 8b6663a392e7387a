package engines

import (
	"context"
	"fmt"
	"time"

	"github.com/iwanbk/bcache/benchmarks/measure"
)

// lossPatience is how long nodes may take to notice.
const lossPatience = time.Minute

// losing has nodes lose one that is in a process of its own, and watches them notice.
func losing(lost func(*child)) func(context.Context, *bench) (*Loss, error) {
	return func(ctx context.Context, b *bench) (*Loss, error) {
		r := Loss{Nodes: b.Plan.LossNodes}
		c, err := b.start(ctx, r.Nodes-1, nodeKeys)
		if err != nil {
			return nil, err
		}
		for range b.Plan.Losses {
			noticed, err := b.lose(ctx, c, lost)
			if err != nil {
				return nil, err
			}
			r.Noticed = max(r.Noticed, noticed)
		}
		return &r, c.close()
	}
}

// lose returns how long it takes until none of the nodes is connected to the one that is lost.
func (b *bench) lose(ctx context.Context, c nodes, lost func(*child)) (time.Duration, error) {
	victim, err := startChild(ctx, b.joining(c.first()))
	if err != nil {
		return 0, err
	}
	defer victim.kill()
	if err := victim.ask("", nil); err != nil {
		return 0, err
	}
	if err := c.connected(ctx, len(c)); err != nil {
		return 0, err
	}
	if err := measure.Sleep(ctx, b.Plan.Settle); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, lossPatience)
	defer cancel()
	start := time.Now()
	lost(victim)
	for i, node := range c {
		if err := await(ctx, time.Millisecond, func() bool { return direct(node) == len(c)-1 }); err != nil {
			return 0, fmt.Errorf("node %d of %d hasn't noticed: %w", i+1, len(c), err)
		}
	}
	return time.Since(start), nil
}
