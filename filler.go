package bcache

import (
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/fill"
	"github.com/iwanbk/bcache/internal/keyhash"
	"github.com/iwanbk/bcache/internal/replica"
	"golang.org/x/sync/singleflight"
)

var (
	// ErrNilFiller is returned by [Bcache.GetWithFiller] for a nil [Filler].
	ErrNilFiller = errors.New("bcache: nil filler")

	// ErrFillPanicked is returned to every caller that waited for a Filler or a Fill that panicked. The
	// message has the panic's value and stack. If that value is an error, it is wrapped too.
	ErrFillPanicked = errors.New("bcache: the filler panicked")

	// ErrFillAborted is returned to every caller that waited for a Filler or a Fill that called
	// runtime.Goexit, as testing's FailNow does.
	ErrFillAborted = errors.New("bcache: the filler called runtime.Goexit")

	// ErrFillersHang is returned by [Bcache.GetWithFiller] to a caller that has waited for two minutes for
	// other callers' Fillers of the key, none of which has returned. A Filler that calls GetWithFiller for
	// its own key is such a caller.
	ErrFillersHang = errors.New("bcache: the fillers of the key haven't returned for two minutes")
)

// fillerPatience is for how long GetWithFiller waits for another caller's Filler, or for its turn.
const fillerPatience = 4 * defaultFillTimeout

// A Filler looks up the value of a key that isn't in the cache, typically in a database. It runs on a
// goroutine of its own. docs/callbacks.md says what it may call. If it calls GetWithFiller for its own
// key, it would wait for itself, and fails after two minutes.
type Filler func(key string) (val string, err error)

// GetWithFiller returns the cached value of key. If there is none, it returns what filler returns, and
// caches that for ttl seconds on all nodes. With a ttl <= 0 the value is returned but not cached, and
// nothing is deleted. A value that is too large isn't cached either. A [Loader] does the same with
// contexts, and with options that protect the database.
//
// One filler per key runs on this node at a time. Callers that come meanwhile wait for its result, but
// not for a filler that has run for 30 seconds: then another one is called, three of a key at a time at
// most. A caller that has waited for other callers' fillers for two minutes gets [ErrFillersHang]. All
// callers that wait get a filler's error, unchanged, and nothing is cached.
//
// A fill never beats a Set or Delete that was issued after the fill began, on any node, as long as the
// nodes' clocks differ by no more than MaxClockSkew. Otherwise it could bring back what the database
// held before an update. If the cache holds a newer value by the end of the fill, that one is returned.
// A caller that comes after a Set or Delete of the key doesn't wait for a fill begun before it. A fill
// during which the key is written is returned but not cached. What filler reads must be committed, or
// lag behind what is committed by less than Config.Settle.
//
// After Close the filler is still called, and its value is returned.
func (b *Bcache) GetWithFiller(key string, filler Filler, ttl int) (string, error) {
	if filler == nil {
		return "", ErrNilFiller
	}
	if val, ok := b.Get(key); ok {
		return val, nil
	}
	came := b.store.Clears.Number()
	for {
		got, err := b.flights.do(key, func() (flightResult, error) {
			return fillByFiller(b, key, filler, ttl)
		})
		if err != nil || came <= got.clears {
			return got.val, err
		}
	}
}

// A flightResult is what a flight brings. If it comes from the cache, it may have tags that were cleared
// after it was looked up: whoever came after that asks again. What a Filler brings has no tags.
type flightResult struct {
	val    string
	clears uint64 // the number of the last Clear before it was looked up; untagged
}

// untagged is later than every Clear.
const untagged = math.MaxUint64

// fillByFiller is one flight. It looks into the cache again: the flight that this caller
// just missed may have filled it, and a second one would be for nothing.
func fillByFiller(b *Bcache, key string, filler Filler, ttl int) (flightResult, error) {
	if got, ok := lookUpForFlight(b, key); ok {
		return got, nil
	}
	f := b.peer.replica.Fills.Begin(b.peer.instant(), b.settle, key)[0]
	b.fillers.Begin(&[fill.NumCauses]int{fill.Foreground: 1})
	began := b.peer.instant().Mono
	val, err := callFiller(filler, key)
	got, outcome := flightResult{val, untagged}, fill.Uncached
	switch {
	case err != nil:
		got.val, outcome = "", fill.Failed
	case ttl > 0 && b.writes.tooLarge(&delta.Record{Key: key, Val: val}):
		outcome = fill.TooLarge
	case ttl > 0:
		got, outcome = cacheFilled(b, f, val, seconds(ttl))
		f = nil
	}
	if f != nil {
		b.peer.replica.Fills.Drop(f)
	}
	var outcomes [fill.NumOutcomes]int
	outcomes[outcome] = 1
	now := b.peer.instant().Mono
	b.fillers.End(now-began, &outcomes)
	b.fillKeys.Took(now, key, now-began)
	if outcome == fill.Refused {
		b.fillKeys.Refused(key)
	}
	return got, err
}

