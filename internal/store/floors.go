package store

import (
	"sync/atomic"

	"github.com/iwanbk/bcache/internal/delta"
)

// floors are what stands for what isn't held any more: a key of a bucket that isn't held may have had
// any version up to this stamp.
type floors [delta.NumBuckets]atomic.Uint64

func (f *floors) of(bucket int) uint64 { return f[bucket].Load() }

// raise raises a bucket's floor to a stamp; it never falls.
func (f *floors) raise(bucket int, stamp uint64) { delta.Raise(&f[bucket], stamp) }
