package replica

import (
	"slices"

	"github.com/iwanbk/bcache/internal/delta"
)

// maxClears is how many Clears that couldn't be applied are remembered.
const maxClears = 64

// overtaken is what is remembered of writes that came too early to be applied, see "Stamps from the
// future" in docs/design.md: all that was issued before they came is stale.
type overtaken struct {
	written map[int]uint64  // by bucket: up to which stamp others' writes may precede such a write
	cleared uint64          // the same for Clears, in all buckets
	clears  []delta.Version // the last of those Clears
	epoch   uint64          // of the store, that the last of them began
}

func newOvertaken() overtaken { return overtaken{written: map[int]uint64{}} }

// upTo is the stamp up to which what comes in of a bucket may precede a write that couldn't be applied.
func (o *overtaken) upTo(bucket int) uint64 { return max(o.cleared, o.written[bucket]) }

// write notes a write that couldn't be applied; stamp is the latest that what it has overtaken may have.
func (o *overtaken) write(bucket int, stamp uint64) {
	o.written[bucket] = max(o.written[bucket], stamp)
}

// clear notes a Clear likewise. It reports whether it is a new one.
func (o *overtaken) clear(v delta.Version, stamp uint64) bool {
	if slices.Contains(o.clears, v) {
		return false
	}
	if len(o.clears) == maxClears {
		o.clears = slices.Delete(o.clears, 0, 1)
	}
	o.clears = append(o.clears, v)
	o.cleared = max(o.cleared, stamp)
	return true
}
