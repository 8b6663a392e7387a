package store

import (
	"math"
	"sync/atomic"
)

// ends says in 32 bits about when an entry is of no more use: in units of endUnit from before the first
// write on. 0 is never. It is a hint, so that a sweep knows which entries to ask.
type ends struct {
	base atomic.Int64 // Unix milliseconds; 0 until begin
}

const (
	// endUnit is in milliseconds. There are 17 years' worth of units; what ends before or after that has
	// the first or the last one.
	endUnit = 128

	endBefore = 365 * 24 * 3600 * 1000 / endUnit // so many of them lie before the first write
)

// begin tells the time of a write. The first one decides from when on units count.
func (x *ends) begin(wall int64) {
	if x.base.Load() == 0 {
		x.base.CompareAndSwap(0, wall-endBefore*endUnit)
	}
}

// of is the unit in which a time is.
func (x *ends) of(end int64) uint32 {
	if end == 0 {
		return 0
	}
	return uint32(min(max((end-x.base.Load())/endUnit+1, 1), math.MaxUint32))
}

// from is a time before which nothing ends that has this unit.
func (x *ends) from(unit uint32) int64 {
	if unit <= 1 {
		return math.MinInt64
	}
	return x.base.Load() + int64(unit-1)*endUnit
}
