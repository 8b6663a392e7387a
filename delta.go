package bcache

import "cmp"

// A version orders the writes of one key. Stamp decides; equal stamps are
// common (two nodes, one millisecond), and then the origin does. The order is
// total and the same on every node, so every node picks the same winner.
type version struct {
	stamp  uint64 // hybrid logical clock, see clock.go
	origin uint64 // one life of one node
}

// compare returns -1, 0 or +1, like cmp.Compare.
func (v version) compare(w version) int {
	if c := cmp.Compare(v.stamp, w.stamp); c != 0 {
		return c
	}
	return cmp.Compare(v.origin, w.origin)
}

func (v version) less(w version) bool { return v.compare(w) < 0 }

// A kind says what a record does to its key. The numbers are part of the wire
// format.
type kind uint8

const (
	kindValue     kind = iota // the key has this value
	kindTombstone             // the key is deleted
	kindClear                 // every key is deleted, up to this stamp; the record's key is empty
	kindNegative              // the key is known to have no value; held like one, never served
	kindForget                // this version existed, its value is gone: drop what is smaller

	kindUnknown // a later version's kind; applied as a forget

	kindNone kind = 255 // no record's
)

// A record is one write: the unit of replication and of the store.
type record struct {
	key, val string
	version
	kind kind

	// It is a provisional value, and has no version.
	provisional bool

	// Not 0 while the record is known from a full sync that hasn't ended, and from
	// nothing else: the number of that sync. It doesn't travel.
	mark uint8

	// Unix milliseconds, 0 = none. They belong to the write and never move,
	// so replication can't extend a life.
	deadline    int64 // not served from then on, or as stale only
	staleUntil  int64 // until then it may still be served as stale
	refreshFrom int64 // worth refreshing from then on
}

// expired reports whether the record's deadline has come.
func (r *record) expired(wall int64) bool { return r.deadline != 0 && wall >= r.deadline }

// ended reports whether it may not be served any more, not as stale either.
func (r *record) ended(wall int64) bool {
	end := endOf(r.deadline, r.staleUntil)
	return end != 0 && wall >= end
}

// endOf returns when what has this deadline is of no more use; 0 is never.
func endOf(deadline, staleUntil int64) int64 {
	if deadline == 0 {
		return 0
	}
	return max(deadline, staleUntil)
}

// A bucketFloor says of a bucket up to which stamp a node has forgotten what its keys had.
type bucketFloor struct {
	bucket uint16
	stamp  uint64
}
