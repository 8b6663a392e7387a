package coarse

import (
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache/internal/signal"
)

const (
	// Every is how often the time is stored while readers use it.
	Every = 10 * time.Millisecond

	// Margin is how old the stored time may be. A deadline that is no farther from it is left to the
	// real clock.
	Margin = 100 * time.Millisecond
)

const marginMs = int64(Margin / time.Millisecond)

// A Clock stores the time, so that readers compare a deadline with a number in memory. All times are in
// Unix milliseconds. Its methods may be called concurrently.
//
// A timer belongs to the synctest bubble of the goroutine that sets it. A Clock that was made outside of
// bubbles may have readers in some, so they never touch its ticker: they wake the goroutine in Run, which
// was started where the Clock was made. One that was made in a bubble is for readers in there.
//
// The zero Clock, and one that nobody runs, leave all to the real clock.
type Clock struct {
	now  atomic.Int64  // the time when it was stored; 0: the real clock is to be asked
	used atomic.Bool   // now has saved somebody a look at the real clock since it was stored
	wake chan struct{} // a reader could have used it
}

// New returns a Clock. Another goroutine may have it by the time at which Run begins.
func New() Clock { return Clock{wake: make(chan struct{}, 1)} }

// Before reports whether the time is before t. wall is the real clock, and is called if need be.
func (c *Clock) Before(t int64, wall func() int64) bool {
	now := c.now.Load()
	if now == 0 || t <= now+marginMs {
		return c.ask(t, wall)
	}
	if !c.used.Load() { // a write takes the memory from all other processors
		c.used.Store(true)
	}
	return true
}

// ask asks the real clock. If a stored time would have done, it has the time stored for the next reader.
func (c *Clock) ask(t int64, wall func() int64) bool {
	now := wall()
	if t > now+marginMs {
		signal.Notify(c.wake)
	}
	return now < t
}

// Run stores the time while there are readers that use it, until done is closed. wall is the real clock.
// It is called once.
func (c *Clock) Run(done <-chan struct{}, wall func() int64) {
	p := pulse{tick: time.NewTicker(Every), done: done}
	defer p.tick.Stop()
	trusted := true
	for {
		p.tick.Stop()
		select {
		case <-done:
			return
		case <-c.wake:
		}
		p.start()
		trusted = (trusted || p.steady()) && c.keep(&p, wall)
	}
}

// keep stores the time at each tick. It returns true when there was no reader before one, and false when
// one was late. Whatever ends it, the real clock is asked from then on.
func (c *Clock) keep(p *pulse, wall func() int64) bool {
	defer c.now.Store(0)
	for {
		c.now.Store(wall())
		if !p.next() {
			return false
		}
		if !c.used.Swap(false) {
			return true
		}
	}
}
