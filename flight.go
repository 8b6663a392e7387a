package bcache

import (
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sync/singleflight"
)

// flights lets one fill per key run at a time. A write that comes during a
// fill forgets it: the callers that wait get its result, as they asked before the
// write; whoever asks later gets a fill of its own, begun after the write.
type flights struct {
	shards [64]flightShard
}

type flightShard struct {
	running atomic.Int64 // callers inside do; writes look at this only
	group   atomic.Pointer[singleflight.Group]
}

func newFlights() *flights {
	f := &flights{}
	for i := range f.shards {
		f.shards[i].group.Store(&singleflight.Group{})
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
	s.running.Add(1)
	defer s.running.Add(-1)
	val, err, _ := s.group.Load().Do(key, func() (any, error) { return fn() })
	return val.(string), err
}

// forget keeps later callers from joining the flight of key.
func (f *flights) forget(key string) {
	if s := f.of(key); s.running.Load() > 0 {
		s.group.Load().Forget(key)
	}
}

// forgetAll does so for every key.
func (f *flights) forgetAll() {
	for i := range f.shards {
		f.shards[i].group.Store(&singleflight.Group{})
	}
}
