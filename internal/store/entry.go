package store

import (
	"sync/atomic"
	"unsafe"

	"github.com/iwanbk/bcache/internal/delta"
)

// EntryOverhead is what an entry counts for MaxBytes beside its key and value, in bytes: about what the
// bookkeeping takes.
const EntryOverhead = 200

// An Entry is a live value or a negative: what counts for MaxKeys and MaxBytes.
// With its places in the index and in its queue it takes some EntryOverhead bytes.
//
// Gets read it without a lock, so what they read of it never changes: another value is another
// Entry in its place. It fills a cache line, and with a deadline beside it a Get would wait for
// two.
type Entry struct {
	Key, Val string // the store's own copies
	delta.Version
	deadline int64         // as in record
	used     atomic.Uint32 // its place in the order, and how it was used: see fifo and lru
	traits   uint16        // the key's bucket, and one of the traits below
	kind     delta.Kind
	mark     mark // guarded by the shard's lock
}

// What an entry is a part of, in its traits; 0 is none.
const (
	softTrait        = (iota + 1) * delta.NumBuckets // a softEntry
	sharingTrait                                     // a Sharing
	provisionalTrait                                 // a provisionalEntry, or a taggedEntry
)

// bucket is that of the key. It is kept, as a full sync looks at many entries for each that it sends.
func (e *Entry) bucket() int { return int(e.traits % delta.NumBuckets) }

// isSoft reports whether it is a part of something that has softTimes.
func (e *Entry) isSoft() bool { return e.traits >= softTrait }

func (e *Entry) isProvisional() bool { return e.traits >= sharingTrait && e.ofProvisional().is }

// queue is the one that it is in by S3-FIFO.
func (e *Entry) queue() int { return int(e.used.Load() & queueBits >> queueShift) }

// countUse notes a use by S3-FIFO. If that was noted often enough it writes nothing.
func (e *Entry) countUse() {
	if used := e.used.Load(); used&countBits < countBits {
		e.used.CompareAndSwap(used, used+1) // it may fail: then others use it too, or it was moved
	}
}

// inProbation reports whether LRU has it in the queue of that name.
func (e *Entry) inProbation() bool { return e.used.Load()&probationBit != 0 }

// A softEntry is an entry that has more times than its deadline, in one piece with them.
type softEntry struct {
	Entry
	softTimes
}

// softTimes are when a value may still be of use although it is stale, and when it is worth
// refreshing although it isn't.
type softTimes struct{ staleUntil, refreshFrom int64 } // as in record

func (e *Entry) cost() int64 {
	cost := entryCost(e.Key, e.Val, e.tags())
	if s := sharingOf(e); s != nil {
		cost += s.Size
	}
	return cost
}

// CostOf is what a record counts for MaxBytes when it is held.
func CostOf(rec *delta.Record) int64 { return entryCost(rec.Key, rec.Val, rec.Tags) }

func entryCost(key, val string, tags delta.Tags) int64 {
	return int64(len(key)) + int64(len(val)) + tagsCost(tags) + EntryOverhead
}

// Shared returns what an owner has decoded of the entry's value, if that is kept.
func (e *Entry) Shared(owner *Owner) (decoded any, ok bool) {
	s := sharingOf(e)
	if s == nil || s.Owner != owner {
		return nil, false
	}
	if s.tagged {
		return s.Decoded.(*taggedDecoded).decoded, true
	}
	return s.Decoded, true
}

// tags are those of an entry.
func (e *Entry) tags() delta.Tags {
	switch {
	case e.traits < sharingTrait || !e.ofProvisional().tagged: // as a rule
		return ""
	case e.traits < provisionalTrait:
		return sharingOf(e).Decoded.(*taggedDecoded).tags
	}
	return (*taggedEntry)(unsafe.Pointer(e)).tags // see newTagged
}

// tagBits are those of its tags.
func (e *Entry) tagBits() *tagBits {
	switch {
	case e.traits < sharingTrait || !e.ofProvisional().tagged: // as a rule
		return &tagBits{}
	case e.traits < provisionalTrait:
		return &sharingOf(e).Decoded.(*taggedDecoded).bits
	}
	return &(*taggedEntry)(unsafe.Pointer(e)).bits // see newTagged
}

// newEntry makes an entry of a record whose key is in a bucket.
func newEntry(rec *delta.Record, bucket int) *Entry {
	var e *Entry
	if rec.Tags != "" {
		return &newTagged(rec, bucket).Entry
	}
	if times := (softTimes{rec.StaleUntil, rec.RefreshFrom}); times == (softTimes{}) {
		e = &Entry{}
	} else {
		soft := &softEntry{softTimes: times}
		e = &soft.Entry
		e.traits = softTrait
	}
	e.fill(rec, bucket)
	return e
}

// fill takes over what an entry has of a record.
func (e *Entry) fill(rec *delta.Record, bucket int) {
	e.Key, e.Val, e.Version, e.deadline = rec.Key, rec.Val, rec.Version, rec.Deadline
	e.kind, e.mark = rec.Kind, mark(rec.Mark)
	e.traits |= uint16(bucket)
}

// soft returns the times that an entry has beside its deadline.
func (e *Entry) soft() softTimes {
	if !e.isSoft() {
		return softTimes{}
	}
	return (*softEntry)(unsafe.Pointer(e)).softTimes // see newEntry
}

// Expired reports whether an entry's deadline has come.
func (e *Entry) Expired(wall func() int64) bool { return e.deadline != 0 && wall() >= e.deadline }

// aliveAt reports whether an entry's deadline hasn't come.
func (e *Entry) aliveAt(wall int64) bool { return e.deadline == 0 || wall < e.deadline }

// endedAt reports whether it is of no use as stale any more either.
func (e *Entry) endedAt(wall int64) bool {
	end := e.end()
	return end != 0 && wall >= end
}

// isAbove reports whether it is a record's that no Clear can be about.
func (e *Entry) isAbove(c *Clears) bool {
	if e.traits < sharingTrait { // a record, as a rule, and it has no tags
		return e.Stamp > c.plain.Load()
	}
	return e.Stamp > c.bar.Load() && !e.isProvisional()
}

// record returns what was put.
func (e *Entry) record() delta.Record {
	rec := e.served()
	rec.Mark = e.mark.number()
	return rec
}

// served is that without the mark, and needs no lock.
func (e *Entry) served() delta.Record {
	soft := e.soft()
	rec := delta.Record{
		Key: e.Key, Val: e.Val, Version: e.Version, Kind: e.kind, Tags: e.tags(),
		Provisional: e.isProvisional(),
		Deadline:    e.deadline, StaleUntil: soft.staleUntil, RefreshFrom: soft.refreshFrom,
	}
	if e.isProvisional() {
		rec.Version = delta.Version{}
	}
	return rec
}

// end returns when the entry is of no more use; 0 is never.
func (e *Entry) end() int64 { return delta.EndOf(e.deadline, e.soft().staleUntil) }

// due is the deadline or the time to refresh, whichever comes first; 0 is never.
func (e *Entry) due() int64 {
	at := e.deadline
	if from := e.soft().refreshFrom; from != 0 && (at == 0 || from < at) {
		at = from
	}
	return at
}
