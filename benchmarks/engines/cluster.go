package engines

import (
	"context"
	"runtime"
	"time"

	"github.com/iwanbk/bcache/benchmarks/measure"
)

// measureCluster starts nodes, leaves them alone, and then watches Sets arrive.
func measureCluster(ctx context.Context, b *bench) (*Cluster, error) {
	var r Cluster
	bytes, goroutines := heap()
	before, err := b.used()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	c, err := b.create(b.Nodes, nodeKeys)
	if err != nil {
		return nil, err
	}
	if err := c.meet(ctx, b.Nodes-1); err != nil {
		return nil, err
	}
	r.Connected = time.Since(start)
	if err := c.connected(ctx, b.Nodes-1); err != nil {
		return nil, err
	}
	r.Ready = time.Since(start)
	if r.Connecting, err = b.since(before); err != nil {
		return nil, err
	}

	bytesNow, goroutinesNow := heap()
	r.Heap = (bytesNow - bytes) / float64(b.Nodes)
	r.Goroutines = float64(goroutinesNow-goroutines) / float64(b.Nodes)

	if err := measure.Sleep(ctx, b.Plan.Settle); err != nil {
		return nil, err
	}
	if before, err = b.used(); err != nil {
		return nil, err
	}
	start = time.Now()
	if err := measure.Sleep(ctx, b.Plan.Idle); err != nil {
		return nil, err
	}
	r.IdleFor = time.Since(start)
	if r.Idle, err = b.since(before); err != nil {
		return nil, err
	}

	runtime.GC()
	if err := r.watch(ctx, b.Plan, c); err != nil {
		return nil, err
	}
	r.Cut = c.cut()
	return &r, c.close()
}

// watch sets on the first node what the others show, and in turns asks a bare connection. How fast either
// is depends on where the scheduler last left the threads that wait for the network.
func (r *Cluster) watch(ctx context.Context, plan Plan, c nodes) error {
	e, err := measure.NewEcho()
	if err != nil {
		return err
	}
	defer e.Close()
	w, cancel := newWatch(c[1:])
	defer cancel()
	var raw, visible []float64
	for i := range plan.Sets {
		if err := measure.Sleep(ctx, plan.Gap); err != nil {
			return err
		}
		d, err := e.RoundTrip()
		if err != nil {
			return err
		}
		raw = append(raw, ms(d))
		if err := measure.Sleep(ctx, plan.Gap); err != nil {
			return err
		}
		if d, err = w.set(ctx, c[0], i); err != nil {
			return err
		}
		visible = append(visible, ms(d))
	}
	r.Raw, r.Visible = delayOf(raw), delayOf(visible)
	return nil
}

func delayOf(v []float64) Delay { return Delay{measure.Quantile(v, .5), measure.Quantile(v, .99)} }

func ms(d time.Duration) float64 { return d.Seconds() * 1e3 }
