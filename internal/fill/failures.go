package fill

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// MaxFailures is how many keys are remembered, per Loader, whose fills failed, and maxFailureBytes
	// what they may take. If more fail, the oldest are asked for again earlier.
	MaxFailures     = 1 << 14
	maxFailureBytes = 32 << 20

	failureOverhead = 250 // bytes of a failure beside its key and its error

	// failureKept is for how long a failure is remembered after an old value was last served because
	// of it, unless twice RetryAfter is longer. Keys that are in use don't wait for a database that is
	// down, or hangs, but for the first time; keys that aren't, wait for a fill when they are.
	failureKept = 10 * time.Second
)

// Failures remembers for a while which fills failed: the keys rest, and are then tried again in the
// background, as long as there is an old value that is asked for.
type Failures struct {
	mu    sync.RWMutex
	byKey *simplelru.LRU[string, *failure] // in the order in which they failed; nil: none has
	bytes int
}

type failure struct {
	err  error // nil: it brought nothing that could be cached
	size int
	rest time.Duration // until then, by the monotonic clock
	kept time.Duration
	gone atomic.Int64 // then it is forgotten
}

// Add remembers one, with an error of so many bytes: the key is left alone for a while.
func (f *Failures) Add(now time.Duration, key string, err error, size int, rest time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byKey == nil {
		dropped := func(_ string, x *failure) { f.bytes -= x.size }
		f.byKey, _ = simplelru.NewLRU(MaxFailures, dropped) // it fails only for a size below 1
	}
	x := &failure{
		err: err, size: failureOverhead + len(key) + size,
		rest: now + rest, kept: max(2*rest, failureKept),
	}
	x.gone.Store(int64(now + x.kept))
	f.byKey.Remove(key)
	f.bytes += x.size
	f.byKey.Add(strings.Clone(key), x)
	f.dropLocked(now)
}

// dropLocked drops the oldest that are forgotten, or too much.
func (f *Failures) dropLocked(now time.Duration) {
	for {
		_, oldest, ok := f.byKey.GetOldest()
		if !ok || int64(now) < oldest.gone.Load() && f.bytes <= maxFailureBytes {
			return
		}
		f.byKey.RemoveOldest()
	}
}

// Of returns how the key's last fill failed, if that is remembered, and whether the key still rests.
// With keep the failure is remembered from now on as if it were new.
func (f *Failures) Of(now time.Duration, key string, keep bool) (err error, rests bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.byKey == nil {
		return nil, false
	}
	x, ok := f.byKey.Peek(key)
	if !ok {
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

// End forgets the key's failure: there is a newer value, or none any more.
func (f *Failures) End(now time.Duration, key string) {
	f.mu.RLock()
	none := f.byKey == nil || f.byKey.Len() == 0
	f.mu.RUnlock()
	if none {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.byKey.Remove(key)
	f.dropLocked(now)
}
