package delta

import (
	"math"
	"time"
)

// Durations and deadlines in milliseconds, as records and frames have them.

// NoExpiry is the TTL of what has no deadline.
const NoExpiry time.Duration = math.MaxInt64

// DeadlineAt returns the deadline, in Unix milliseconds rounded up, of what is written at
// now to live for ttl; 0 for none.
func DeadlineAt(now time.Time, ttl time.Duration) int64 {
	if ttl == NoExpiry {
		return 0
	}
	at := now.UnixNano() + int64(ttl)
	if at < 0 { // centuries ahead
		return 0
	}
	return (at-1)/int64(time.Millisecond) + 1
}

// CeilMs rounds up to milliseconds.
func CeilMs(d time.Duration) int64 { return int64((d + time.Millisecond - 1) / time.Millisecond) }

// ToMs is CeilMs of a time that remains, which may be over. It rounds up, so that what is to be over by
// then is.
func ToMs(d time.Duration) uint64 { return uint64(CeilMs(max(d, 0))) }

// Ms is a number of milliseconds.
func Ms(n uint64) time.Duration { return time.Duration(n) * time.Millisecond }
