package bcacheotel

import "sync"

// gets are counters, of Stats or LoaderStats, that say how many Gets there were, and of what kind. Some
// count the same Get.
type gets struct{ hits, misses, stale, staleHits, negative uint64 }

// byResult counts each Get once. In the counters a stale value is a hit or, if it was waited for first,
// a miss; the known absence of a value is a hit.
func (g gets) byResult() [4]result {
	n := func(counted uint64) float64 { return float64(counted) }
	return [4]result{
		{"hit", n(g.hits) - n(g.staleHits) - n(g.negative)},
		{"stale", n(g.stale)},
		{"negative", n(g.negative)},
		{"miss", n(g.misses) - n(g.stale) + n(g.staleHits)},
	}
}

type result struct {
	name  string
	count float64
}

// marks keep counters from falling. These are differences of counters that are read one after the other
// while they grow, and who reads a counter takes one that falls for one that began anew. The zero value
// is ready. It is safe for concurrent use.
type marks struct {
	mu   sync.Mutex
	most map[mark]float64
}

// A mark is one counter; loader is "" if it is the cache's.
type mark struct{ loader, result string }

// raise returns a count, or what it was before if that was more.
func (m *marks) raise(of mark, count float64) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.most == nil {
		m.most = map[mark]float64{}
	}
	count = max(count, m.most[of])
	m.most[of] = count
	return count
}
