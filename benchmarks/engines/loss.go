package engines

import (
	"context"
	"fmt"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/benchmarks/measure"
)

const (
	lossPatience = time.Minute // nodes may take so long to notice
	useEvery     = time.Second // a node writes, if they are in use
)

// losing has nodes lose one that is in a process of its own, and watches them notice. They are idle, or in
// use.
func losing(lost func(*child), inUse bool) func(context.Context, *bench) (*Loss, error) {
	return func(ctx context.Context, b *bench) (*Loss, error) {
		r := Loss{Nodes: b.Plan.LossNodes}
		c, err := b.start(ctx, r.Nodes-1, nodeKeys)
		if err != nil {
			return nil, err
		}
		if inUse {
			using, stop := context.WithCancel(ctx)
			defer stop()
			go use(using, c)
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

// use writes until the context ends, each time by another node.
func use(ctx context.Context, c nodes) {
	for i := 0; measure.Sleep(ctx, useEvery) == nil; i++ {
		_ = c[i%len(c)].SetWithTTL("used", "", bcache.NoExpiry) // not at the end
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
