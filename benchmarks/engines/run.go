package engines

import (
	"context"
	"fmt"
	"time"
)

// Progress is told what runs and which share of the whole is done.
type Progress func(step string, share float64)

// A step measures one thing of an engine.
type step struct {
	name string
	do   func(context.Context, *Measured, task) error
}

// Run measures engines, one after the other in each measurement: so a machine that gets busier meanwhile is
// unfair to all of them. A measurement that fails is in the results; the error is that ctx ended.
func Run(ctx context.Context, plan Plan, which []Engine, progress Progress) (*Results, error) {
	began := time.Now()
	r := &Results{Plan: plan}
	for _, e := range which {
		r.Engines = append(r.Engines, &Measured{Name: e.Name(), Most: e.Most(), Clusters: map[int]*Cluster{}})
	}
	steps := stepsOf(plan)
	for i, s := range steps {
		for j, m := range r.Engines {
			progress(s.name+" of "+m.Name, float64(i*len(r.Engines)+j)/float64(len(steps)*len(r.Engines)))
			err := s.do(ctx, m, task{Engine: m.Name, Plan: plan})
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err != nil {
				m.Failed = append(m.Failed, fmt.Sprintf("%s: %v", s.name, err))
			}
		}
	}
	progress("done", 1)
	r.Took = time.Since(began)
	return r, nil
}

func stepsOf(plan Plan) []step {
	steps := []step{
		{"burst", func(ctx context.Context, m *Measured, t task) (err error) {
			m.Burst, err = figures[Burst](ctx, "burst", t)
			return err
		}},
		{"a third node", func(ctx context.Context, m *Measured, t task) (err error) {
			m.Guest, err = figures[Guest](ctx, "guest", t)
			return err
		}},
		{"kill -9", func(ctx context.Context, m *Measured, t task) (err error) {
			m.Killed, err = figures[Loss](ctx, "kill", t)
			return err
		}},
		{"a frozen node", func(ctx context.Context, m *Measured, t task) (err error) {
			if canFreeze {
				m.Frozen, err = figures[Loss](ctx, "freeze", t)
			}
			return err
		}},
		{"a frozen node, idle", func(ctx context.Context, m *Measured, t task) (err error) {
			if canFreeze {
				m.FrozenIdle, err = figures[Loss](ctx, "idle", t)
			}
			return err
		}},
	}
	for _, n := range plan.Nodes {
		steps = append(steps, clusterOf(n))
	}
	return steps
}

// clusterOf measures a cluster of so many nodes, if the engine is for that.
func clusterOf(nodes int) step {
	return step{fmt.Sprint(nodes, " nodes"), func(ctx context.Context, m *Measured, t task) error {
		if nodes > m.Most {
			return nil
		}
		t.Nodes = nodes
		c, err := figures[Cluster](ctx, "cluster", t)
		if err == nil {
			m.Clusters[nodes] = c
		}
		return err
	}}
}

// RunSoak has nodes of an engine in use for a long time: with churn some are restarted all the time.
func RunSoak(ctx context.Context, e Engine, n int, d time.Duration, churn bool) (*Soak, error) {
	do := "steady"
	if churn {
		do = "churn"
	}
	return figures[Soak](ctx, do, task{Engine: e.Name(), Nodes: n, For: d})
}

// figures are what a measurement in a process of its own answers.
func figures[T any](ctx context.Context, do string, t task) (*T, error) {
	t.Do = do
	c, err := startChild(ctx, t)
	if err != nil {
		return nil, err
	}
	defer c.kill()
	var v T
	if err := c.ask("", &v); err != nil {
		return nil, err
	}
	return &v, nil
}
