// Package delta is one write: its key, value, version and times.
//
// Its law: it is the floor of the house. It knows no other package of the module, and every package that
// deals with writes knows it. It holds values and pure functions of them, so nothing in it needs a lock;
// a Clock is atomic. The time is a parameter: no clock is read. What all nodes must agree on of a single
// write is decided here, and in one way: which of two versions wins, the bucket of a key, and when a
// deadline has come.
package delta

import (
	"cmp"
)

// A Version orders the writes of one key. Stamp decides; equal stamps are
// common (two nodes, one millisecond), and then the origin does. The order is
// total and the same on every node, so every node picks the same winner.
type Version struct {
	Stamp  uint64 // hybrid logical clock, see clock.go
	Origin uint64 // one life of one node
}

// compare returns -1, 0 or +1, like cmp.Compare.
func (v Version) compare(w Version) int {
	if c := cmp.Compare(v.Stamp, w.Stamp); c != 0 {
		return c
	}
	return cmp.Compare(v.Origin, w.Origin)
}

func (v Version) Less(w Version) bool { return v.compare(w) < 0 }

// A Kind says what a record does to its key. The numbers are part of the wire
// format.
type Kind uint8

const (
	KindValue     Kind = iota // the key has this value
	KindTombstone             // the key is deleted
	KindClear                 // every key is deleted, up to this stamp; the record's key is empty
	KindNegative              // the key is known to have no value; held like one, never served
	KindForget                // this version existed, its value is gone: drop what is smaller

	KindUnknown // a later version's kind; applied as a forget

	KindNone Kind = 255 // no record's
)

// A Record is one write: the unit of replication and of the store.
type Record struct {
	Key, Val string
	Version
	Kind Kind

	// It is a provisional value, and has no version.
	Provisional bool

	// Not 0 while the record is known from a full sync that hasn't ended, and from
	// nothing else: the number of that sync. It doesn't travel.
	Mark uint8

	// Unix milliseconds, 0 = none. They belong to the write and never move,
	// so replication can't extend a life.
	Deadline    int64 // not served from then on, or as stale only
	StaleUntil  int64 // until then it may still be served as stale
	RefreshFrom int64 // worth refreshing from then on
}

// Expired reports whether the record's deadline has come.
func (r *Record) Expired(wall int64) bool { return r.Deadline != 0 && wall >= r.Deadline }

// Ended reports whether it may not be served any more, not as stale either.
func (r *Record) Ended(wall int64) bool {
	end := EndOf(r.Deadline, r.StaleUntil)
	return end != 0 && wall >= end
}

// EndOf returns when what has this deadline is of no more use; 0 is never.
func EndOf(deadline, staleUntil int64) int64 {
	if deadline == 0 {
		return 0
	}
	return max(deadline, staleUntil)
}

// A BucketFloor says of a bucket up to which stamp a node has forgotten what its keys had.
type BucketFloor struct {
	Bucket uint16
	Stamp  uint64
}