// lookUpForFlight returns what the cache has of a key. The number is read first: so a Clear that comes
// meanwhile counts as a later one.
func lookUpForFlight(b *Bcache, key string) (flightResult, bool) {
	number := b.store.Clears.Number()
	val, ok := peek(b, key)
	return flightResult{val, number}, ok
}

// cacheFilled caches what a fill brought, unless something newer is known. It returns what is known then.
func cacheFilled(
	b *Bcache, f *replica.Fill, val string, ttl time.Duration,
) (flightResult, fill.Outcome) {
	got := flightResult{val, untagged}
	now := b.peer.now()
	rec := &delta.Record{Key: f.Key, Val: val, Deadline: delta.DeadlineAt(now, ttl)}
	switch b.peer.replica.Fills.End(b.peer.instantOf(now), f, rec, replica.FillForAll) {
	case replica.FillWritten:
		return got, fill.Found
	case replica.FillRefused:
		if newer, ok := lookUpForFlight(b, f.Key); ok {
			got = newer
		}
		return got, fill.Refused
	}
	return got, fill.Provisional
}

// callFiller calls filler, and survives that.
func callFiller(filler Filler, key string) (string, error) {
	return contain(func() (string, error) { return filler(key) })
}

// contain calls a function of the user's on a goroutine of its own: nothing else contains a
// runtime.Goexit, which would take the caller's goroutine with it.
func contain[T any](call func() (T, error)) (val T, err error) {
	done := make(chan struct{})
	go func() {
		returned := false
		defer func() {
			if !returned {
				var none T
				val, err = none, fillFailure(recover())
			}
			close(done)
		}()
		val, err = call()
		returned = true
	}()
	<-done
	return val, err
}

func fillFailure(panicked any) error {
	switch p := panicked.(type) {
	case nil:
		return ErrFillAborted
	case error:
		return fmt.Errorf("%w: %w\n\n%s", ErrFillPanicked, p, debug.Stack())
	default:
		return fmt.Errorf("%w: %v\n\n%s", ErrFillPanicked, p, debug.Stack())
	}
}

// flights lets one fill per key run at a time. A write that comes during a
// fill forgets it: the callers that wait get its result, as they asked before the
// write; whoever asks later gets a fill of its own, begun after the write.
//
// As a Filler has no context that could end, one that has run for defaultFillTimeout is forgotten
// too, and nobody waits for another's for longer than fillerPatience. Of those that nobody joins any
// more, and the latest, MaxFills run at a time.
type flights struct {
	hash   keyhash.Hash
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

func newFlights(hash keyhash.Hash) *flights {
	f := &flights{hash: hash}
	for i := range f.shards {
		f.shards[i].byKey = map[string]*flight{}
	}
	return f
}

func (f *flights) of(key string) *flightShard {
	return &f.shards[f.hash.Of(key)%uint64(len(f.shards))]
}

// do calls fn unless a call for the same key is under way, and returns its
// results. fn must return: it must neither panic nor call runtime.Goexit.
func (f *flights) do(key string, fn func() (flightResult, error)) (flightResult, error) {
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
			return flightResult{}, ErrFillersHang
		}
		defer func() { <-fl.places }()
		return fn()
	})
	s.mu.Unlock()
	patience := time.NewTimer(fillerPatience)
	defer patience.Stop()
	select {
	case r := <-results:
		return r.Val.(flightResult), r.Err
	case <-patience.C:
	}
	if !own.Load() {
		return flightResult{}, ErrFillersHang
	}
	r := <-results
	return r.Val.(flightResult), r.Err
}

// enter counts a caller in. It doesn't join a fill that has run for too long.
func (s *flightShard) enter(key string) *flight {
	s.running.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	fl := s.byKey[key]
	if fl == nil {
		fl = &flight{places: make(chan struct{}, fill.MaxFills)}
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

// forgetAll does so for every key with a prefix.
func (f *flights) forgetAll(prefix string) {
	for i := range f.shards {
		s := &f.shards[i]
		s.mu.Lock()
		for key, fl := range s.byKey {
			if !fl.began.IsZero() && strings.HasPrefix(key, prefix) {
				s.group.Forget(key)
			}
		}
		s.mu.Unlock()
	}
}
