package wire

import (
	"fmt"
	"math"

	"github.com/iwanbk/bcache/internal/delta"
	"google.golang.org/protobuf/encoding/protowire"
)

// A DeltaReader iterates over the records of a delta. It isn't safe for
// concurrent use, and the frame must not change while it is in use.
type DeltaReader struct {
	Origin uint64 // of every dot in the frame
	First  uint64 // seq of the first record, >= 1
	// not 0: it answers a pull, and this is the newest stamp that the sender has of the origin
	Newest uint64
	Count  uint64 // records, >= 1; first+count doesn't overflow
	Echo   uint64 // its sender's
	Sent   int64  // when it left, in Unix microseconds by its sender's clock; 0: it isn't said

	fields fieldReader // what comes next
	stamp  uint64      // of the record before; the base stamp at first
	Seq    uint64      // of the next record
}

// OpenDelta checks the whole frame, without allocating unless it is bad, and
// returns a reader of its records: a frame that is malformed anywhere is
// refused before anything of it could be applied.
func OpenDelta(frame []byte) (DeltaReader, error) {
	body, err := frameBody(frame, FrameDelta)
	if err != nil {
		return DeltaReader{}, err
	}
	d := DeltaReader{fields: fieldReader{rest: body, singular: singular(deltaKnown - 1)}}
	start := d // moves on to the first record
	for len(d.fields.rest) > 0 {
		before := d.fields
		f, err := d.fields.next()
		if err != nil {
			return DeltaReader{}, err
		}
		switch f.tag {
		case DeltaOrigin:
			d.Origin = f.x
		case DeltaFirst:
			d.First = f.x
		case deltaBase:
			d.stamp = f.x
		case deltaRecord:
			if d.Count == 0 { // the header is complete, or never will be
				if d.Origin == 0 || d.First == 0 || d.stamp == 0 || d.stamp > delta.MaxStamp {
					return DeltaReader{}, fmt.Errorf("%w: origin %d, seq %d, base stamp %d",
						ErrMalformed, d.Origin, d.First, d.stamp)
				}
				newest, echo, sent := start.Newest, start.Echo, start.Sent
				start = d
				start.fields, start.Newest, start.Echo, start.Sent = before, newest, echo, sent
			}
			var r WireRecord
			if err := r.parse(f.data, d.Origin, d.stamp); err != nil {
				return DeltaReader{}, fmt.Errorf("%w (record %d)", err, d.Count)
			}
			d.stamp = r.Stamp
			d.Count++
		case deltaNewest:
			if f.x > delta.MaxStamp {
				return DeltaReader{}, fmt.Errorf("%w: newest stamp %d", ErrMalformed, f.x)
			}
			start.Newest = f.x
		case echoCount:
			start.Echo = f.x
		case deltaSent:
			start.Sent = sentOf(f.x)
		default:
			if err := f.unknown(deltaKnown); err != nil {
				return DeltaReader{}, err
			}
		}
	}
	if d.Count == 0 {
		return DeltaReader{}, fmt.Errorf("%w: no records", ErrMalformed)
	}
	if d.Count > math.MaxUint64-d.First {
		return DeltaReader{}, fmt.Errorf("%w: %d records from seq %d", ErrMalformed, d.Count, d.First)
	}
	start.Count = d.Count
	start.Seq = d.First
	return start, nil
}

// Advance parses the next record, whose dot has d.seq until then. ok is false after the last one.
// An error can't occur, as OpenDelta has seen the same bytes; if it does, because they were
// changed, there are no more records.
func (d *DeltaReader) Advance() (r WireRecord, ok bool) {
	for d.Seq-d.First < d.Count {
		f, err := d.fields.next()
		if err == nil && f.tag == deltaRecord {
			err = r.parse(f.data, d.Origin, d.stamp)
		}
		if err != nil {
			d.Count = d.Seq - d.First
			break
		}
		if f.tag == deltaRecord {
			d.stamp = r.Stamp
			d.Seq++
			return r, true
		}
	}
	return WireRecord{}, false
}

// A WireRecord is a record whose key and value are still part of the frame.
type WireRecord struct {
	Key, Val []byte
	delta.Version
	kind delta.Kind
	tags []byte

	prefix, tag []byte // what a Clear selects by: one of them, or neither

	deadline, staleUntil, refreshFrom int64
}

// Record copies the value out of the frame; key is a copy of the key. Each is on its own, so that
// neither keeps the other or the frame alive.
//
// A record that needs a later version to be understood has KindUnknown, its key and its version,
// and nothing else.
func (r *WireRecord) Record(key string) delta.Record {
	if r.kind == delta.KindClear {
		key = string(selectorOf(r.prefix, r.tag))
	}
	return delta.Record{
		Key:         key,
		Val:         string(r.Val),
		Version:     r.Version,
		Kind:        r.kind,
		Tags:        delta.Tags(r.tags),
		Deadline:    r.deadline,
		StaleUntil:  r.staleUntil,
		RefreshFrom: r.refreshFrom,
	}
}

