package bcache

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

var (
	// ErrNilFiller is returned by GetWithFiller for a nil Filler.
	ErrNilFiller = errors.New("bcache: nil filler")

	// ErrFillPanicked is returned to every caller that waited for a Filler that
	// panicked. The message has the panic's value and stack; a value that is an error
	// is wrapped too.
	ErrFillPanicked = errors.New("bcache: the filler panicked")

	// ErrFillAborted is returned to every caller that waited for a Filler that called
	// runtime.Goexit, as testing's FailNow does.
	ErrFillAborted = errors.New("bcache: the filler called runtime.Goexit")
)

// A Filler looks up the value of a key that isn't in the cache, typically in a
// database. It runs on a goroutine of its own. What it may call: see "What callbacks may call" in
// docs/loader.md. GetWithFiller for the same key would wait for itself, and fails after two minutes.
type Filler func(key string) (val string, err error)

// GetWithFiller returns the cached value of key or, if there is none, what
// filler returns, which is then cached for ttl seconds on all nodes. With a ttl
// <= 0 it is returned but not cached, and nothing is deleted; nor is a value cached
// that is too large.
//
// At a time one filler per key runs on this node; callers that come meanwhile wait for its result, but
// not for a filler that has run for 30 seconds: then another one is called, three of a key at a time at
// most. Who has waited for others' fillers for two minutes has ErrFillersHang. An error of the filler
// is returned to all of them, unchanged, and nothing is cached.
//
// A fill never beats a Set or Delete that was issued anywhere after the fill
// began, as long as the nodes' clocks differ by no more than MaxClockSkew:
// otherwise it could bring back what the database held before an update. If the
// cache holds a newer value by the end of the fill, that one is returned. A caller
// that comes after a Set or Delete of the key doesn't wait for a fill begun before
// it. A fill during which the key is written is returned but not cached. What filler reads must
// be committed, or lag behind that by less than Config.Settle.
//
// After Close the filler is still called and its value returned.
func (b *Bcache) GetWithFiller(key string, filler Filler, ttl int) (string, error) {
	if filler == nil {
		return "", ErrNilFiller
	}
	if val, ok := b.Get(key); ok {
		return val, nil
	}
	return b.flights.do(key, func() (string, error) { return b.fill(key, filler, ttl) })
}

// fill is one flight. It looks into the cache again: the flight that this caller
// just missed may have filled it, and a second one would be for nothing.
func (b *Bcache) fill(key string, filler Filler, ttl int) (string, error) {
	if val, ok := b.held(key); ok {
		return val, nil
	}
	f := b.peer.replica.beginFills(b.peer.instant(), b.settle, key)[0]
	b.fills.Add(1)
	val, err := callFiller(filler, key)
	switch {
	case err != nil:
		b.fillErrors.Add(1)
	case ttl > 0 && b.tooLarge(key, val):
		b.fillsTooLarge.Add(1)
	case ttl > 0:
		return b.filled(f, val, seconds(ttl)), nil
	}
	b.peer.replica.dropFill(f)
	if err != nil {
		return "", err
	}
	return val, nil
}

// filled caches what a fill brought, unless something newer is known. It returns what is known then.
func (b *Bcache) filled(f *fill, val string, ttl time.Duration) string {
	now := b.peer.now()
	rec := &record{key: f.key, val: val, deadline: deadlineAt(now, ttl)}
	if b.peer.replica.endFill(b.peer.instantOf(now), f, rec, false) == fillRefused {
		b.fillsRefused.Add(1)
		if newer, ok := b.held(f.key); ok {
			return newer
		}
	}
	return val
}

// held is Get without being counted as one.
func (b *Bcache) held(key string) (string, bool) {
	is := func(rec record, ok bool) bool { return ok && rec.kind == kindValue && !rec.expired(b.wall()) }
	if rec, ok := b.store.peek(key); is(rec, ok) {
		return rec.val, true
	}
	rec, ok := b.store.beside(key, b.wall())
	return rec.val, is(rec, ok)
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

// seconds is a ttl of the original surface; what a Duration can't hold lasts for ever.
func seconds(ttl int) time.Duration {
	if int64(ttl) > int64(NoExpiry/time.Second) {
		return NoExpiry
	}
	return time.Duration(ttl) * time.Second
}

// deadlineAt returns the deadline, in Unix milliseconds rounded up, of what is written at
// now to live for ttl; 0 for none.
func deadlineAt(now time.Time, ttl time.Duration) int64 {
	if ttl == NoExpiry {
		return 0
	}
	at := now.UnixNano() + int64(ttl)
	if at < 0 { // centuries ahead
		return 0
	}
	return (at-1)/int64(time.Millisecond) + 1
}
