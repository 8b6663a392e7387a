package engines

import (
	"context"
	"errors"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/benchmarks/measure"
)

const (
	guestStays = 200 * time.Millisecond // after it is ready
	guestPause = 100 * time.Millisecond
)

// measureGuest watches Sets go from one node to another, while a third one joins and leaves, again and
// again.
func measureGuest(ctx context.Context, b *bench) (*Guest, error) {
	c, err := b.start(ctx, 2, nodeKeys)
	if err != nil {
		return nil, err
	}
	w, cancel := newWatch(c[1:])
	defer cancel()

	enough, stop := context.WithTimeout(ctx, b.Plan.Guest)
	defer stop()
	visits, failed := 0, make(chan error, 1)
	go func() {
		for enough.Err() == nil {
			if err := b.visit(ctx, c); err != nil {
				failed <- err
				return
			}
			visits++
		}
		failed <- nil
	}()
	var delays []float64
	for i := 0; ; i++ {
		if err := measure.Sleep(ctx, b.Plan.Gap); err != nil {
			return nil, err
		}
		select {
		case err := <-failed: // after a last visit
			if err := errors.Join(err, c.close()); err != nil {
				return nil, err
			}
			return &Guest{delayOf(delays), visits}, nil
		default:
		}
		d, err := w.set(ctx, c[0], i)
		if err != nil {
			return nil, err
		}
		delays = append(delays, ms(d))
	}
}

// visit has a node join the others, and leave.
func (b *bench) visit(ctx context.Context, c nodes) error {
	guest, err := b.node(c.first(), nodeKeys)
	if err != nil {
		return err
	}
	err = nodes{guest}.connected(ctx, len(c))
	if err == nil {
		err = measure.Sleep(ctx, guestStays)
	}
	if closed := guest.Close(); !errors.Is(closed, bcache.ErrUnconfirmed) {
		err = errors.Join(err, closed)
	}
	return errors.Join(err, measure.Sleep(ctx, guestPause))
}
