package store

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/iwanbk/bcache/internal/ranking"
)

// A Hot says which keys are read most, of what was found by Get and Fresh. (What only Entry may serve,
// being stale or due, isn't counted.) Hits are sampled only while somebody asks, so that otherwise they
// cost nothing more. It may be called at any time; now is monotonic.
type Hot struct {
	*shared
	mu    sync.Mutex // guards until, and what samples is set to
	until time.Duration
}

const (
	hotFor     = time.Minute // for so long hits are sampled after somebody asked
	hotKeys    = 512         // the counters
	sampledOne = 64          // of so many hits, on average, one is sampled
)

// Ask has hits sampled for a minute from now on. What was sampled before is kept if that hasn't ended.
func (h *Hot) Ask(now time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed.Load() {
		return
	}
	h.until = max(h.until, now+hotFor)
	if h.samples.Load() == nil {
		h.samples.Store(&samples{frequent: ranking.NewFrequent(hotKeys)})
	}
}

// Tick ends the minute when its time has come, and drops what was sampled.
func (h *Hot) Tick(now time.Duration) {
	if h.samples.Load() == nil { // as a rule
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if now >= h.until {
		h.samples.Store(nil)
	}
}

// Top returns the k keys that had most hits since sampling began, 512 at most, and about how many hits
// all keys had since. Who goes on asking gets the sums of all that time. Each sample counts as the 64
// hits that it stands for. While hits aren't sampled there is nothing.
func (h *Hot) Top(k int) (top []ranking.Count, hits uint64) {
	s := h.samples.Load()
	if s == nil {
		return nil, 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	top = s.frequent.Top(k)
	for i := range top {
		top[i].Count *= sampledOne
		top[i].Error *= sampledOne
	}
	return top, s.frequent.Total() * sampledOne
}

// end drops what was sampled when the store is closed.
func (h *Hot) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.samples.Store(nil)
}

// samples are of hits.
type samples struct {
	mu       sync.Mutex
	frequent *ranking.Frequent
}

// take takes one hit of some as a sample: by chance, as what is read in turns would have a pattern. That
// differs from run to run, and nothing that a node does depends on it. It runs with every hit, so it
// doesn't wait for others that do the same.
func (s *samples) take(e *Entry) {
	if rand.Uint32()%sampledOne != 0 || !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	s.frequent.Add(e.Key) // the entry's own: a reader's key may lie on its stack
}
