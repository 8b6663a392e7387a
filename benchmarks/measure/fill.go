package measure

import (
	"errors"
	"fmt"
	"strings"

	"github.com/iwanbk/bcache/benchmarks/caches"
	"github.com/iwanbk/bcache/benchmarks/workload"
)

// roomy is the capacity at which that many entries fit however a cache spreads them.
func roomy(entries int) int { return entries + entries/4 }

// fill writes every key once. Key and value are copies, as a service's are, so that what a cache
// keeps is its own.
func fill(c caches.Cache, w *workload.Workload) error {
	if l, ok := c.(caches.Loader); ok {
		return l.Load(w.Keys, w.Vals)
	}
	for i, key := range w.Keys {
		c.Set(strings.Clone(key), strings.Clone(w.Val(i)))
		if i%1000 == 999 {
			c.Settle() // ristretto would drop Sets that come faster
		}
	}
	c.Settle()
	return nil
}

// filled returns a new cache that holds every key of w.
func filled(k caches.Kind, w *workload.Workload) (caches.Cache, error) {
	c, err := k.New(roomy(len(w.Keys)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.Name, err)
	}
	if err := fill(c, w); err != nil {
		return nil, fmt.Errorf("%s: %w", k.Name, errors.Join(err, c.Close()))
	}
	return c, nil
}
