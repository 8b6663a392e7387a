package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
	"google.golang.org/protobuf/encoding/protowire"
)

// The frames of a full sync: the requester asks for chunks, the server sends them.
const (
	askSession = 1<<3 | TypeFixed64
	askNext    = 2<<3 | TypeVarint
	askFlags   = 3<<3 | TypeVarint
	askKnown   = 3

	chunkSession = 1<<3 | TypeFixed64
	chunkNumber  = 2<<3 | TypeVarint
	chunkFlags   = 3<<3 | TypeVarint
	chunkGroups  = 4<<3 | TypeVarint
	chunkGroup   = 5<<3 | TypeVarint
	chunkFloors  = 6<<3 | TypeBytes
	chunkDots    = 7<<3 | TypeBytes
	chunkStamp   = 8<<3 | TypeFixed64
	chunkPrint   = 9<<3 | TypeFixed64
	chunkClear   = 10<<3 | TypeFixed64
	chunkClearer = 11<<3 | TypeFixed64
	chunkBase    = 12<<3 | TypeFixed64
	chunkRecord  = 13<<3 | TypeBytes
	chunkKnown   = 13

	// On the wire, tags of two bytes.
	chunkTagFloor = 16<<3 | TypeFixed64
	chunkSelected = 17<<3 | TypeBytes
	chunkAll      = 18<<3 | TypeFixed64
	chunkAller    = 19<<3 | TypeFixed64

	FloorSize = 10 // bytes of a floor: the bucket and the stamp
)

// A SyncAsk asks a node for a full sync, chunk by chunk. It acknowledges all chunks below next.
type SyncAsk struct {
	Session uint64 // drawn by the requester
	Next    uint64 // the chunk that it expects; 0 begins the session
	Flags   uint64
}

// The flags of a SyncAsk.
const (
	AskAgain  = 1 << iota // nothing has come for a while: was the expected chunk lost?
	AskCancel             // the requester doesn't want it any more
	AskGap                // later chunks have come: the expected one was lost, and they were dropped
)

// A SyncChunk is a piece of a full sync. The first one, number 0, has no records: it
// has what is true of the whole.
type SyncChunk struct {
	Session uint64
	Number  uint64
	Flags   uint64

	// Of number 0.
	Groups  uint64 // how many groups follow: bucket b belongs to group b % groups
	Entries []dots.Entry
	Horizon dots.Horizon

	// Of the others.
	Group   uint64
	Records []delta.Record // of that group

	// With ChunkDone: Clear, and the floors that are above it, by bucket. With ChunkSelects too, the Clear of
	// everything is All, and Clear is the greatest of all, for those who don't know the difference.
	Clear, All delta.Version
	Floors     []delta.BucketFloor
	TagFloor   uint64         // records that have tags aren't taken up to this stamp
	Selected   []delta.Record // some of the Clears that don't select everything
}

// The flags of a SyncChunk.
const (
	ChunkRefused = 1 << iota // the session isn't known, or the node can't serve now
	ChunkDone                // the group is complete, and these are its floors
	ChunkLast                // it is the last group
	ChunkBusy                // with ChunkRefused: it could serve, if it didn't serve others
	ChunkSelects             // with ChunkDone: there are Clears that don't select everything, or were
)

func AppendAsk(dst []byte, a SyncAsk) []byte {
	dst = append(dst, Version, FrameAsk)
	dst = AppendFixed64(dst, askSession, a.Session)
	dst = AppendVarint(dst, askNext, a.Next)
	return AppendVarint(dst, askFlags, a.Flags)
}

func DecodeAsk(frame []byte) (a SyncAsk, err error) {
	body, err := frameBody(frame, FrameAsk)
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
			a.Session = f.x
		case askNext:
			a.Next = f.x
		case askFlags:
			a.Flags = f.x
		default:
			if err := f.unknown(askKnown); err != nil {
				return a, err
			}
		}
	}
	return a, nil
}

