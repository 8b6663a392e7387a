package measure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/iwanbk/bcache"
)

// bursts has one node of each number of nodes write as fast as one goroutine can.
func (r *run) bursts(ctx context.Context) error {
	r.Bursts = make(map[int]*Burst)
	for _, n := range r.plan.Nodes {
		r.Bursts[n] = &Burst{}
	}
	return r.rounds(ctx, r.plan.Rounds, len(r.plan.Nodes), func(i, _ int) error {
		return r.burst(ctx, r.plan.Nodes[i])
	})
}

func (r *run) burst(ctx context.Context, nodes int) (err error) {
	c, err := newCluster(ctx, nodes, roomy(r.plan.Sets))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	runtime.GC()
	bytes, start := c.bytesOut(), time.Now()
	cpuBefore, known := CPUTime()
	for i, key := range r.big.Keys[:r.plan.Sets] {
		if err := c[0].SetWithTTL(key, r.big.Val(i), bcache.NoExpiry); err != nil {
			return err
		}
	}
	last := r.big.Keys[r.plan.Sets-1]
	// The last key alone says little: what was dropped before it would come later.
	err = await(ctx, func() bool {
		for _, b := range c {
			if b.Len() < r.plan.Sets {
				return false
			}
			if _, ok := b.Get(last); !ok {
				return false
			}
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("%d nodes: %w", nodes, err)
	}
	took := time.Since(start)
	cpuAfter, _ := CPUTime()
	n := float64(r.plan.Sets)
	s, name := r.Bursts[nodes], Case(nodes)
	s.Rate.Add(name, n/took.Seconds())
	s.Bytes.Add(name, float64(c.bytesOut()-bytes)/n/float64(nodes-1))
	if known {
		s.CPU.Add(name, float64((cpuAfter-cpuBefore).Microseconds())/n)
	}
	return nil
}

func (c cluster) bytesOut() (n uint64) {
	for _, b := range c {
		n += b.Stats().BytesOut
	}
	return n
}

// Case is the subject of a burst's series.
func Case(nodes int) string { return fmt.Sprintf("%d nodes", nodes) }

// Burst returns the bursts of that many nodes; one without figures if there were none.
func (r *Results) Burst(nodes int) *Burst { return cmp.Or(r.Bursts[nodes], &Burst{}) }
