package bcache

import "time"

// An openFill is what the store knows of a fill of a key that is under way. It must be ended, by
// endFill.
type openFill struct {
	key   string
	hash  uint64        // the store's
	begin time.Duration // monotonic

	// A write of the key has been processed since the beginning. It belongs to the fill, not to the
	// key: another fill of the key may begin after that write. It is guarded by the shard's lock, as
	// all below is.
	touched bool
	givenUp bool      // one of them couldn't be applied: the fence knows nothing of it
	next    *openFill // of the same hash
}
