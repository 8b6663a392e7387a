package delta

import (
	"github.com/cespare/xxhash/v2"
)

// NumBuckets is how many floors there are. The wire version fixes it, and the wire's hash too.
const NumBuckets = 1 << 14

// BucketOf returns the number of the bucket that a key belongs to.
func BucketOf(key string) int { return int(xxhash.Sum64String(key) % NumBuckets) }

// BucketOfBytes is BucketOf.
func BucketOfBytes(key []byte) int { return int(xxhash.Sum64(key) % NumBuckets) }

// MaxGroups is into how many groups a full sync may divide the buckets.
const MaxGroups = 64

// A BucketFloor says of a bucket up to which stamp a node has forgotten what its keys had.
type BucketFloor struct {
	Bucket uint16
	Stamp  uint64
}
