package bcache

import (
	"sync"
	"time"
)

// maxFailures is how many keys are remembered, per Loader, whose fills failed. If more fail within
// RetryAfter, the oldest are asked for again earlier.
const maxFailures = 1 << 14

// failures remembers for a while which fills failed.
type failures struct {
	mu     sync.Mutex
	byKey  map[string]*failure
	oldest []*failure // first
}

type failure struct {
	key   string
	err   error         // nil: it brought nothing that could be cached
	until time.Duration // monotonic
}

// add remembers one.
func (f *failures) add(now time.Duration, key string, err error, until time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byKey == nil {
		f.byKey = map[string]*failure{}
	}
	x := &failure{key, err, until}
	f.byKey[key] = x
	f.oldest = append(f.oldest, x)
	for len(f.oldest) > 0 && (now >= f.oldest[0].until || len(f.oldest) > maxFailures) {
		f.dropOldest()
	}
}

func (f *failures) dropOldest() {
	x := f.oldest[0]
	f.oldest[0] = nil
	if f.oldest = f.oldest[1:]; f.byKey[x.key] == x { // otherwise it failed again
		delete(f.byKey, x.key)
	}
}

// of returns the failure of a key, if it is remembered.
func (f *failures) of(now time.Duration, key string) (err error, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.byKey[key]
	if x == nil || now >= x.until {
		return nil, false
	}
	return x.err, true
}
