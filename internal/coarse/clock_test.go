package coarse

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const hour = int64(time.Hour / time.Millisecond)

var errNotYet = errors.New("no time is stored")

// A rig is a Clock that runs, and a real clock that can be set and counts how often it is read.
type rig struct {
	Clock
	set   atomic.Int64 // ms that the real clock is ahead
	late  atomic.Int64 // for so many ms nobody runs who stores the time
	reads atomic.Int64
	stop  func()
}

func newRig(t *testing.T) *rig {
	r := &rig{Clock: New()}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		r.Run(done, func() int64 {
			testkit.Advance(time.Duration(r.late.Swap(0)) * time.Millisecond)
			return r.wall()
		})
	})
	r.stop = sync.OnceFunc(func() {
		close(done)
		wg.Wait()
	})
	t.Cleanup(r.stop)
	return r
}

// real is the time, without being counted.
func (r *rig) real() int64 { return time.Now().UnixMilli() + r.set.Load() }

func (r *rig) wall() int64 {
	r.reads.Add(1)
	return r.real()
}

// before checks that the answer is that of the real clock.
func (r *rig) before(t *testing.T, at int64) {
	t.Helper()
	now := r.real()
	if got := r.Before(at, r.wall); got != (now < at) {
		stored := r.now.Load()
		t.Errorf("%d ms before a time, Before is %v; stored is %d, of %d ms ago", at-now, got, stored, now-stored)
	}
}

// readings returns how often the real clock is read while f runs.
func (r *rig) readings(f func()) int64 {
	before := r.reads.Load()
	f()
	return r.reads.Load() - before
}

func bubble(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newRig(t)) })
}

// Whoever asks, and whenever, the answer is that of the real clock.
func TestBeforeIsExact(t *testing.T) {
	for seed := range uint64(20) {
		bubble(t, func(t *testing.T, r *rig) {
			var wg sync.WaitGroup
			for reader := range uint64(4) {
				rng := rand.New(rand.NewPCG(seed, reader))
				wg.Go(func() {
					for range 500 {
						switch rng.IntN(10) {
						case 0:
							testkit.Advance(time.Duration(rng.IntN(1000)) * time.Millisecond)
						case 1, 2, 3:
							testkit.Advance(time.Duration(rng.IntN(25_000)) * time.Microsecond)
						}
						r.before(t, r.real()+rng.Int64N(300)-150)
						r.before(t, r.real()+rng.Int64N(2*hour)-hour)
					}
				})
			}
			wg.Wait()
		})
	}
}

// A stored time that is no older than Margin gives the answer of the real clock.
func TestBeforeWithinMargin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := New()
		stored := rapid.Int64Range(1, testkit.Wall).Draw(t, "stored")
		real := stored + rapid.Int64Range(0, marginMs).Draw(t, "age")
		at := real + rapid.Int64Range(-2*marginMs, 2*marginMs).Draw(t, "ahead")
		c.now.Store(stored)
		if got := c.Before(at, func() int64 { return real }); got != (real < at) {
			t.Fatalf("Before is %v", got)
		}
	})
}

// Times that no sum can exceed.
func TestBeforeAtTheEdges(t *testing.T) {
	c := New()
	for _, stored := range []int64{0, -hour, testkit.Wall} {
		c.now.Store(stored)
		for at, want := range map[int64]bool{-1 << 63: false, 1<<63 - 1: true} {
			if got := c.Before(at, func() int64 { return stored }); got != want {
				t.Errorf("at %d, %d is ahead: %v", stored, at, got)
			}
		}
	}
}

// While there are readers, the real clock is read once a period, however many there are.
func TestReadersReadNoClock(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		n := r.readings(func() {
			for range 1000 {
				for range 100 {
					r.before(t, r.real()+hour)
				}
				testkit.Advance(time.Millisecond)
			}
		})
		if n > 250 { // 100 of the first millisecond, and 100 periods
			t.Errorf("%d readings", n)
		}
	})
}

// Without readers there is no timer, and the first one starts it again.
func TestIdle(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		idle := func() {
			t.Helper()
			if n := r.readings(func() { testkit.Advance(time.Minute) }); n != 0 || r.now.Load() != 0 {
				t.Errorf("%d readings in a minute without readers; %d is stored", n, r.now.Load())
			}
		}
		idle()
		for range 3 {
			r.before(t, r.real()+hour)
			if synctest.Wait(); r.now.Load() != r.real() {
				t.Error("the first reader starts nothing")
			}
			if n := r.readings(func() { r.before(t, r.real()+hour) }); n != 0 {
				t.Error("the second one reads the clock")
			}
			testkit.Advance(2*Every + time.Millisecond)
			idle()
		}
	})
}

