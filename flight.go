package bcache

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
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
type flights struct {
	hash   keyHash
	shards [64]flightShard
}

type flightShard struct {
	running atomic.Int64 // callers inside do; writes look at this only
	group   singleflight.Group

	mu    sync.Mutex
	byKey map[string]*flight
}

// A flight is what is known of a key's fills.
type flight struct {
	callers int           // inside do
	places  chan struct{} // a token for each fill that runs
	calls   uint64        // asked for so far
	latest  uint64        // the last of them that was begun, or waits for its place
	began   time.Time     // when that was begun; zero = it waits, or was forgotten
}

func newFlights(hash keyHash) *flights {
	f := &flights{hash: hash}
	for i := range f.shards {
		f.shards[i].byKey = map[string]*flight{}
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
	fl := s.enter(key)
	defer s.leave(key, fl)
	var own atomic.Bool // the call is this caller's
	s.mu.Lock()
	fl.calls++
	call := fl.calls
	results := s.group.DoChan(key, func() (any, error) {
		own.Store(true)
		if !s.begin(fl, call) {
			return "", ErrFillersHang
		}
		defer func() { <-fl.places }()
		return fn()
	})
	s.mu.Unlock()
	patience := time.NewTimer(fillerPatience)
	defer patience.Stop()
	select {
	case r := <-results:
		return r.Val.(string), r.Err
	case <-patience.C:
	}
	if !own.Load() {
		return "", ErrFillersHang
	}
	r := <-results
	return r.Val.(string), r.Err
}

// enter counts a caller in. It doesn't join a fill that has run for too long.
func (s *flightShard) enter(key string) *flight {
	s.running.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	fl := s.byKey[key]
	if fl == nil {
		fl = &flight{places: make(chan struct{}, maxFills)}
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
	if fl.callers--; fl.callers == 0 {
		delete(s.byKey, key)
	}
	s.mu.Unlock()
	s.running.Add(-1)
}

// begin waits until a fill may run, and reports whether it may. One that was forgotten before it came to
// this says nothing about the latest.
func (s *flightShard) begin(fl *flight, call uint64) bool {
	s.mu.Lock()
	if call > fl.latest {
		fl.latest, fl.began = call, time.Time{}
	}
	s.mu.Unlock()
	select {
	case fl.places <- struct{}{}:
	default:
		patience := time.NewTimer(fillerPatience)
		defer patience.Stop()
		select {
		case fl.places <- struct{}{}:
		case <-patience.C:
			return false
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if call == fl.latest {
		fl.began = time.Now()
	}
	return true
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