// parse decodes and checks one record of a frame of origin; prev is the stamp
// of the record before.
func (r *WireRecord) parse(b []byte, origin, prev uint64) error {
	var wireKind, stamp, deadline, stale, refresh uint64 // as on the wire
	r.Origin = origin
	known := true
	fields := fieldReader{rest: b, singular: singular(recordKnown) | 1<<(recordTags>>3)}
	for len(fields.rest) > 0 {
		f, err := fields.next()
		if err != nil {
			return err
		}
		switch f.tag {
		case RecordKind:
			wireKind = f.x
		case recordKey:
			r.Key = f.data
		case recordVal:
			r.Val = f.data
		case recordStamp:
			stamp = f.x
		case recordOrigin:
			r.Origin = f.x
		case recordDeadline:
			deadline = f.x
		case recordStaleUntil:
			stale = f.x
		case recordRefresh:
			refresh = f.x
		case recordTags:
			r.tags = f.data
		case recordPrefix:
			r.prefix = f.data
		case recordTag:
			r.tag = f.data
		default:
			if f.num <= recordKnown {
				return f.unknown(recordKnown)
			}
			known = known && f.num >= mustUnderstand
		}
	}

	if n := len(r.Key) + len(r.Val) + len(r.tags); n > delta.MaxRecordSize {
		return fmt.Errorf("%w: key, value and tags of %d bytes", ErrMalformed, n)
	}
	if !delta.ValidTags(r.tags) {
		return fmt.Errorf("%w: tags", ErrMalformed)
	}
	if r.Origin == 0 {
		return fmt.Errorf("%w: origin 0", ErrMalformed)
	}
	// prev is within 1..MaxStamp, so every sum that over- or underflows lands above MaxStamp.
	r.Stamp = prev + uint64(protowire.DecodeZigZag(stamp))
	if r.Stamp == 0 || r.Stamp > delta.MaxStamp {
		return fmt.Errorf("%w: stamp %d", ErrMalformed, r.Stamp)
	}
	// The bases are >= 0, so every sum that overflows is negative.
	wall := delta.StampWall(r.Stamp)
	if fields.has(recordDeadline) {
		r.deadline = wall + protowire.DecodeZigZag(deadline)
		if r.deadline <= 0 {
			return fmt.Errorf("%w: deadline out of range", ErrMalformed)
		}
	}
	if fields.has(recordStaleUntil) {
		r.staleUntil = r.deadline + protowire.DecodeZigZag(stale)
		if r.staleUntil <= 0 {
			return fmt.Errorf("%w: stale-until out of range", ErrMalformed)
		}
	}
	if fields.has(recordRefresh) {
		r.refreshFrom = wall + protowire.DecodeZigZag(refresh)
		if r.refreshFrom <= 0 {
			return fmt.Errorf("%w: refresh-from out of range", ErrMalformed)
		}
	}

	switch {
	case wireKind == uint64(delta.KindClear):
		// A clear stays one whatever else it says: to forget the key "" instead
		// would leave all those alive that it was to clear.
		if len(r.Key) != 0 {
			return fmt.Errorf("%w: clear with a key", ErrMalformed)
		}
		r.kind = delta.KindClear
		if !known {
			r.prefix, r.tag = nil, nil
		}
	case wireKind >= uint64(delta.KindUnknown) || !known:
		r.kind = delta.KindUnknown
		r.deadline, r.staleUntil, r.refreshFrom = 0, 0, 0
	default:
		r.kind = delta.Kind(wireKind)
	}
	if r.kind != delta.KindValue {
		r.Val = nil
	}
	if r.kind != delta.KindValue && r.kind != delta.KindNegative {
		r.tags = nil
	}
	return nil
}

// selectorOf is what a Clear selects. One that gives both a prefix and a tag, or a tag that is too long,
// whatever that may mean one day, selects everything.
func selectorOf(prefix, tag []byte) delta.Selector {
	switch {
	case len(tag) == 0 && len(prefix) <= delta.MaxPrefixLen:
		return delta.SelectPrefix(string(prefix))
	case len(prefix) == 0 && len(tag) <= delta.MaxTagLen:
		return delta.SelectTag(string(tag))
	}
	return ""
}

// frameBody returns what follows the header of a frame of type want.
func frameBody(frame []byte, want byte) ([]byte, error) {
	t, err := FrameType(frame)
	if err != nil {
		return nil, err
	}
	if t != want {
		return nil, fmt.Errorf("%w: type %d instead of %d", ErrMalformed, t, want)
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
		return f, fmt.Errorf("%w: %w", ErrMalformed, protowire.ParseError(n))
	}
	f.num = num
	if num < 1<<5 {
		f.tag = byte(num)<<3 | byte(typ)
	}
	if num < mustUnderstand {
		bit := uint16(1) << num
		if r.seen&r.singular&bit != 0 {
			return f, fmt.Errorf("%w: field %d twice", ErrMalformed, num)
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
		return f, fmt.Errorf("%w: field %d has wire type %d", ErrMalformed, num, typ)
	}
	if n < 0 {
		return f, fmt.Errorf("%w: field %d: %w", ErrMalformed, num, protowire.ParseError(n))
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
		return fmt.Errorf("%w: field %d has wire type %d", ErrMalformed, f.num, f.tag&7)
	case f.num < mustUnderstand:
		return fmt.Errorf("%w: field %d", ErrUnsupported, f.num)
	}
	return nil
}
