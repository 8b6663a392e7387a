package bcache

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
)

// fillerPatience is for how long GetWithFiller waits for another caller's Filler, or for its turn.
const fillerPatience = 4 * defaultFillTimeout

// ErrFillersHang is returned by GetWithFiller to who has waited for two minutes for other callers'
// Fillers of the key, none of which has returned. A Filler that calls GetWithFiller for its own key is
// such a caller.
var ErrFillersHang = errors.New("bcache: the fillers of the key haven't returned for two minutes")

// flights lets one fill per key run at a time. A write that comes during a
// fill forgets it: the callers that wait get its result, as they asked before the
// write; whoever asks later gets a fill of its own, begun after the write.
//
// As a Filler has no context that could end, one that has run for defaultFillTimeout is forgotten
// too, and nobody waits for another's for longer than fillerPatience. Of those that nobody joins any
// more, and the latest, maxFills run at a time.
//
// It isn't made of singleflight groups, as a caller can't leave one, unless each fill has one more goroutine.
type flights struct {
	shards [64]flightShard
}

type flightShard struct {
	running atomic.Int64 // callers inside do; writes look at this only

	mu    sync.Mutex
	byKey map[string]*flightKey
}

// A flightKey is what is known of a key's fills.
type flightKey struct {
	callers int           // inside do
	places  chan struct{} // a token for each fill that runs
	latest  *flight       // which may be joined; nil: there is none
}

// A flight is a fill.
type flight struct {
	began time.Time // zero = it waits for its place. Guarded by the shard's lock

	done chan struct{} // closed when its result is there
	val  string
	err  error
}

func newFlights() *flights {
	f := &flights{}
	for i := range f.shards {
		f.shards[i].byKey = map[string]*flightKey{}
	}
	return f
}

func (f *flights) of(key string) *flightShard {
	return &f.shards[xxhash.Sum64String(key)%uint64(len(f.shards))]
}

// do calls fn unless a call for the same key is under way, and returns its
// results. fn must return: it must neither panic nor call runtime.Goexit.
func (f *flights) do(key string, fn func() (string, error)) (string, error) {
	s := f.of(key)
	k, fl, isNew := s.join(key)
	defer s.leave(key, k)
	if isNew {
		if fl.err = ErrFillersHang; s.begin(k, fl) {
			fl.val, fl.err = fn()
			<-k.places
		}
		s.end(k, fl)
		return fl.val, fl.err
	}
	patience := time.NewTimer(fillerPatience)
	defer patience.Stop()
	select {
	case <-fl.done:
		return fl.val, fl.err
	case <-patience.C:
		return "", ErrFillersHang
	}
}

// join counts a caller in. The flight is the caller's own if it is new: there is none, or it has run for
// too long.
func (s *flightShard) join(key string) (k *flightKey, fl *flight, isNew bool) {
	s.running.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	k = s.byKey[key]
	if k == nil {
		k = &flightKey{places: make(chan struct{}, maxFills)}
		s.byKey[key] = k
	}
	k.callers++
	fl = k.latest
	if fl == nil || !fl.began.IsZero() && time.Since(fl.began) >= defaultFillTimeout {
		fl = &flight{done: make(chan struct{})}
		k.latest, isNew = fl, true
	}
	return k, fl, isNew
}

func (s *flightShard) leave(key string, k *flightKey) {
	s.mu.Lock()
	if k.callers--; k.callers == 0 {
		delete(s.byKey, key)
	}
	s.mu.Unlock()
	s.running.Add(-1)
}

// begin waits until a fill may run, and reports whether it may.
func (s *flightShard) begin(k *flightKey, fl *flight) bool {
	select {
	case k.places <- struct{}{}:
	default:
		patience := time.NewTimer(fillerPatience)
		defer patience.Stop()
		select {
		case k.places <- struct{}{}:
		case <-patience.C:
			return false
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fl.began = time.Now()
	return true
}

func (s *flightShard) end(k *flightKey, fl *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.latest == fl {
		k.latest = nil
	}
	close(fl.done)
}

// forget keeps later callers from joining the flight of key.
func (f *flights) forget(key string) {
	s := f.of(key)
	if s.running.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.byKey[key]; k != nil {
		k.forget()
	}
}

// forgetAll does so for every key.
func (f *flights) forgetAll() {
	for i := range f.shards {
		s := &f.shards[i]
		s.mu.Lock()
		for _, k := range s.byKey {
			k.forget()
		}
		s.mu.Unlock()
	}
}

// forget keeps the latest flight from being joined, but for one that waits: it begins after the write.
func (k *flightKey) forget() {
	if k.latest != nil && !k.latest.began.IsZero() {
		k.latest = nil
	}
}
