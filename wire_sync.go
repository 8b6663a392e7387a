package bcache

import (
	"encoding/binary"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// The frames of a full sync: the requester asks for chunks, the server sends them.
const (
	askSession = 1<<3 | wireFixed64
	askNext    = 2<<3 | wireVarint
	askFlags   = 3<<3 | wireVarint
	askKnown   = 3

	chunkSession = 1<<3 | wireFixed64
	chunkNumber  = 2<<3 | wireVarint
	chunkFlags   = 3<<3 | wireVarint
	chunkGroups  = 4<<3 | wireVarint
	chunkGroup   = 5<<3 | wireVarint
	chunkFloors  = 6<<3 | wireBytes
	chunkDots    = 7<<3 | wireBytes
	chunkStamp   = 8<<3 | wireFixed64
	chunkPrint   = 9<<3 | wireFixed64
	chunkClear   = 10<<3 | wireFixed64
	chunkClearer = 11<<3 | wireFixed64
	chunkBase    = 12<<3 | wireFixed64
	chunkRecord  = 13<<3 | wireBytes
	chunkKnown   = 13

	floorSize = 10 // bytes of a floor: the bucket and the stamp
)

// A syncAsk asks a node for a full sync, chunk by chunk. It acknowledges all chunks below next.
type syncAsk struct {
	session uint64 // drawn by the requester
	next    uint64 // the chunk that it expects; 0 begins the session
	flags   uint64
}

// The flags of a syncAsk.
const (
	askAgain  = 1 << iota // nothing has come for a while: was the expected chunk lost?
	askCancel             // the requester doesn't want it any more
	askGap                // later chunks have come: the expected one was lost, and they were dropped
)

// A syncChunk is a piece of a full sync. The first one, number 0, has no records: it
// has what is true of the whole.
type syncChunk struct {
	session uint64
	number  uint64
	flags   uint64

	// Of number 0.
	groups  uint64 // how many groups follow: bucket b belongs to group b % groups
	entries []vectorEntry
	horizon horizon

	// Of the others.
	group   uint64
	records []record      // of that group
	clear   version       // with chunkDone: Clear
	floors  []bucketFloor // with chunkDone: those that are above it, by bucket
}

// The flags of a syncChunk.
const (
	chunkRefused = 1 << iota // the session isn't known, or the node can't serve now
	chunkDone                // the group is complete, and these are its floors
	chunkLast                // it is the last group
	chunkBusy                // with chunkRefused: it could serve, if it didn't serve others
)

func appendAsk(dst []byte, a syncAsk) []byte {
	dst = append(dst, wireVersion, frameAsk)
	dst = appendFixed64(dst, askSession, a.session)
	dst = appendVarint(dst, askNext, a.next)
	return appendVarint(dst, askFlags, a.flags)
}

func decodeAsk(frame []byte) (a syncAsk, err error) {
	body, err := frameBody(frame, frameAsk)
	if err != nil {
		return a, err
	}
	fields := fieldReader{rest: body, singular: singular(askKnown)}
	for len(fields.rest) > 0 {
		f, err := fields.next()
		if err != nil {
			return a, err
		}
		switch f.tag {
		case askSession:
			a.session = f.x
		case askNext:
			a.next = f.x
		case askFlags:
			a.flags = f.x
		default:
			if err := f.unknown(askKnown); err != nil {
				return a, err
			}
		}
	}
	return a, nil
}

// appendChunk appends a whole frame to dst. Records are written with the origin of their
// version where it isn't that of the record before, and with the difference to its stamp,
// so it pays to sort them.
func appendChunk(dst []byte, c *syncChunk) []byte {
	dst = append(dst, wireVersion, frameChunk)
	dst = appendFixed64(dst, chunkSession, c.session)
	dst = appendVarint(dst, chunkNumber, c.number)
	dst = appendVarint(dst, chunkFlags, c.flags)
	dst = appendVarint(dst, chunkGroups, c.groups)
	dst = appendVarint(dst, chunkGroup, c.group)
	if len(c.floors) > 0 {
		dst = append(dst, chunkFloors)
		dst = protowire.AppendVarint(dst, uint64(len(c.floors)*floorSize))
		for _, f := range c.floors {
			dst = binary.LittleEndian.AppendUint16(dst, f.bucket)
			dst = binary.LittleEndian.AppendUint64(dst, f.stamp)
		}
	}
	dst = appendEntries(dst, chunkDots, c.entries, true)
	dst = appendFixed64(dst, chunkStamp, c.horizon.stamp)
	dst = appendFixed64(dst, chunkPrint, c.horizon.print)
	dst = appendFixed64(dst, chunkClear, c.clear.stamp)
	dst = appendFixed64(dst, chunkClearer, c.clear.origin)
	if len(c.records) == 0 {
		return dst
	}
	prev := version{stamp: c.records[0].stamp}
	dst = appendFixed64(dst, chunkBase, prev.stamp)
	for i := range c.records {
		rec := &c.records[i]
		dst = appendRecord(dst, chunkRecord, rec, prev.origin, prev.stamp)
		prev = rec.version
	}
	return dst
}

// chunkSize is an upper bound of what a chunk takes without its records.
func chunkSize(c *syncChunk) int { return 128 + len(c.floors)*floorSize }

// openChunk reads a frame but for its records, which are checked and counted, so that a
// frame that is malformed anywhere is refused before anything of it is applied.
func openChunk(frame []byte) (c syncChunk, recs chunkReader, err error) {
	body, err := frameBody(frame, frameChunk)
	if err != nil {
		return c, recs, err
	}
	const many = 1<<(chunkDots>>3) | 1<<(chunkRecord>>3)
	fields := fieldReader{rest: body, singular: singular(chunkKnown) &^ many}
	recs = chunkReader{fields: fields}
	var base uint64
	var prev version
	for len(fields.rest) > 0 {
		f, err := fields.next()
		if err != nil {
			return c, recs, err
		}
		switch f.tag {
		case chunkSession:
			c.session = f.x
		case chunkNumber:
			c.number = f.x
		case chunkFlags:
			c.flags = f.x
		case chunkGroups:
			c.groups = f.x
		case chunkGroup:
			c.group = f.x
		case chunkFloors:
			if c.floors, err = decodeFloors(f.data); err != nil {
				return c, recs, err
			}
		case chunkDots:
			if c.entries, err = fields.entry(c.entries, f); err != nil {
				return c, recs, err
			}
		case chunkStamp:
			c.horizon.stamp = f.x
		case chunkPrint:
			c.horizon.print = f.x
		case chunkClear:
			c.clear.stamp = f.x
		case chunkClearer:
			c.clear.origin = f.x
		case chunkBase:
			base = f.x
		case chunkRecord:
			if prev.stamp == 0 {
				if base == 0 || base > maxStamp {
					return c, recs, fmt.Errorf("%w: base stamp %d", errMalformed, base)
				}
				prev.stamp = base
				recs.prev = prev
			}
			var r wireRecord
			if err := r.parse(f.data, prev.origin, prev.stamp); err != nil {
				return c, recs, err
			}
			if r.kind == kindClear {
				return c, recs, fmt.Errorf("%w: clear as a record of a chunk", errMalformed)
			}
			prev = r.version
		default:
			if err := f.unknown(chunkKnown); err != nil {
				return c, recs, err
			}
		}
	}
	return c, recs, c.check(prev.stamp == 0)
}

// check refuses what makes no sense, whatever came before it.
func (c *syncChunk) check(noRecords bool) error {
	switch {
	case c.groups > maxGroups || c.groups&(c.groups-1) != 0:
		return fmt.Errorf("%w: %d groups", errMalformed, c.groups)
	case c.clear.stamp > maxStamp || c.clear.stamp > 0 && c.clear.origin == 0:
		return fmt.Errorf("%w: Clear %d of origin %d", errMalformed, c.clear.stamp, c.clear.origin)
	case c.horizon.stamp > maxStamp:
		return fmt.Errorf("%w: horizon %d", errMalformed, c.horizon.stamp)
	case c.flags&chunkRefused != 0:
		return nil
	case c.number == 0 && c.groups == 0:
		return fmt.Errorf("%w: no groups", errMalformed)
	case c.number > 0 && c.flags&chunkDone == 0 && (noRecords || c.flags&chunkLast != 0):
		return fmt.Errorf("%w: chunk %d has flags %d, records: %v", errMalformed, c.number, c.flags, !noRecords)
	}
	return nil
}

func decodeFloors(b []byte) ([]bucketFloor, error) {
	if len(b)%floorSize != 0 || len(b) > numBuckets*floorSize {
		return nil, fmt.Errorf("%w: floors of %d bytes", errMalformed, len(b))
	}
	if len(b) == 0 {
		return nil, nil
	}
	floors := make([]bucketFloor, 0, len(b)/floorSize)
	for ; len(b) > 0; b = b[floorSize:] {
		f := bucketFloor{binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint64(b[2:])}
		if f.bucket >= numBuckets || f.stamp == 0 || f.stamp > maxStamp {
			return nil, fmt.Errorf("%w: floor %d of bucket %d", errMalformed, f.stamp, f.bucket)
		}
		if n := len(floors); n > 0 && f.bucket <= floors[n-1].bucket {
			return nil, fmt.Errorf("%w: floors out of order", errMalformed)
		}
		floors = append(floors, f)
	}
	return floors, nil
}

// A chunkReader iterates over the records of a chunk that openChunk has checked. The
// frame must not change while it is in use.
type chunkReader struct {
	fields fieldReader
	prev   version
}

// next reads one record into rec. Its strings are copies. ok is false after the last one.
func (c *chunkReader) next(rec *record) (ok bool) {
	for len(c.fields.rest) > 0 {
		f, err := c.fields.next()
		if err != nil {
			return false
		}
		if f.tag != chunkRecord {
			continue
		}
		var r wireRecord
		if r.parse(f.data, c.prev.origin, c.prev.stamp) != nil {
			return false
		}
		c.prev = r.version
		*rec = r.record(string(r.key))
		return true
	}
	return false
}
