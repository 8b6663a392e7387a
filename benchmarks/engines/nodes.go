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
	var c nodes
	for range n {
		node, err := b.node(c.first(), maxKeys)
		if err != nil {
			return c, errors.Join(err, c.close())
		}
		c = append(c, node)
	}
	if err := c.connected(ctx, n-1); err != nil {
		return c, errors.Join(err, c.close())
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

// connected waits until every node is ready, and connected to so many others.
func (c nodes) connected(ctx context.Context, others int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for i, b := range c {
		var last error
		err := await(ctx, 2*time.Millisecond, func() bool {
			last = b.Ready()
			if n := direct(b); n != others {
				last = fmt.Errorf("it is connected to %d of %d others", n, others)
			}
			return last == nil
		})
		if err != nil {
			return fmt.Errorf("node %d isn't ready within %v: %w", i+1, patience, errors.Join(last, err))
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
