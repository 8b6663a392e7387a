package coarse

import (
	"time"
)

// A pulse is a ticker that notices when it is late. It is if the process was stopped, or if more
// goroutines want to run than there are processors for. The latter goes on for a while, so after a tick
// that was late it takes a second without one until the pulse is steady.
type pulse struct {
	tick *time.Ticker
	done <-chan struct{}
	last time.Time // when the last tick came
}

const steadyTicks = 100

func (p *pulse) start() {
	p.tick.Reset(Every)
	p.last = time.Now()
}

// next waits for the next tick, and reports whether it came in time: no later than Margin after the
// last one. It returns false too when done is closed.
func (p *pulse) next() bool {
	select {
	case <-p.done:
		return false
	case <-p.tick.C:
	}
	since := time.Since(p.last)
	p.last = p.last.Add(since)
	return since <= Margin
}

// steady waits for many ticks, and reports whether all came in time. It returns at one that didn't.
func (p *pulse) steady() bool {
	for range steadyTicks {
		if !p.next() {
			return false
		}
	}
	return true
}
