package bcacheprom

import "sync"

// gets are counters of Stats from which follows what Gets returned.
type gets struct{ hits, misses, notFound, stale, staleHits uint64 }

// results splits all Gets by what they returned, so that each is in one part. A stale value is a hit to
// Stats, or a miss, if a fill was waited for first and failed. A remembered ErrNotFound is a hit.
func (g gets) results() map[string]float64 {
	n := func(u uint64) float64 { return float64(u) }
	return map[string]float64{
		"hit":      n(g.hits) - n(g.staleHits) - n(g.notFound),
		"miss":     n(g.misses) - (n(g.stale) - n(g.staleHits)),
		"stale":    n(g.stale),
		"negative": n(g.notFound),
	}
}

// getCounts keep differences of counters from going back: the counters are read one after the other,
// while others count. A counter that goes back is one that began anew, to Prometheus.
type getCounts struct {
	mu   sync.Mutex
	last map[getCount]float64
}

type getCount struct{ loader, result string }

// next returns the results, none of them less than it was.
func (c *getCounts) next(loader string, g gets) map[string]float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil {
		c.last = map[getCount]float64{}
	}
	results := g.results()
	for result, n := range results {
		of := getCount{loader, result}
		c.last[of] = max(c.last[of], n)
		results[result] = c.last[of]
	}
	return results
}
