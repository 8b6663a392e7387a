package measure

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/iwanbk/bcache"
)

// A cluster is nodes in this process, each connected to all others.
type cluster []*bcache.Bcache

// newCluster returns when every node is ready and connected.
func newCluster(ctx context.Context, nodes, maxKeys int) (c cluster, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	for range nodes {
		var peers []string
		if len(c) > 0 {
			peers = []string{c[0].Addr()}
		}
		b, err := newNode(maxKeys, peers...)
		if err != nil {
			return c, err
		}
		c = append(c, b)
	}
	return c, c.connected(ctx)
}

func newNode(maxKeys int, peers ...string) (*bcache.Bcache, error) {
	return bcache.New(bcache.Config{ListenAddr: "127.0.0.1:0", Peers: peers, MaxKeys: maxKeys})
}

func (c cluster) connected(ctx context.Context) error {
	for _, b := range c {
		err := await(ctx, func() bool {
			direct := 0
			for _, m := range b.Members() {
				if m.Direct {
					direct++
				}
			}
			return direct == len(c)-1 && b.Ready() == nil
		})
		if err != nil {
			return fmt.Errorf("connecting %d nodes: %w", len(c), err)
		}
	}
	return nil
}

// settled waits until nothing is on its way any more.
func (c cluster) settled(ctx context.Context) error {
	var last uint64
	var since time.Time
	return await(ctx, func() bool {
		var now uint64
		for _, b := range c {
			s := b.Stats()
			now += s.RecordsIn + s.Duplicates + s.RecordsRepaired + uint64(s.Outbox)
		}
		if now != last || since.IsZero() {
			last, since = now, time.Now()
		}
		return time.Since(since) > 50*time.Millisecond
	})
}

func (c cluster) close() error {
	var errs []error
	for _, b := range c {
		errs = append(errs, b.Close())
	}
	return errors.Join(errs...)
}

const patience = time.Minute

// await asks until the answer is yes, rarely enough to disturb nothing.
func await(ctx context.Context, yes func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}