// Readers whom a stored time wouldn't help start no timer.
func TestCloseDeadlinesStartNothing(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for _, ahead := range []int64{-hour, 0, 1, marginMs} {
			r.before(t, r.real()+ahead)
			if synctest.Wait(); r.now.Load() != 0 {
				t.Errorf("a deadline %d ms ahead starts it", ahead)
			}
		}
		r.before(t, r.real()+marginMs+1)
		if synctest.Wait(); r.now.Load() == 0 {
			t.Error("a later one doesn't")
		}
	})
}

// A clock that is set is followed within a period.
func TestClockIsSet(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		at := r.real() + hour/2
		use := func() {
			for range 5 {
				r.Before(at+10*hour, r.wall)
				testkit.Advance(Every)
			}
			synctest.Wait()
		}
		use()
		r.set.Store(hour)
		r.Before(at+10*hour, r.wall)
		testkit.Advance(Every)
		synctest.Wait()
		r.before(t, at)
		use()
		r.set.Store(0)
		r.before(t, at) // at once
	})
}

// Once the stored time was older than Margin, the real clock is asked, until the ticks have come in time
// for a second.
func TestLateTicks(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		at := r.real() + hour
		use := func(d time.Duration) (stored int) {
			for range d / time.Millisecond {
				r.before(t, at)
				if testkit.Advance(time.Millisecond); r.now.Load() != 0 {
					stored++
				}
			}
			return stored
		}
		use(time.Second)
		r.late.Store(marginMs - 2*Every.Milliseconds())
		if n := use(time.Second); n != 1000 {
			t.Errorf("a tick that is a little late: the time is stored in %d ms of 1000", n)
		}
		for range 3 {
			r.late.Store(marginMs + 2*Every.Milliseconds())
			use(150 * time.Millisecond)
			if n := use(900 * time.Millisecond); n != 0 {
				t.Errorf("after a tick that is late: the time is stored in %d ms of 900", n)
			}
			use(time.Second)
			if n := use(time.Second); n != 1000 {
				t.Errorf("a second later: the time is stored in %d ms of 1000", n)
			}
		}
	})
}

func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := make(chan struct{})
		p := pulse{tick: time.NewTicker(Every), done: done}
		defer p.tick.Stop()
		begin := func(late time.Duration) time.Time {
			p.start()
			p.last = p.last.Add(-late)
			return time.Now()
		}
		if start := begin(Margin - Every); !p.next() || time.Since(start) != Every {
			t.Error("a tick in time")
		}
		if start := begin(Margin - Every + 1); p.next() || time.Since(start) != Every {
			t.Error("a tick that is late")
		}
		if start := begin(0); !p.steady() || time.Since(start) != steadyTicks*Every {
			t.Error("all ticks are in time")
		}
		if start := begin(Margin); p.steady() || time.Since(start) != Every {
			t.Error("one is late")
		}
		close(done)
		if start := begin(0); p.next() || p.steady() || time.Since(start) != 0 {
			t.Error("it goes on when done is closed")
		}
	})
}

// When Run has ended, readers ask the real clock.
func TestDone(t *testing.T) {
	for _, used := range []bool{false, true} {
		bubble(t, func(t *testing.T, r *rig) {
			at := r.real() + hour
			if used {
				r.before(t, at)
				synctest.Wait()
				r.before(t, at)
			}
			r.stop()
			for range 3 {
				r.before(t, at)
				testkit.Advance(time.Hour)
			}
		})
	}
}

func TestNobodyRunsIt(t *testing.T) {
	fresh := New()
	for _, c := range []*Clock{{}, &fresh} {
		for now := range int64(3) {
			for range 3 {
				if got := c.Before(hour+1, func() int64 { return now * hour }); got != (now < 2) {
					t.Errorf("at %d h: %v", now, got)
				}
			}
		}
	}
}

// A Clock that was made outside of a bubble may be read inside, where it is the year 2000, and goes on
// outside.
func TestReadersInABubble(t *testing.T) {
	r := newRig(t)
	running := func() error {
		r.before(t, r.real()+hour)
		if r.now.Load() == 0 {
			return errNotYet
		}
		return nil
	}
	testkit.Within(t, time.Minute, running)
	for range 3 {
		synctest.Test(t, func(t *testing.T) {
			at := r.real() + hour
			for range 61 {
				r.before(t, at)
				r.before(t, r.real()+hour)
				testkit.Advance(time.Minute)
			}
		})
		testkit.Within(t, time.Minute, running)
	}
}
