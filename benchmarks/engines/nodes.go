package engines

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/iwanbk/bcache"
)

// patience is how long so many nodes may take to connect.
const patience = 3 * time.Minute

// nodes are in this process.
type nodes []*bcache.Bcache

// start returns when every node is ready and connected to all others.
func (b *bench) start(ctx context.Context, n, maxKeys int) (nodes, error) {
	c, err := b.create(n, maxKeys)
	if err == nil {
		err = c.connected(ctx, n-1)
	}
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// create starts nodes, and waits for nothing.
func (b *bench) create(n, maxKeys int) (c nodes, err error) {
	for range n {
		node, err := b.node(c.first(), maxKeys)
		if err != nil {
			return c, err
		}
		c = append(c, node)
	}
	return c, nil
}

// first is the address of the node that others join.
func (c nodes) first() string {
	if len(c) == 0 {
		return ""
	}
	return c[0].Addr()
}

// connected waits until every node is connected to so many others, and ready.
func (c nodes) connected(ctx context.Context, others int) error {
	if err := c.meet(ctx, others); err != nil {
		return err
	}
	return c.each(ctx, (*bcache.Bcache).Ready)
}

// meet waits until every node is connected to so many others.
func (c nodes) meet(ctx context.Context, others int) error {
	return c.each(ctx, func(b *bcache.Bcache) error {
		if n := direct(b); n != others {
			return fmt.Errorf("it is connected to %d of %d others", n, others)
		}
		return nil
	})
}

// each waits until nothing is wrong with any node.
func (c nodes) each(ctx context.Context, wrong func(*bcache.Bcache) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for i, b := range c {
		var last error
		err := await(ctx, 2*time.Millisecond, func() bool {
			last = wrong(b)
			return last == nil
		})
		if err != nil {
			return fmt.Errorf("node %d of %d: %w (%w)", i+1, len(c), last, err)
		}
	}
	return nil
}

// direct is how many other nodes one is connected to.
func direct(b *bcache.Bcache) (n int) {
	for _, m := range b.Members() {
		if m.Direct {
			n++
		}
	}
	return n
}

// cut is how many connections they have cut as stuck.
func (c nodes) cut() (n uint64) {
	for _, b := range c {
		n += b.Stats().StuckCut
	}
	return n
}

// close closes all at the same time. That the last writes aren't confirmed is no failure.
func (c nodes) close() error {
	errs := make([]error, len(c))
	var wg sync.WaitGroup
	for i, b := range c {
		wg.Go(func() {
			if err := b.Close(); !errors.Is(err, bcache.ErrUnconfirmed) {
				errs[i] = err
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
