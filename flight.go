package bcache

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

// flights lets one fill per key run at a time. A write that comes during a
// fill forgets it: the callers that wait get its result, as they asked before the
// write; whoever asks later gets a fill of its own, begun after the write.
//
// As a Filler has no context that could end, one that has run for defaultFillTimeout is forgotten too.
// Of those that nobody joins any more, and the latest, maxFills run at a time.
type flights struct {
	hash   keyHash
	shards [64]flightShard
}

type flightShard struct {
	running atomic.Int64 // callers inside do; writes look at this only
	group   singleflight.Group

	mu    sync.Mutex
	ended sync.Cond
	byKey map[string]*flight
}

// A flight is what is known of a key's fills.
type flight struct {
	callers int       // inside do
	fills   int       // that run
	began   time.Time // of the latest one; zero = it waits, or was forgotten
}

func newFlights(hash keyHash) *flights {
	f := &flights{hash: hash}
	for i := range f.shards {
		s := &f.shards[i]
		s.ended.L = &s.mu
		s.byKey = map[string]*flight{}
	}
	return f
}

func (f *flights) of(key string) *flightShard {
	return &f.shards[f.hash.of(key)%uint64(len(f.shards))]
}

// do calls fn unless a call for the same key is under way, and returns its
// results. fn must return: it must neither panic nor call runtime.Goexit.
func (f *flights) do(key string, fn func() (string, error)) (string, error) {
	s := f.of(key)
	s.running.Add(1)
	defer s.running.Add(-1)
	fl := s.enter(key)
	defer s.leave(key, fl)
	val, err, _ := s.group.Do(key, func() (any, error) {
		s.begin(fl)
		defer s.end(fl)
		return fn()
	})
	return val.(string), err
}

// enter counts a caller in. It doesn't join a fill that has run for too long.
func (s *flightShard) enter(key string) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	fl := s.byKey[key]
	if fl == nil {
		fl = &flight{}
		s.byKey[key] = fl
	}
	fl.callers++
	if !fl.began.IsZero() && time.Since(fl.began) >= defaultFillTimeout {
		fl.began = time.Time{}
		s.group.Forget(key)
	}
	return fl
}

func (s *flightShard) leave(key string, fl *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if fl.callers--; fl.callers == 0 {
		delete(s.byKey, key)
	}
}

// begin waits until a fill may run.
func (s *flightShard) begin(fl *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fl.began = time.Time{}
	for fl.fills >= maxFills {
		s.ended.Wait()
	}
	fl.fills++
	fl.began = time.Now()
}

func (s *flightShard) end(fl *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fl.fills--
	s.ended.Broadcast()
}

// forget keeps later callers from joining the flight of key.
func (f *flights) forget(key string) {
	s := f.of(key)
	if s.running.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if fl := s.byKey[key]; fl != nil && !fl.began.IsZero() { // one that waits begins after the write
		s.group.Forget(key)
	}
}

// forgetAll does so for every key.
func (f *flights) forgetAll() {
	for i := range f.shards {
		s := &f.shards[i]
		s.mu.Lock()
		for key, fl := range s.byKey {
			if !fl.began.IsZero() {
				s.group.Forget(key)
			}
		}
		s.mu.Unlock()
	}
}
