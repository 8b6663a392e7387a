package engines

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache"
)

// watchPatience is how long a Set may take to be shown.
const watchPatience = time.Minute

// A watch is told when a key shows on all of some nodes. There is one key at a time.
type watch struct {
	key   atomic.Pointer[string]
	left  atomic.Int64
	shown chan time.Time
}

// newWatch watches nodes until it is cancelled.
func newWatch(c nodes) (w *watch, cancel func()) {
	w = &watch{shown: make(chan time.Time, 1)}
	var cancels []func()
	for _, b := range c {
		var last string
		cancels = append(cancels, b.Subscribe(func(e bcache.Event) {
			// A Set that is told of twice counts once.
			key := w.key.Load()
			if e.Kind != bcache.EventSet || key == nil || e.Key != *key || e.Key == last {
				return
			}
			last = e.Key
			if w.left.Add(-1) == 0 {
				w.shown <- time.Now()
			}
		}))
	}
	all := int64(len(c))
	w.left.Store(all)
	return w, func() {
		for _, cancel := range cancels {
			cancel()
		}
	}
}

// set sets the n-th key, and returns how long it takes until all nodes show it.
func (w *watch) set(ctx context.Context, from *bcache.Bcache, n int) (time.Duration, error) {
	ctx, stop := context.WithTimeout(ctx, watchPatience)
	defer stop()
	key, all := fmt.Sprintf("watched-%08d", n), w.left.Load()
	w.key.Store(&key)
	start := time.Now()
	if err := from.Set(key, value, 3600); err != nil {
		return 0, err
	}
	select {
	case at := <-w.shown:
		w.left.Store(all)
		return at.Sub(start), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("%s isn't shown by %d of %d nodes: %w", key, w.left.Load(), all, ctx.Err())
	}
}
