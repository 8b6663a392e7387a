package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// check compares what each node serves for the changed users, now that nobody
// changes them any more, with what the database holds. It returns one line per
// difference that is still there staleAfter after the check began.
func (d *demo) check(ctx context.Context, changed map[int64]struct{}) ([]string, error) {
	var (
		mu         sync.Mutex
		mismatches []string
		checked    atomic.Uint64
		settled    = time.Now().Add(staleAfter)
	)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(d.opts.clients)
	for id := range changed {
		group.Go(func() error {
			found, err := d.checkUser(groupCtx, id, settled)
			mu.Lock()
			defer mu.Unlock()
			mismatches = append(mismatches, found...)
			checked.Add(1)
			return err
		})
		d.progress.step(time.Now(), "comparing nodes and database: %s of %s changed users",
			count(checked.Load()), count(uint64(len(changed))))
	}
	err := group.Wait()
	slices.Sort(mismatches)
	return mismatches, err
}

func (d *demo) checkUser(ctx context.Context, id int64, settled time.Time) (mismatches []string, err error) {
	want, err := d.nodes[0].store.User(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("reading user %d from the database: %w", id, err)
	}
	for i, n := range d.nodes {
		for {
			last := !time.Now().Before(settled)
			got, _, err := d.client.get(ctx, n.url, id)
			if err != nil {
				return nil, err
			}
			if got == want {
				break
			}
			if last {
				mismatches = append(mismatches, fmt.Sprintf("user %d: node %d serves user %d, %q; the database holds %q",
					id, i+1, got.ID, got.Name, want.Name))
				break
			}
			if err := pause(ctx, 5*time.Millisecond); err != nil {
				return nil, err
			}
		}
	}
	return mismatches, nil
}
