package delta

// MaxRecordSize is how many bytes a key, its value and its tags may have together.
const MaxRecordSize = 1 << 20

// A Kind says what a record does to its key. The numbers are part of the wire
// format.
type Kind uint8

const (
	KindValue     Kind = iota // the key has this value
	KindTombstone             // the key is deleted
	KindClear                 // what a Selector selects is deleted, up to this stamp; that is the record's key
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
	Tags Tags // of a value or a negative

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

// Size is what counts for MaxRecordSize.
func (r *Record) Size() int { return len(r.Key) + len(r.Val) + len(r.Tags) }

// Selector is that of a Clear.
func (r *Record) Selector() Selector { return Selector(r.Key) }

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
