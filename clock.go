package bcache

import (
	"sync/atomic"
	"time"
)

// An instant is a point in time as the core is given it; it never reads a clock
// itself. The wall clock may jump, mono never does.
type instant struct {
	wall int64         // Unix milliseconds
	mono time.Duration // since an arbitrary start
}

// A stamp is a hybrid logical clock reading in one uint64: Unix milliseconds in
// the upper 48 bits, a counter in the lower 16 (Kulkarni et al., "Logical
// Physical Clocks", 2014). The counter carries into the time, so it can't overflow.
const stampShift = 16

func stampOf(wall int64) uint64    { return uint64(max(wall, 0)) << stampShift }
func stampWall(stamp uint64) int64 { return int64(stamp >> stampShift) }

// A clock makes stamps that increase strictly, whatever the wall clock does, and
// that are greater than every stamp that was observed.
type clock struct{ last atomic.Uint64 }

// tick returns the stamp of a new local write.
func (c *clock) tick(wall int64) uint64 {
	for {
		last := c.last.Load()
		if next := max(last+1, stampOf(wall)); c.last.CompareAndSwap(last, next) {
			return next
		}
	}
}

// observe advances the clock to a stamp that the node accepted, so that what it
// writes next beats everything that it has seen.
func (c *clock) observe(stamp uint64) { raise(&c.last, stamp) }

// raise raises a number that never falls.
func raise(n *atomic.Uint64, to uint64) {
	for old := n.Load(); old < to && !n.CompareAndSwap(old, to); old = n.Load() {
	}
}