// AppendChunk appends a whole frame to dst. Records are written with the origin of their
// version where it isn't that of the record before, and with the difference to its stamp,
// so it pays to sort them.
func AppendChunk(dst []byte, c *SyncChunk) []byte {
	dst = append(dst, Version, FrameChunk)
	dst = AppendFixed64(dst, chunkSession, c.Session)
	dst = AppendVarint(dst, chunkNumber, c.Number)
	dst = AppendVarint(dst, chunkFlags, c.Flags)
	dst = AppendVarint(dst, chunkGroups, c.Groups)
	dst = AppendVarint(dst, chunkGroup, c.Group)
	if len(c.Floors) > 0 {
		dst = append(dst, chunkFloors)
		dst = protowire.AppendVarint(dst, uint64(len(c.Floors)*FloorSize))
		for _, f := range c.Floors {
			dst = binary.LittleEndian.AppendUint16(dst, f.Bucket)
			dst = binary.LittleEndian.AppendUint64(dst, f.Stamp)
		}
	}
	dst = appendEntries(dst, chunkDots, c.Entries, true)
	dst = AppendFixed64(dst, chunkStamp, c.Horizon.Stamp)
	dst = AppendFixed64(dst, chunkPrint, c.Horizon.Print)
	dst = AppendFixed64(dst, chunkClear, c.Clear.Stamp)
	dst = AppendFixed64(dst, chunkClearer, c.Clear.Origin)
	if c.TagFloor != 0 {
		dst = protowire.AppendFixed64(protowire.AppendVarint(dst, uint64(chunkTagFloor)), c.TagFloor)
	}
	if c.All != (delta.Version{}) {
		dst = protowire.AppendFixed64(protowire.AppendVarint(dst, uint64(chunkAll)), c.All.Stamp)
		dst = protowire.AppendFixed64(protowire.AppendVarint(dst, uint64(chunkAller)), c.All.Origin)
	}
	if len(c.Selected) > 0 {
		dst = appendSelected(dst, c.Selected)
	}
	if len(c.Records) == 0 {
		return dst
	}
	prev := delta.Version{Stamp: c.Records[0].Stamp}
	dst = AppendFixed64(dst, chunkBase, prev.Stamp)
	for i := range c.Records {
		rec := &c.Records[i]
		dst = appendRecord(dst, chunkRecord, rec, prev.Origin, prev.Stamp)
		prev = rec.Version
	}
	return dst
}

// appendSelected appends Clears. Each is a record that comes after none.
func appendSelected(dst []byte, clears []delta.Record) []byte {
	var one []byte
	for i := range clears {
		one = appendRecord(one[:0], chunkRecord, &clears[i], 0, 0)
		body, _ := protowire.ConsumeBytes(one[1:])
		dst = protowire.AppendBytes(protowire.AppendVarint(dst, uint64(chunkSelected)), body)
	}
	return dst
}

// ChunkSize is an upper bound of what a chunk takes without its records.
func ChunkSize(c *SyncChunk) int { return 128 + len(c.Floors)*FloorSize }

// OpenChunk reads a frame but for its records, which are checked and counted, so that a
// frame that is malformed anywhere is refused before anything of it is applied.
func OpenChunk(frame []byte) (c SyncChunk, recs ChunkReader, err error) {
	body, err := frameBody(frame, FrameChunk)
	if err != nil {
		return c, recs, err
	}
	const many = 1<<(chunkDots>>3) | 1<<(chunkRecord>>3)
	fields := fieldReader{rest: body, singular: singular(chunkKnown) &^ many}
	recs = ChunkReader{fields: fields}
	var base uint64
	var prev delta.Version
	for len(fields.rest) > 0 {
		f, err := fields.next()
		if err != nil {
			return c, recs, err
		}
		switch f.tag {
		case chunkSession:
			c.Session = f.x
		case chunkTagFloor:
			c.TagFloor = f.x
		case chunkAll:
			c.All.Stamp = f.x
		case chunkAller:
			c.All.Origin = f.x
		case chunkSelected:
			var r WireRecord
			if err := r.parse(f.data, 0, 0); err != nil {
				return c, recs, err
			}
			if r.kind != delta.KindClear {
				return c, recs, fmt.Errorf("%w: a record of kind %d among Clears", ErrMalformed, r.kind)
			}
			c.Selected = append(c.Selected, r.Record(""))
		case chunkNumber:
			c.Number = f.x
		case chunkFlags:
			c.Flags = f.x
		case chunkGroups:
			c.Groups = f.x
		case chunkGroup:
			c.Group = f.x
		case chunkFloors:
			if c.Floors, err = decodeFloors(f.data); err != nil {
				return c, recs, err
			}
		case chunkDots:
			if c.Entries, err = fields.entry(c.Entries, f); err != nil {
				return c, recs, err
			}
		case chunkStamp:
			c.Horizon.Stamp = f.x
		case chunkPrint:
			c.Horizon.Print = f.x
		case chunkClear:
			c.Clear.Stamp = f.x
		case chunkClearer:
			c.Clear.Origin = f.x
		case chunkBase:
			base = f.x
		case chunkRecord:
			if prev.Stamp == 0 {
				if base == 0 || base > delta.MaxStamp {
					return c, recs, fmt.Errorf("%w: base stamp %d", ErrMalformed, base)
				}
				prev.Stamp = base
				recs.prev = prev
			}
			var r WireRecord
			if err := r.parse(f.data, prev.Origin, prev.Stamp); err != nil {
				return c, recs, err
			}
			if r.kind == delta.KindClear {
				return c, recs, fmt.Errorf("%w: clear as a record of a chunk", ErrMalformed)
			}
			prev = r.Version
		default:
			if err := f.unknown(chunkKnown); err != nil {
				return c, recs, err
			}
		}
	}
	return c, recs, c.check(prev.Stamp == 0)
}

