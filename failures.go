package bcache

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxFailures is how many keys are remembered, per Loader, whose fills failed. If more fail, the
	// oldest are asked for again earlier.
	maxFailures = 1 << 14

	// failureKept is for how long a failure is remembered after an old value was last served because
	// of it, unless twice RetryAfter is longer. Keys that are in use don't wait for a database that is
	// down, or hangs, but for the first time; keys that aren't, wait for a fill when they are.
	failureKept = 10 * time.Second
)

// failures remembers for a while which fills failed: the keys rest, and are then tried again in the
// background, as long as there is an old value that is asked for.
type failures struct {
	mu     sync.RWMutex
	byKey  map[string]*failure
	oldest []*failure // first
}

type failure struct {
	key  string
	err  error         // nil: it brought nothing that could be cached
	rest time.Duration // until then, by the monotonic clock
	kept time.Duration
	gone atomic.Int64 // then it is forgotten
}

// add remembers one: the key is left alone for a while.
func (f *failures) add(now time.Duration, key string, err error, rest time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byKey == nil {
		f.byKey = map[string]*failure{}
	}
	x := &failure{key: strings.Clone(key), err: err, rest: now + rest, kept: max(2*rest, failureKept)}
	x.gone.Store(int64(now + x.kept))
	f.endLocked(key)
	f.byKey[x.key] = x
	f.oldest = append(f.oldest, x)
	for len(f.oldest) > 0 && (int64(now) >= f.oldest[0].gone.Load() || len(f.oldest) > maxFailures) {
		f.dropOldest()
	}
}

func (f *failures) dropOldest() {
	x := f.oldest[0]
	f.oldest[0] = nil
	if f.oldest = f.oldest[1:]; f.byKey[x.key] == x { // otherwise it has ended, or failed again
		delete(f.byKey, x.key)
	}
}

// of returns how the key's last fill failed, if that is remembered, and whether the key still
// rests. With keep it is remembered from now on as if it were new.
func (f *failures) of(now time.Duration, key string, keep bool) (err error, rests bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	x := f.byKey[key]
	if x == nil {
		return nil, false
	}
	gone := time.Duration(x.gone.Load())
	if now >= gone {
		return nil, false
	}
	if keep && gone-now < x.kept*7/8 { // not with every Get
		x.gone.Store(int64(now + x.kept))
	}
	return x.err, now < x.rest
}

// end forgets it: there is a newer value, or none any more.
func (f *failures) end(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.endLocked(key)
}

func (f *failures) endLocked(key string) {
	if x := f.byKey[key]; x != nil {
		x.gone.Store(0) // it goes when it is the oldest
		delete(f.byKey, key)
	}
}
