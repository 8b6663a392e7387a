package fill

import (
	"sync"
	"time"

	"github.com/iwanbk/bcache/internal/ranking"
)

const (
	slowKept    = 32
	slowWindow  = 10 * time.Minute
	refusedKept = 128
)

// Keys are those whose fills an operator may want to know: the slowest, and those that were refused
// most often. It is safe for concurrent use.
type Keys struct {
	mu      sync.Mutex
	slow    *ranking.Longest
	refused *ranking.Frequent
}

// NewKeys returns a Keys without any.
func NewKeys() *Keys {
	return &Keys{
		slow: ranking.NewLongest(slowKept, slowWindow), refused: ranking.NewFrequent(refusedKept),
	}
}

// Took notes how long a fill took that ends now.
func (k *Keys) Took(now time.Duration, key string, took time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.slow.Add(now, key, took)
}

// Refused notes that what a fill brought wasn't cached.
func (k *Keys) Refused(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refused.Add(key)
}

// Slowest returns the n that took longest within the last ten minutes, about; 32 at most.
func (k *Keys) Slowest(now time.Duration, n int) []ranking.Span {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.slow.Top(now, n)
}

// MostRefused returns the n that were refused most often; 128 at most.
func (k *Keys) MostRefused(n int) []ranking.Count {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.refused.Top(n)
}
