package engines

import (
	"context"
	"fmt"
	"time"

	"github.com/iwanbk/bcache/benchmarks/measure"
)

// A Soak is how nodes got on with a long use.
type Soak struct {
	Engine     string
	Nodes      int
	For        time.Duration
	Writes     int
	Restarts   int    // of nodes, one after the other
	Cut        uint64 // connections that nodes of this process cut as stuck, once all were connected
	Lost       int    // connections of the start that aren't there in the end, where no node was restarted
	Begin, End Sample // after half of the time, and in the end
	Flat       bool   // that is no growth
}

// finish checks that all nodes are connected, and show one more Set.
func (s *Soak) finish(ctx context.Context, c nodes, others int) (err error) {
	if err := c.connected(ctx, others); err != nil {
		return err
	}
	w, cancel := newWatch(c[1:])
	defer cancel()
	if _, err := w.set(ctx, c[0], 0); err != nil {
		return err
	}
	s.Cut += c.cut()
	if s.End, err = takeSample(ctx); err != nil {
		return err
	}
	s.Flat = s.Begin.flat(s.End)
	return nil
}

// write has nodes write in turns, at a rate a second, until the deadline.
func (s *Soak) write(ctx context.Context, c nodes, rate int, until time.Time) error {
	begin, n := time.Now(), 0
	for {
		due := begin.Add(time.Duration(n) * time.Second / time.Duration(rate))
		if due.After(until) {
			return nil
		}
		if err := measure.Sleep(ctx, time.Until(due)); err != nil {
			return err
		}
		n++
		s.Writes++
		if err := c[n%len(c)].Set(fmt.Sprint("soak", n%nodeKeys), value, 60); err != nil {
			return err
		}
	}
}
