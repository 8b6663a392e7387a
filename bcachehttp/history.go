package bcachehttp

import (
	"sync"
	"time"

	"github.com/iwanbk/bcache"
)

const (
	sampleEvery = 2 * time.Second // the figures are read
	samples     = 151             // are kept: those of five minutes
)

// A sample is the figures of a node at a time. It isn't changed any more.
type sample struct {
	at      time.Time
	stats   bcache.Stats
	relayed []uint64 // the nodes that were reached through others only
}

func newSample(cache *bcache.Bcache) *sample {
	return &sample{time.Now(), cache.Stats(), relayed(cache.Members())}
}

func relayed(members []bcache.Member) (ids []uint64) {
	for _, m := range members {
		if !m.Direct {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// A history is the figures of the last minutes.
type history struct {
	mu   sync.Mutex
	ring [samples]*sample
	n    int // how many there have been
}

// begin reads the figures at once, and then until the cache is closed.
func (h *history) begin(cache *bcache.Bcache) {
	h.add(cache)
	go func() {
		tick := time.NewTicker(sampleEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				h.add(cache)
			case <-cache.Done():
				return
			}
		}
	}()
}

func (h *history) add(cache *bcache.Bcache) {
	s := newSample(cache)
	s.stats.Peers = nil // they are shown as they are, not as they were
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ring[h.n%samples] = s
	h.n++
}

// list has the samples, the oldest first. There is one at least.
func (h *history) list() []*sample {
	h.mu.Lock()
	defer h.mu.Unlock()
	kept := min(h.n, samples)
	list := make([]*sample, 0, kept)
	for i := h.n - kept; i < h.n; i++ {
		list = append(list, h.ring[i%samples])
	}
	return list
}

// ago is the youngest sample of at least so long ago, or the oldest one that there is.
func ago(list []*sample, now time.Time, d time.Duration) *sample {
	for i := len(list) - 1; i > 0; i-- {
		if now.Sub(list[i].at) >= d {
			return list[i]
		}
	}
	return list[0]
}