// check refuses what makes no sense, whatever came before it.
func (c *SyncChunk) check(noRecords bool) error {
	switch {
	case c.Groups > delta.MaxGroups || c.Groups&(c.Groups-1) != 0:
		return fmt.Errorf("%w: %d groups", ErrMalformed, c.Groups)
	case c.Clear.Stamp > delta.MaxStamp || c.Clear.Stamp > 0 && c.Clear.Origin == 0:
		return fmt.Errorf("%w: Clear %d of origin %d", ErrMalformed, c.Clear.Stamp, c.Clear.Origin)
	case c.All.Stamp > delta.MaxStamp || c.All.Stamp > 0 && c.All.Origin == 0 || c.TagFloor > delta.MaxStamp:
		return fmt.Errorf("%w: Clear of everything %d of origin %d, floor of tags %d",
			ErrMalformed, c.All.Stamp, c.All.Origin, c.TagFloor)
	case c.Horizon.Stamp > delta.MaxStamp:
		return fmt.Errorf("%w: horizon %d", ErrMalformed, c.Horizon.Stamp)
	case c.Flags&ChunkRefused != 0:
		return nil
	case c.Number == 0 && c.Groups == 0:
		return fmt.Errorf("%w: no groups", ErrMalformed)
	case c.Number > 0 && c.Flags&ChunkDone == 0 && (noRecords || c.Flags&ChunkLast != 0):
		return fmt.Errorf("%w: chunk %d has flags %d, records: %v",
			ErrMalformed, c.Number, c.Flags, !noRecords)
	}
	return nil
}

func decodeFloors(b []byte) ([]delta.BucketFloor, error) {
	if len(b)%FloorSize != 0 || len(b) > delta.NumBuckets*FloorSize {
		return nil, fmt.Errorf("%w: floors of %d bytes", ErrMalformed, len(b))
	}
	if len(b) == 0 {
		return nil, nil
	}
	floors := make([]delta.BucketFloor, 0, len(b)/FloorSize)
	for ; len(b) > 0; b = b[FloorSize:] {
		f := delta.BucketFloor{Bucket: binary.LittleEndian.Uint16(b), Stamp: binary.LittleEndian.Uint64(b[2:])}
		if f.Bucket >= delta.NumBuckets || f.Stamp == 0 || f.Stamp > delta.MaxStamp {
			return nil, fmt.Errorf("%w: floor %d of bucket %d", ErrMalformed, f.Stamp, f.Bucket)
		}
		if n := len(floors); n > 0 && f.Bucket <= floors[n-1].Bucket {
			return nil, fmt.Errorf("%w: floors out of order", ErrMalformed)
		}
		floors = append(floors, f)
	}
	return floors, nil
}

// A ChunkReader iterates over the records of a chunk that OpenChunk has checked. The
// frame must not change while it is in use.
type ChunkReader struct {
	fields fieldReader
	prev   delta.Version
}

// Next reads one record into rec. Its strings are copies. ok is false after the last one.
func (c *ChunkReader) Next(rec *delta.Record) (ok bool) {
	for len(c.fields.rest) > 0 {
		f, err := c.fields.next()
		if err != nil {
			return false
		}
		if f.tag != chunkRecord {
			continue
		}
		var r WireRecord
		if r.parse(f.data, c.prev.Origin, c.prev.Stamp) != nil {
			return false
		}
		c.prev = r.Version
		*rec = r.Record(string(r.Key))
		return true
	}
	return false
}
