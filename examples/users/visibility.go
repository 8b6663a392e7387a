package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// staleAfter is when a change that another node doesn't show counts as stale.
	staleAfter = time.Second

	// cachedWithin is how long a user may take to get into the caches of the
	// others before it is changed.
	cachedWithin = time.Second
)

// visibility is how long changes on one node took to show on the others.
type visibility struct {
	changes int       // how many were watched
	delays  histogram // from the answer to the PUT to that of the GET that shows it
	stale   int       // not shown after staleAfter
}

// watch changes the watched users, one after the other, spread over the time
// that is left, at least one.
func (l load) watch(ctx context.Context, end time.Time, t *tally) error {
	every := time.NewTicker(max(time.Until(end)/watched, time.Millisecond))
	defer every.Stop()
	for i := range watched {
		if err := l.watchChange(ctx, i%nodeCount, userCount-int64(i), t); err != nil {
			return err
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if !time.Now().Before(end) {
			break
		}
	}
	return nil
}

// watchChange changes a user on one node, when the others have it in their
// caches, and reads it from them until they show the change.
func (l load) watchChange(ctx context.Context, writer int, id int64, t *tally) error {
	var others []int
	for node := range l.urls {
		if node != writer {
			others = append(others, node)
		}
	}
	for _, node := range others {
		if cached, err := l.warm(ctx, node, id, t); err != nil || !cached {
			return err // without an old value there is nothing to measure
		}
	}

	name := fmt.Sprintf("Watched %d", id)
	if err := l.put(ctx, writer, id, name, t); err != nil {
		return err
	}
	answered := time.Now()
	delays := make([]time.Duration, len(others))
	tallies := make([]tally, len(others))
	group, ctx := errgroup.WithContext(ctx)
	for i, node := range others {
		group.Go(func() error {
			for {
				u, err := l.get(ctx, node, id, &tallies[i])
				delays[i] = time.Since(answered)
				if err != nil || u.Name == name || delays[i] > staleAfter {
					return err
				}
			}
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}

	l.seen.changes++
	for i, delay := range delays {
		t.merge(&tallies[i])
		l.seen.delays.add(delay)
		if delay > staleAfter {
			l.seen.stale++
		}
	}
	return nil
}

// warm reads a user until it comes from the node's cache.
func (l load) warm(ctx context.Context, node int, id int64, t *tally) (cached bool, err error) {
	for end := time.Now().Add(cachedWithin); time.Now().Before(end); {
		before := t.nodes[node].hits
		if _, err := l.get(ctx, node, id, t); err != nil {
			return false, err
		}
		if t.nodes[node].hits > before {
			return true, nil
		}
	}
	return false, nil
}
