package delta

import (
	"sync/atomic"
	"time"
)

// An Instant is a point in time as the core is given it; it never reads a clock
// itself. The wall clock may jump, Mono never does.
type Instant struct {
	Wall   int64         // Unix milliseconds
	Mono   time.Duration // since an arbitrary start
	Micros uint16        // within the millisecond of Wall; 0 where nobody needs them
}

// UnixMicro is the wall clock in Unix microseconds.
func (i Instant) UnixMicro() int64 { return i.Wall*1000 + int64(i.Micros) }

// StampShift is the bit of a stamp at which its time begins. A stamp is a hybrid logical clock reading
// in one uint64: Unix milliseconds in the upper 48 bits, a counter in the lower 16 (Kulkarni et al.,
// "Logical Physical Clocks", 2014). The counter carries into the time, so it can't overflow.
const StampShift = 16

// StampOf is the first stamp of a millisecond, in Unix time; StampWall is the millisecond of a stamp.
func StampOf(wall int64) uint64    { return uint64(max(wall, 0)) << StampShift }
func StampWall(stamp uint64) int64 { return int64(stamp >> StampShift) }

// A Clock makes stamps that increase strictly, whatever the wall clock does, and
// that are greater than every stamp that was observed.
type Clock struct{ Last atomic.Uint64 }

// Tick returns the stamp of a new local write.
func (c *Clock) Tick(wall int64) uint64 {
	for {
		last := c.Last.Load()
		if next := max(last+1, StampOf(wall)); c.Last.CompareAndSwap(last, next) {
			return next
		}
	}
}

// Observe advances the clock to a stamp that the node accepted, so that what it
// writes next beats everything that it has seen.
func (c *Clock) Observe(stamp uint64) { Raise(&c.Last, stamp) }

// Raise raises a number that never falls.
func Raise(n *atomic.Uint64, to uint64) {
	for old := n.Load(); old < to && !n.CompareAndSwap(old, to); old = n.Load() {
	}
}

// MaxStamp is the greatest stamp that is taken from a peer: the year 6429.
const MaxStamp = 1 << 63
