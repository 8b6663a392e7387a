package delta

import "math"

// A Dot is a write as it is delivered: the seq-th of an origin.
type Dot struct{ Origin, Seq uint64 }

// MaxDots is how many dots of a bucket, and of Clears, go with an offer.
const MaxDots = 8

// MaxUpTo is of how many origins an offer says how far their dots were processed, and MaxUpToRecord how
// large what it brings may be then: the frame has room for both.
const (
	MaxUpTo       = 128
	MaxUpToRecord = MaxRecordSize - MaxUpTo*(8+10)
)

// MaxSeq is the greatest seq of a dot, so that there is always a next one.
const MaxSeq = math.MaxUint64 - 1
