package measure

import (
	"context"
	"fmt"

	"github.com/iwanbk/bcache/benchmarks/caches"
)

// A script is what is played to every cache: a Get, and a Set if it misses.
type script struct {
	key, val func(i int) string
	warm     int // accesses that don't count
	counted  int // those after them

	// settle is after how many accesses a cache works off what it has queued: they come faster here than
	// requests come to a service.
	settle int
}

// playAll returns the share of hits of every cache that can be of that capacity.
func playAll(ctx context.Context, s script, capacity int) (*Series, error) {
	ratios := &Series{}
	for _, k := range caches.Bounded() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if capacity < k.MinCapacity {
			continue
		}
		ratio, err := s.play(k, capacity)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.Name, err)
		}
		ratios.Add(k.Name, ratio)
	}
	return ratios, nil
}

// play returns the share of hits of a new cache.
func (s script) play(k caches.Kind, capacity int) (float64, error) {
	c, err := k.New(capacity)
	if err != nil {
		return 0, err
	}
	hits := 0
	for i := range s.warm + s.counted {
		key := s.key(i)
		if _, ok := c.Get(key); !ok {
			c.Set(key, s.val(i))
		} else if i >= s.warm {
			hits++
		}
		if i%s.settle == s.settle-1 {
			c.Settle()
		}
	}
	return float64(hits) / float64(s.counted), c.Close()
}
