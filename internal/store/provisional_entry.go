package store

import (
	"time"
	"unsafe"

	"github.com/iwanbk/bcache/internal/delta"
)

// Provisional values: what a fill brought that the fence refused, although nothing shows that it is
// stale. It is served like any value until any write of its key is processed. It has no version, so it
// is no part of the replication: nothing is compared with it, and it goes without a trace.
//
// Unless it stands beside a live record, which a Typed can't read, its key has no live record: Keep sees
// to that, and any write ends it.
//
// It is an entry like others, so that capacity, recency, deadlines and sweeps treat it like others. It
// lies in the shard of its key, but under the twin of the key's hash: beside it the key has whatever
// record it has, mostly a tombstone.

// twin is the hash under which the provisional value of a key lies: in the same shard, and mostly at the
// same place, so that one search finds it or the record.
func twin(hash uint64) uint64 { return hash ^ twinBit<<32 }

// twinBit is by what the tags of the two differ. It isn't the lowest bit, as tagOf makes 0 a 1.
const twinBit = 2

// A provisionalEntry is an entry that is a provisional value, in one piece with what else is known of
// it.
type provisionalEntry struct {
	softEntry
	kept   time.Duration // when, by the monotonic clock
	beside bool          // it stands beside a live record; nobody is told of it
	is     bool          // it is one: a Sharing or a taggedEntry that is none has this part too
	tagged bool          // it has tags

	// The number of the last Clear when it was kept, see Clears: 40 bits of it, which last for decades.
	clearsHigh uint8
	clears     uint32
}

// isAfter reports whether it was kept after the Clear with a number had been processed.
func (p *provisionalEntry) isAfter(number uint64) bool {
	const unused = 64 - 40
	kept := uint64(p.clearsHigh)<<32 | uint64(p.clears)
	return int64((kept-number)<<unused) >= 0
}

// newProvisional makes one of a record, which has the epoch for a version.
func newProvisional(
	rec *delta.Record, bucket int, clears uint64, kept time.Duration, beside bool,
) *Entry {
	var p *provisionalEntry
	if rec.Tags != "" {
		p = &newTagged(rec, bucket).provisionalEntry
	} else {
		p = &provisionalEntry{}
		p.fill(rec, bucket)
		p.softTimes = softTimes{rec.StaleUntil, rec.RefreshFrom}
		p.traits |= provisionalTrait
	}
	p.kept, p.beside, p.is = kept, beside, true
	p.clears, p.clearsHigh = uint32(clears), uint8(clears>>32)
	return &p.Entry
}

func (e *Entry) ofProvisional() *provisionalEntry {
	return (*provisionalEntry)(unsafe.Pointer(e)) // see newProvisional and Sharing
}

// epoch is that in which a provisional value was kept: it has no version, but for the origin that filled
// it.
func (e *Entry) epoch() uint64 { return e.Version.Stamp }
