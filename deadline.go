package bcache

import (
	"math"
	"time"
)

// Durations and deadlines in milliseconds, as records and frames have them.

// noExpiry is the TTL of what has no deadline.
const noExpiry time.Duration = math.MaxInt64

// deadlineAt returns the deadline, in Unix milliseconds rounded up, of what is written at
// now to live for ttl; 0 for none.
func deadlineAt(now time.Time, ttl time.Duration) int64 {
	if ttl == noExpiry {
		return 0
	}
	at := now.UnixNano() + int64(ttl)
	if at < 0 { // centuries ahead
		return 0
	}
	return (at-1)/int64(time.Millisecond) + 1
}

// ceilMs rounds up to milliseconds.
func ceilMs(d time.Duration) int64 { return int64((d + time.Millisecond - 1) / time.Millisecond) }

// toMs is ceilMs of a time that remains, which may be over. It rounds up, so that what is to be over by
// then is.
func toMs(d time.Duration) uint64 { return uint64(ceilMs(max(d, 0))) }

// ms is a number of milliseconds.
func ms(n uint64) time.Duration { return time.Duration(n) * time.Millisecond }
