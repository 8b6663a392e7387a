package engines

import (
	"context"
	"time"
)

// soakSteady has every node write once a second. No connection may be lost meanwhile.
func soakSteady(ctx context.Context, b *bench) (*Soak, error) {
	s := &Soak{Engine: b.Engine, Nodes: b.Nodes, For: b.For}
	c, err := b.start(ctx, b.Nodes, nodeKeys)
	if err != nil {
		return nil, err
	}
	start, before := time.Now(), c.cut()
	if err := s.write(ctx, c, b.Nodes, start.Add(b.For/2)); err != nil {
		return nil, err
	}
	if s.Begin, err = takeSample(ctx); err != nil {
		return nil, err
	}
	if err := s.write(ctx, c, b.Nodes, start.Add(b.For)); err != nil {
		return nil, err
	}
	for _, node := range c { // before the nodes that were cut are back
		kept := 0
		for _, m := range node.Members() {
			if m.Direct && m.Since.Before(start) {
				kept++
			}
		}
		s.Lost += len(c) - 1 - kept
	}
	if err := s.finish(ctx, c, len(c)-1); err != nil {
		return nil, err
	}
	s.Cut -= before
	return s, c.close()
}
