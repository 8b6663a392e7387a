package bcache

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/coarse"
	"github.com/iwanbk/bcache/internal/env"
	"github.com/iwanbk/bcache/internal/replica"
	"github.com/iwanbk/bcache/internal/testkit"
	"pgregory.net/rapid"
)

var (
	errReads  = errors.New("the clock is read")
	errServed = errors.New("it is served after its deadline")
)

// A setClock is a clock that can be set, and counts how often it is read.
type setClock struct{ ahead, reads atomic.Int64 }

func (c *setClock) now() time.Time {
	c.reads.Add(1)
	return time.Now().Add(time.Duration(c.ahead.Load()))
}

// clockNode starts a local node with such a clock.
func clockNode(t *testing.T) (*Bcache, *setClock) {
	t.Helper()
	c := &setClock{}
	b, err := New(Config{MaxKeys: 1000, Env: env.New(c.now, nil, nil)})
	testkit.Must(t, err)
	t.Cleanup(func() { b.Close() })
	return b, c
}

// What the core is given of a time is exact to the microsecond.
func TestInstantIsExact(t *testing.T) {
	p := &peer{}
	rapid.Check(t, func(t *rapid.T) {
		ns := rapid.Int64Range(0, 999_999_999).Draw(t, "ns")
		at := time.Unix(rapid.Int64Range(-1e10, 1e11).Draw(t, "s"), ns)
		now := p.instantOf(at)
		if now.UnixMicro() != at.UnixMicro() || now.Wall != at.UnixMilli() || now.Micros > 999 {
			t.Fatalf("%v is %+v", at, now)
		}
	})
}

// A value is served until its deadline and no longer, whoever looks, while the time is stored and while
// it isn't.
func TestDeadlinesAreExact(t *testing.T) {
	nothing := func(context.Context, string) (Loaded, error) { return Loaded{}, ErrNotFound }
	for name, door := range map[string]func(t *testing.T, b *Bcache) func() bool{
		"Get": func(_ *testing.T, b *Bcache) func() bool {
			return func() bool { _, ok := b.Get("k"); return ok }
		},
		"Loader": func(t *testing.T, b *Bcache) func() bool {
			l := newLoader(t, b, nothing)
			return func() bool { _, err := l.Get(t.Context(), "k"); return err == nil }
		},
		"GetMany": func(t *testing.T, b *Bcache) func() bool {
			l := newLoader(t, b, nothing)
			return func() bool { got, _ := l.GetMany(t.Context(), []string{"k"}); return len(got) == 1 }
		},
	} {
		for _, ttl := range []time.Duration{1, 9, 10, 11, 99, 100, 101, 150, 1000, 3_600_000} {
			ttl *= time.Millisecond
			for _, busy := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					b := localNode(t)
					found := door(t, b)
					testkit.Must(t, b.SetWithTTL("other", "v", 24*time.Hour))
					use := func(until time.Time) {
						for busy && time.Now().Before(until) {
							b.Get("other")
							testkit.Advance(min(3*time.Millisecond, time.Until(until)))
						}
						testkit.Advance(time.Until(until))
					}
					start := time.Now()
					use(start.Add(50 * time.Millisecond))
					testkit.Must(t, b.SetWithTTL("k", "v", ttl))
					deadline := time.Now().Add(ttl)
					testkit.Advance(ttl - min(ttl, time.Second))
					use(deadline.Add(-time.Millisecond))
					if !found() {
						t.Errorf("%s: a ttl of %v: it misses before", name, ttl)
					}
					use(deadline)
					if found() {
						t.Errorf("%s: a ttl of %v: it is served after it", name, ttl)
					}
				})
			}
		}
	}
}

// A node reads its clock for its own ticks, and for Gets once a period, or never.
func TestGetsReadNoClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c := clockNode(t)
		readings := func(what string, most int64, do func()) {
			t.Helper()
			before := c.reads.Load()
			do()
			if n := c.reads.Load() - before; n > most {
				t.Errorf("%s: the clock is read %d times", what, n)
			}
		}
		gets := func(key string) func() {
			return func() {
				for range 1000 {
					b.Get(key)
				}
			}
		}
		testkit.Must(t, b.SetWithTTL("immortal", "v", NoExpiry))
		testkit.Must(t, b.SetWithTTL("mortal", "v", time.Hour))
		readings("there is no deadline", 0, gets("immortal"))
		readings("there is no value", 0, gets("missing"))
		readings("nobody needed the time", 0, func() { testkit.Advance(500 * time.Millisecond) })
		b.Get("mortal")
		synctest.Wait()
		readings("the time is stored", 0, gets("mortal"))
		testkit.Advance(2 * coarse.Every)
		ticks := int64(time.Minute / replica.TickEvery)
		readings("an idle minute", ticks+1, func() { testkit.Advance(time.Minute) })
	})
}

// A clock that is set is followed within a period, and what was found expired isn't back.
func TestGetFollowsAClockThatIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c := clockNode(t)
		for _, key := range []string{"k", "k2"} {
			testkit.Must(t, b.SetWithTTL(key, "v", time.Hour))
			b.Get(key)
			synctest.Wait()
			get(t, b, key, "v")
			c.ahead.Store(int64(time.Hour))
			testkit.Advance(coarse.Every)
			synctest.Wait()
			miss(t, b, key)
			c.ahead.Store(0)
			miss(t, b, key)
			testkit.Advance(coarse.Every)
			miss(t, b, key)
		}
	})
}

// A cache that a package has for all its tests is made outside of their bubbles, where the year is
// another one, and used inside and outside, at the same time too.
func TestOneCacheInsideAndOutsideOfBubbles(t *testing.T) {
	b, c := clockNode(t)
	outside := func() {
		t.Helper()
		testkit.Must(t, b.SetWithTTL("outside", "v", time.Hour))
		testkit.Within(t, time.Minute, func() error { // the time is stored again
			before := c.reads.Load()
			get(t, b, "outside", "v")
			if c.reads.Load() > before {
				return errReads
			}
			return nil
		})
		testkit.Must(t, b.SetWithTTL("short", "v", 20*time.Millisecond))
		testkit.Within(t, time.Minute, func() error {
			if _, ok := b.Get("short"); ok {
				return errServed
			}
			return nil
		})
	}
	outside()
	for range 3 {
		done, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			for {
				select {
				case <-done:
					return
				default:
					b.Get("outside")
				}
			}
		}()
		synctest.Test(t, func(t *testing.T) {
			for _, ttl := range []time.Duration{1, 50, 100, 101, 1000, 60_000} {
				ttl *= time.Millisecond
				testkit.Must(t, b.SetWithTTL("inside", "v", ttl))
				get(t, b, "inside", "v")
				testkit.Advance(ttl - time.Millisecond)
				get(t, b, "inside", "v")
				testkit.Advance(time.Millisecond)
				miss(t, b, "inside")
			}
		})
		close(done)
		<-ended
		outside()
	}
}
