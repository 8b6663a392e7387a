package bcache

import (
	"math"
	"strings"
	"sync"
	"time"
)

// maxFailures is how many keys are remembered, per Loader, whose fills failed. If more fail within
// twice RetryAfter, the oldest are asked for again earlier.
const maxFailures = 1 << 14

// failures remembers for a while which fills failed: the keys rest, and are then tried again in the
// background, as long as there is an old value.
type failures struct {
	mu     sync.RWMutex
	byKey  map[string]*failure
	oldest []*failure // first
}

type failure struct {
	key  string
	err  error // nil: it brought nothing that could be cached
	rest time.Duration
	gone time.Duration // then it is forgotten; both are monotonic
}

// add remembers one: the key is left alone for a while.
func (f *failures) add(now time.Duration, key string, err error, rest time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byKey == nil {
		f.byKey = map[string]*failure{}
	}
	f.endLocked(key)
	x := &failure{strings.Clone(key), err, now + rest, now + 2*rest}
	f.byKey[x.key] = x
	f.oldest = append(f.oldest, x)
	for len(f.oldest) > 0 && (now >= f.oldest[0].gone || len(f.oldest) > maxFailures) {
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
// rests.
func (f *failures) of(now time.Duration, key string) (err error, rests bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	x := f.byKey[key]
	if x == nil || now >= x.gone {
		return nil, false
	}
	return x.err, now < x.rest
}

// hold remembers it until the key's next fill, which has begun, has ended: then it is added again,
// or it ends. So nobody waits for a database that hangs.
func (f *failures) hold(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if x := f.byKey[key]; x != nil {
		x.gone = math.MaxInt64
	}
}

// end forgets it: there is a newer value, or none any more.
func (f *failures) end(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.endLocked(key)
}

func (f *failures) endLocked(key string) {
	if x := f.byKey[key]; x != nil {
		x.gone = 0 // it needn't be held any more
		delete(f.byKey, key)
	}
}
