package bcache

import "time"

// Fills, as the core sees them: from the moment at which the database is asked until it is known what
// becomes of the answer.

// A fillStart is what a node knows when it begins to fill a key, or several at once.
type fillStart struct {
	stamp uint64        // of what the fill writes, see fillStamp
	begin time.Duration // monotonic
}

// A fill is one key that is being filled. It must be ended, by endFill or dropFill.
type fill struct {
	*fillStart
	key string
}

// A fillOutcome says what became of what a fill brought.
type fillOutcome uint8

const (
	fillWritten fillOutcome = iota // it is a write like any other
	fillKept                       // it is served here, without a version: see fillRecord
	fillRefused                    // something newer is known, or may be
)

// beginFills is called right before the database is asked for some keys.
func (r *replica) beginFills(now instant, settle time.Duration, keys ...string) []*fill {
	start := &fillStart{stamp: r.fillStamp(now), begin: now.mono}
	fills := make([]*fill, len(keys))
	for i, key := range keys {
		fills[i] = &fill{start, key}
	}
	return fills
}

// endFill says what becomes of what a fill brought: a record that is complete but for its version, and
// has the fill's key. With beside, it stands beside the value that is held, on this node only.
func (r *replica) endFill(now instant, f *fill, rec *record, beside bool) fillOutcome {
	if !beside && r.fillRecord(now, rec, f.stamp) {
		return fillWritten
	}
	return fillRefused
}

// dropFill ends a fill that brought nothing.
func (r *replica) dropFill(f *fill) {}
