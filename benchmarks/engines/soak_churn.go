package engines

import (
	"context"
	"errors"
	"time"

	"github.com/iwanbk/bcache"
)

const (
	churnEvery = 3 * time.Second
	churnRate  = 100 // Sets a second of all nodes
	outside    = 2   // nodes in processes of their own
)

// A churn is nodes of which one is restarted after the other. In turns one of this process is closed, and
// one that has a process of its own is killed.
type churn struct {
	*bench
	*Soak
	own    nodes
	others []*child
}

// soakChurn watches what this process takes meanwhile.
func soakChurn(ctx context.Context, b *bench) (*Soak, error) {
	h := &churn{bench: b, Soak: &Soak{Engine: b.Engine, Nodes: b.Nodes, For: b.For}}
	defer func() {
		for _, c := range h.others {
			c.kill()
		}
	}()
	var err error
	if h.own, err = b.start(ctx, b.Nodes-outside, nodeKeys); err != nil {
		return nil, err
	}
	for range outside {
		c, err := h.outside(ctx)
		if err != nil {
			return nil, err
		}
		h.others = append(h.others, c)
	}
	start, before := time.Now(), h.own.cut()
	for _, until := range []time.Time{start.Add(b.For / 2), start.Add(b.For)} {
		if err := h.until(ctx, until); err != nil {
			return nil, err
		}
		if err := h.own.connected(ctx, b.Nodes-1); err != nil {
			return nil, err
		}
		if h.Begin == (Sample{}) {
			if h.Begin, err = takeSample(ctx); err != nil {
				return nil, err
			}
		}
	}
	if err := h.finish(ctx, h.own, b.Nodes-1); err != nil {
		return nil, err
	}
	h.Cut -= before
	return h.Soak, h.own.close()
}

// until writes, and restarts a node every few seconds.
func (h *churn) until(ctx context.Context, deadline time.Time) error {
	for time.Now().Before(deadline) {
		if err := h.write(ctx, h.own, churnRate, time.Now().Add(churnEvery)); err != nil {
			return err
		}
		if err := h.restart(ctx); err != nil {
			return err
		}
	}
	return nil
}

// restart restarts the next node. The first one of this process stays: the others join it.
func (h *churn) restart(ctx context.Context) error {
	n := h.Restarts / 2
	h.Restarts++
	if h.Restarts%2 == 0 {
		i := n % len(h.others)
		h.others[i].kill()
		c, err := h.outside(ctx)
		if err != nil {
			return err
		}
		h.others[i] = c
		return nil
	}
	i := 1 + n%(len(h.own)-1)
	h.Cut += h.own[i].Stats().StuckCut
	if err := h.own[i].Close(); err != nil && !errors.Is(err, bcache.ErrUnconfirmed) {
		return err
	}
	b, err := h.node(h.own.first(), nodeKeys)
	if err != nil {
		return err
	}
	h.own[i] = b
	return nil
}

// outside starts a node in a process of its own.
func (h *churn) outside(ctx context.Context) (*child, error) {
	c, err := startChild(ctx, h.joining(h.own.first()))
	if err != nil {
		return nil, err
	}
	if err := c.ask("", nil); err != nil {
		c.kill()
		return nil, err
	}
	return c, nil
}
