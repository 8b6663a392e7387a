package engines

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/benchmarks/measure"
	"github.com/iwanbk/bcache/benchmarks/workload"
)

const burstNodes = 3

var value = string(make([]byte, workload.Payload-workload.KeySize))

// measureBurst has one of three nodes write as fast as one goroutine can, each time in a fresh cluster.
func measureBurst(ctx context.Context, b *bench) (*Burst, error) {
	load := workload.New(b.Plan.Burst)
	var r Burst
	var rate, perSet, server []float64
	for range b.Plan.BurstRounds {
		c, err := b.start(ctx, burstNodes, 2*b.Plan.Burst)
		if err != nil {
			return nil, err
		}
		runtime.GC()
		before, err := b.used()
		if err != nil {
			return nil, err
		}
		start := time.Now()
		if err := burst(ctx, c, load); err != nil {
			return nil, err
		}
		took := time.Since(start)
		used, err := b.since(before)
		if err != nil {
			return nil, err
		}
		n := float64(b.Plan.Burst)
		rate = append(rate, n/took.Seconds())
		perSet = append(perSet, used.All().Seconds()*1e6/n)
		server = append(server, used.Server.Seconds()*1e6/n)
		r.Dropped = max(r.Dropped, c[0].Stats().DroppedOutbox)
		if err := c.close(); err != nil {
			return nil, err
		}
	}
	r.Rate, r.PerSet = measure.Quantile(rate, .5), measure.Quantile(perSet, .5)
	r.ServerSet = measure.Quantile(server, .5)
	return &r, nil
}

// burst writes all keys on the first node, and returns when all nodes have them.
func burst(ctx context.Context, c nodes, load *workload.Workload) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for i, key := range load.Keys {
		if err := c[0].SetWithTTL(key, load.Val(i), bcache.NoExpiry); err != nil {
			return err
		}
	}
	// The last key alone says little: what was dropped before it comes later.
	for i, b := range c {
		err := await(ctx, time.Millisecond, func() bool { return b.Len() >= len(load.Keys) })
		if err != nil {
			return fmt.Errorf("node %d has %d of %d keys: %w", i+1, b.Len(), len(load.Keys), err)
		}
	}
	return nil
}
