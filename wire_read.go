package bcache

import (
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

const (
	// maxStamp is the greatest stamp that is taken from a peer: the year 6429.
	maxStamp = 1 << 63

	// maxSeq is the greatest seq of a dot, so that there is always a next one.
	maxSeq = math.MaxUint64 - 1
)

// A deltaReader iterates over the records of a delta. It isn't safe for
// concurrent use, and the frame must not change while it is in use.
type deltaReader struct {
	origin uint64 // of every dot in the frame
	first  uint64 // seq of the first record, >= 1
	newest uint64 // not 0: it answers a pull, and this is the newest stamp that the sender has of the origin
	count  uint64 // records, >= 1; first+count doesn't overflow
	echo   uint64 // its sender's

	fields fieldReader // what comes next
	stamp  uint64      // of the record before; the base stamp at first
	seq    uint64      // of the next record
}

// openDelta checks the whole frame, without allocating unless it is bad, and
// returns a reader of its records: a frame that is malformed anywhere is
// refused before anything of it could be applied.
func openDelta(frame []byte) (deltaReader, error) {
	body, err := frameBody(frame, frameDelta)
	if err != nil {
		return deltaReader{}, err
	}
	d := deltaReader{fields: fieldReader{rest: body, singular: singular(deltaKnown - 1)}}
	start := d // moves on to the first record
	for len(d.fields.rest) > 0 {
		before := d.fields
		f, err := d.fields.next()
		if err != nil {
			return deltaReader{}, err
		}
		switch f.tag {
		case deltaOrigin:
			d.origin = f.x
		case deltaFirst:
			d.first = f.x
		case deltaBase:
			d.stamp = f.x
		case deltaRecord:
			if d.count == 0 { // the header is complete, or never will be
				if d.origin == 0 || d.first == 0 || d.stamp == 0 || d.stamp > maxStamp {
					return deltaReader{}, fmt.Errorf("%w: origin %d, seq %d, base stamp %d", errMalformed, d.origin, d.first, d.stamp)
				}
				newest, echo := start.newest, start.echo
				start = d
				start.fields, start.newest, start.echo = before, newest, echo
			}
			var r wireRecord
			if err := r.parse(f.data, d.origin, d.stamp); err != nil {
				return deltaReader{}, fmt.Errorf("%w (record %d)", err, d.count)
			}
			d.stamp = r.stamp
			d.count++
		case deltaNewest:
			if f.x > maxStamp {
				return deltaReader{}, fmt.Errorf("%w: newest stamp %d", errMalformed, f.x)
			}
			start.newest = f.x
		case echoCount:
			start.echo = f.x
		default:
			if err := f.unknown(deltaKnown); err != nil {
				return deltaReader{}, err
			}
		}
	}
	if d.count == 0 {
		return deltaReader{}, fmt.Errorf("%w: no records", errMalformed)
	}
	if d.count > math.MaxUint64-d.first {
		return deltaReader{}, fmt.Errorf("%w: %d records from seq %d", errMalformed, d.count, d.first)
	}
	start.count = d.count
	start.seq = d.first
	return start, nil
}

// advance parses the next record, whose dot has d.seq until then. ok is false after the last one.
// An error can't occur, as openDelta has seen the same bytes; if it does, because they were
// changed, there are no more records.
func (d *deltaReader) advance() (r wireRecord, ok bool) {
	for d.seq-d.first < d.count {
		f, err := d.fields.next()
		if err == nil && f.tag == deltaRecord {
			err = r.parse(f.data, d.origin, d.stamp)
		}
		if err != nil {
			d.count = d.seq - d.first
			break
		}
		if f.tag == deltaRecord {
			d.stamp = r.stamp
			d.seq++
			return r, true
		}
	}
	return wireRecord{}, false
}

// A wireRecord is a record whose key and value are still part of the frame.
type wireRecord struct {
	key, val []byte
	version
	kind kind

	deadline, staleUntil, refreshFrom int64
}

// record copies the value out of the frame; key is a copy of the key. Each is on its own, so that
// neither keeps the other or the frame alive.
//
// A record that needs a later version to be understood has kindUnknown, its key and its version,
// and nothing else.
func (r *wireRecord) record(key string) record {
	return record{
		key:         key,
		val:         string(r.val),
		version:     r.version,
		kind:        r.kind,
		deadline:    r.deadline,
		staleUntil:  r.staleUntil,
		refreshFrom: r.refreshFrom,
	}
}

// parse decodes and checks one record of a frame of origin; prev is the stamp
// of the record before.
func (r *wireRecord) parse(b []byte, origin, prev uint64) error {
	var wireKind, stamp, deadline, stale, refresh uint64 // as on the wire
	r.origin = origin
	known := true
	fields := fieldReader{rest: b, singular: singular(recordKnown)}
	for len(fields.rest) > 0 {
		f, err := fields.next()
		if err != nil {
			return err
		}
		switch f.tag {
		case recordKind:
			wireKind = f.x
		case recordKey:
			r.key = f.data
		case recordVal:
			r.val = f.data
		case recordStamp:
			stamp = f.x
		case recordOrigin:
			r.origin = f.x
		case recordDeadline:
			deadline = f.x
		case recordStaleUntil:
			stale = f.x
		case recordRefresh:
			refresh = f.x
		default:
			if f.num <= recordKnown {
				return f.unknown(recordKnown)
			}
			known = known && f.num >= mustUnderstand
		}
	}

	if n := len(r.key) + len(r.val); n > MaxRecordSize {
		return fmt.Errorf("%w: key and value of %d bytes", errMalformed, n)
	}
	if r.origin == 0 {
		return fmt.Errorf("%w: origin 0", errMalformed)
	}
	// prev is within 1..maxStamp, so every sum that over- or underflows lands above maxStamp.
	r.stamp = prev + uint64(protowire.DecodeZigZag(stamp))
	if r.stamp == 0 || r.stamp > maxStamp {
		return fmt.Errorf("%w: stamp %d", errMalformed, r.stamp)
	}
	// The bases are >= 0, so every sum that overflows is negative.
	wall := stampWall(r.stamp)
	if fields.has(recordDeadline) {
		r.deadline = wall + protowire.DecodeZigZag(deadline)
		if r.deadline <= 0 {
			return fmt.Errorf("%w: deadline out of range", errMalformed)
		}
	}
	if fields.has(recordStaleUntil) {
		r.staleUntil = r.deadline + protowire.DecodeZigZag(stale)
		if r.staleUntil <= 0 {
			return fmt.Errorf("%w: stale-until out of range", errMalformed)
		}
	}
	if fields.has(recordRefresh) {
		r.refreshFrom = wall + protowire.DecodeZigZag(refresh)
		if r.refreshFrom <= 0 {
			return fmt.Errorf("%w: refresh-from out of range", errMalformed)
		}
	}

	switch {
	case wireKind == uint64(kindClear):
		// A clear stays one whatever else it says: to forget the key "" instead
		// would leave all those alive that it was to clear.
		if len(r.key) != 0 {
			return fmt.Errorf("%w: clear with a key", errMalformed)
		}
		r.kind = kindClear
	case wireKind >= uint64(kindUnknown) || !known:
		r.kind = kindUnknown
		r.deadline, r.staleUntil, r.refreshFrom = 0, 0, 0
	default:
		r.kind = kind(wireKind)
	}
	if r.kind != kindValue {
		r.val = nil
	}
	return nil
}

// frameBody returns what follows the header of a frame of type want.
func frameBody(frame []byte, want byte) ([]byte, error) {
	t, err := frameType(frame)
	if err != nil {
		return nil, err
	}
	if t != want {
		return nil, fmt.Errorf("%w: type %d instead of %d", errMalformed, t, want)
	}
	return frame[2:], nil
}

// A fieldReader takes a message apart, one field at a time. Nothing is copied,
// and no length is believed before that many bytes are there.
type fieldReader struct {
	rest     []byte
	singular uint16 // bit n: field n must not occur twice; numbers below mustUnderstand
	seen     uint16 // bit n: field n has occurred
}

// singular is the set of the fields 1 to n.
func singular(n int) uint16 { return 1<<(n+1) - 2 }

// A wireField is one field: x is the value of a varint or fixed one, data that of
// a bytes one, which aliases the frame.
type wireField struct {
	num  protowire.Number
	tag  byte // number << 3 | wire type if that fits, otherwise 0
	x    uint64
	data []byte
}

// next reads a field. There must be bytes left.
func (r *fieldReader) next() (f wireField, err error) {
	num, typ, n := protowire.ConsumeTag(r.rest)
	if n < 0 {
		return f, fmt.Errorf("%w: %w", errMalformed, protowire.ParseError(n))
	}
	f.num = num
	if num < 1<<5 {
		f.tag = byte(num)<<3 | byte(typ)
	}
	if num < mustUnderstand {
		bit := uint16(1) << num
		if r.seen&r.singular&bit != 0 {
			return f, fmt.Errorf("%w: field %d twice", errMalformed, num)
		}
		r.seen |= bit
	}
	b := r.rest[n:]
	switch typ {
	case protowire.VarintType:
		f.x, n = protowire.ConsumeVarint(b)
	case protowire.Fixed64Type:
		f.x, n = protowire.ConsumeFixed64(b)
	case protowire.BytesType:
		f.data, n = protowire.ConsumeBytes(b)
	case protowire.Fixed32Type:
		_, n = protowire.ConsumeFixed32(b)
	default: // groups, which proto3 doesn't have
		return f, fmt.Errorf("%w: field %d has wire type %d", errMalformed, num, typ)
	}
	if n < 0 {
		return f, fmt.Errorf("%w: field %d: %w", errMalformed, num, protowire.ParseError(n))
	}
	r.rest = b[n:]
	return f, nil
}

// count returns how many of the fields that are left have this tag.
func (r fieldReader) count(tag byte) (n int) {
	for len(r.rest) > 0 {
		f, err := r.next()
		if err != nil {
			break // whoever reads them will see
		}
		if f.tag == tag {
			n++
		}
	}
	return n
}

// has reports whether the field with this tag has occurred.
func (r *fieldReader) has(tag byte) bool { return r.seen&(1<<(tag>>3)) != 0 }

// unknown returns what a field means that has none of the known tags, in a
// message that knows the numbers up to known. nil: skip it.
func (f *wireField) unknown(known protowire.Number) error {
	switch {
	case f.num <= known:
		return fmt.Errorf("%w: field %d has wire type %d", errMalformed, f.num, f.tag&7)
	case f.num < mustUnderstand:
		return fmt.Errorf("%w: field %d", errUnsupported, f.num)
	}
	return nil
}
