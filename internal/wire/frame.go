package wire

import (
	"errors"
	"fmt"
	"slices"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
	"google.golang.org/protobuf/encoding/protowire"
)

// The frames that replicas exchange; docs/wire.proto is their schema and says
// how later versions may extend it. A frame is one byte of version, one byte of
// type, and a body in protobuf's wire format.
const (
	Version = 1

	FrameDelta byte = 1
	FramePing  byte = 2
	FramePong  byte = 3
	FrameAsk   byte = 4 // sync.go
	FrameChunk byte = 5
	FrameLease byte = 6 // lease.go
	FrameTurn  byte = 7
	FrameOffer byte = 8 // offer.go

	FrameInquiry byte = 9 // inquiry.go
	FrameReport  byte = 10

	// CutFrame is what frames are cut at: others wait for one no longer than its line takes for
	// that. A single record may make one that is larger, up to MaxFrame and less than FrameSlack; more
	// than that isn't taken from a peer.
	CutFrame   = 60 << 10
	MaxFrame   = 1 << 20
	FrameSlack = 1 << 10

	// mustUnderstand is the first field number that may be skipped when it is
	// unknown. Every number below fits in a tag of one byte.
	mustUnderstand = 16
)

var (
	// ErrMalformed wraps every error about bytes that no version of the format produces.
	ErrMalformed = errors.New("bcache: malformed frame")
	// ErrUnsupported wraps every error about a frame of a later version.
	ErrUnsupported = errors.New("bcache: unsupported frame")
)

// The tags of the known fields: number << 3 | wire type.
const (
	TypeVarint  = byte(protowire.VarintType)
	TypeFixed64 = byte(protowire.Fixed64Type)
	TypeBytes   = byte(protowire.BytesType)

	DeltaOrigin = 1<<3 | TypeFixed64
	DeltaFirst  = 2<<3 | TypeVarint
	deltaBase   = 3<<3 | TypeFixed64
	deltaRecord = 4<<3 | TypeBytes
	deltaKnown  = 4                   // the greatest known number that must be understood
	deltaNewest = 16<<3 | TypeFixed64 // on the wire, a tag of two bytes

	RecordKind       = 1<<3 | TypeVarint
	recordKey        = 2<<3 | TypeBytes
	recordVal        = 3<<3 | TypeBytes
	recordStamp      = 4<<3 | TypeVarint
	recordOrigin     = 5<<3 | TypeFixed64
	recordDeadline   = 6<<3 | TypeVarint
	recordStaleUntil = 7<<3 | TypeVarint
	recordRefresh    = 8<<3 | TypeVarint
	recordKnown      = 8

	recordTags = 10<<3 | TypeBytes // who doesn't know it forgets the record, as with every number below 16

	// What a Clear selects by; on the wire, tags of two bytes. Who doesn't know them clears everything.
	recordPrefix = 16<<3 | TypeBytes
	recordTag    = 17<<3 | TypeBytes

	pingID     = 1<<3 | TypeFixed64
	pingOrigin = 2<<3 | TypeFixed64
	pingSeq    = 3<<3 | TypeVarint
	pingWall   = 4<<3 | TypeVarint
	pingFlags  = 5<<3 | TypeVarint
	pingDots   = 6<<3 | TypeBytes
	pingRest   = 7<<3 | TypeFixed64
	pingStamp  = 8<<3 | TypeFixed64
	pingPrint  = 9<<3 | TypeFixed64
	pingKnown  = 9

	dotsOrigin  = 1<<3 | TypeFixed64
	dotsCovered = 2<<3 | TypeVarint
	dotsAhead   = 3<<3 | TypeBytes
	dotsNewest  = 4<<3 | TypeFixed64
	dotsKnown   = 4

	pongID     = 1<<3 | TypeFixed64
	pongOrigin = 2<<3 | TypeFixed64
	pongFrom   = 3<<3 | TypeVarint
	pongTo     = 4<<3 | TypeVarint
	pongWall   = 5<<3 | TypeVarint
	pongFlags  = 6<<3 | TypeVarint
	pongStamp  = 7<<3 | TypeFixed64
	pongPrint  = 8<<3 | TypeFixed64
	pongKnown  = 8
	pongSeq    = 16<<3 | TypeVarint // on the wire, a tag of two bytes

	heldCount = 20<<3 | TypeVarint // of pings and pongs; likewise
)

// A Ping tells the sender's clock and what it has processed, and asks how far the
// receiver got: with the sender's writes, and with what the sender lacks.
type Ping struct {
	ID     uint64 // a nonce, repeated in the pong
	Origin uint64 // the sender's
	Seq    uint64 // the last one that the sender issued; 0 = none yet
	Wall   int64  // the sender's clock, Unix milliseconds
	Flags  uint64

	// The sender's context, with PingContext: some origins, a fingerprint of the others,
	// and which were dropped.
	Entries []dots.Entry
	Rest    uint64
	Horizon dots.Horizon

	Held   uint64 // entries that the sender holds
	Echo   uint64 // the sender's
	Micros uint16 // of the sender's clock, within the millisecond of Wall
}

// The flags of a ping.
const (
	PingContext = 1 << iota // it carries the sender's context
	// the receiver sends what the sender lacks, as far as its log knows it, before it answers
	PingPull
	// the sender wants its writes to be everywhere: whoever lacks some of them up to seq, which need not be
	// the last one then, should pull them now
	PingConfirm
	PingSynced  // the sender is synced, and holds nothing that it can't vouch for
	PingAll     // every origin is listed
	PingAnswers // the sender answers Inquiries
	PingExact   // the receiver says exactly what the sender lacks, see Pong.Lacks
	PingTags    // the sender takes offers of values with tags
	PingLeaving // the sender closes: whoever lacks something that it has should pull it now
)

// A Pong answers a ping.
type Pong struct {
	ID     uint64 // the ping's
	Origin uint64 // the sender's, not the ping's

	Seq uint64 // the last one that the sender issued

	// Of the pinger's origin, the sender has processed every dot in (from, to].
	From, To uint64

	Wall    int64 // the sender's clock, Unix milliseconds
	Flags   uint64
	Horizon dots.Horizon

	Held   uint64 // entries that the sender holds
	Echo   uint64 // the sender's
	Micros uint16 // of the sender's clock, within the millisecond of Wall

	// With PongExact: of each origin of which the pinger lacks something, all dots that the sender has
	// processed, however young they are.
	Lacks []dots.Entry
}

// The flags of a pong.
const (
	PongContext = 1 << iota // the ping's context was looked at; otherwise the other flags say nothing
	PongLog                 // some of what the pinger lacks is in the sender's log
	PongOld                 // some of it isn't any more
	PongAll                 // the origins that weren't listed differ: list all
	PongSynced              // the sender is synced, and holds nothing that it can't vouch for
	PongAnswers             // the sender answers Inquiries
	PongExact               // Lacks is all that the pinger lacks
	PongTags                // the sender takes offers of values with tags
	PongBehind              // it lacks something that the ping has, which was one with PingLeaving
	PongLeaving             // the sender closes, and pulls nothing any more
	PongWhole               // it lacks nothing of that
)

// FrameType returns what kind of frame it is, after a check of its version and size. The
// type comes back beside ErrUnsupported too, if it is the type that is unknown.
func FrameType(frame []byte) (byte, error) {
	if len(frame) < 2 || len(frame) > MaxFrame+FrameSlack {
		return 0, fmt.Errorf("%w: %d bytes", ErrMalformed, len(frame))
	}
	if frame[0] != Version {
		return 0, fmt.Errorf("%w: version %d", ErrUnsupported, frame[0])
	}
	if t := frame[1]; t < FrameDelta || t > FrameReport {
		return t, fmt.Errorf("%w: type %d", ErrUnsupported, t)
	}
	return frame[1], nil
}

// AppendDelta appends one whole frame to dst: recs are the dots (origin, first),
// (origin, first+1) and so on. A record without a value's kind is sent without
// its value, and one of an unknown kind as the forget that it was applied as.
//
// The caller answers for the rest: no origin, seq or stamp is 0, no stamp above
// 2^63, times are >= 0, key, value and tags keep MaxRecordSize.
// Without records there is no frame.
func AppendDelta(dst []byte, origin, first uint64, recs []delta.Record) []byte {
	if len(recs) == 0 {
		return dst
	}
	stamp := recs[0].Stamp
	dst = append(dst, Version, FrameDelta)
	dst = AppendFixed64(dst, DeltaOrigin, origin)
	dst = AppendVarint(dst, DeltaFirst, first)
	dst = AppendFixed64(dst, deltaBase, stamp)
	for i := range recs {
		dst = appendRecord(dst, deltaRecord, &recs[i], origin, stamp)
		stamp = recs[i].Stamp
	}
	return dst
}

// MarkRepair makes a delta one that answers a pull: it adds the newest stamp that the sender
// has of the origin, from which the receiver sees whether that is an origin that it has
// dropped.
func MarkRepair(frame []byte, newest uint64) []byte {
	return protowire.AppendFixed64(protowire.AppendVarint(frame, uint64(deltaNewest)), newest)
}

// appendRecord appends rec as a field with a tag, after a record with the stamp prev. Its
// version's origin is left out if it is the given one.
func appendRecord(dst []byte, tag byte, rec *delta.Record, origin, prev uint64) []byte {
	dst = append(dst, tag)
	start := len(dst)

	k := rec.Kind
	if k >= delta.KindUnknown {
		k = delta.KindForget
	}
	dst = AppendVarint(dst, RecordKind, uint64(k))
	if k == delta.KindClear {
		dst = appendSelector(dst, rec.Selector())
	} else {
		dst = appendString(dst, recordKey, rec.Key)
	}
	if k == delta.KindValue {
		dst = appendString(dst, recordVal, rec.Val)
	}
	if rec.Stamp != prev {
		dst = appendOffset(dst, recordStamp, int64(rec.Stamp-prev))
	}
	if rec.Origin != origin {
		dst = AppendFixed64(dst, recordOrigin, rec.Origin)
	}
	// A time that is there is written even if its offset is 0: leaving it out means none.
	wall := delta.StampWall(rec.Stamp)
	if rec.Deadline != 0 {
		dst = appendOffset(dst, recordDeadline, rec.Deadline-wall)
	}
	if rec.StaleUntil != 0 {
		dst = appendOffset(dst, recordStaleUntil, rec.StaleUntil-rec.Deadline)
	}
	if rec.RefreshFrom != 0 {
		dst = appendOffset(dst, recordRefresh, rec.RefreshFrom-wall)
	}

	if k == delta.KindValue || k == delta.KindNegative {
		dst = appendString(dst, recordTags, string(rec.Tags))
	}

	// Moving the record by the size of its length is cheaper than working out the length beforehand.
	var buf [10]byte
	return slices.Insert(dst, start, protowire.AppendVarint(buf[:0], uint64(len(dst)-start))...)
}

// appendSelector appends what a Clear selects by, if it doesn't select everything.
func appendSelector(dst []byte, s delta.Selector) []byte {
	if prefix, ok := s.Prefix(); ok {
		dst = protowire.AppendString(protowire.AppendVarint(dst, uint64(recordPrefix)), prefix)
	}
	if tag, ok := s.Tag(); ok {
		dst = protowire.AppendString(protowire.AppendVarint(dst, uint64(recordTag)), tag)
	}
	return dst
}

// RecordSize is an upper bound of what rec adds to a delta, in bytes. It exceeds
// the truth by at most 65.
func RecordSize(rec *delta.Record) int {
	const (
		header  = 1 + 5 // tag and length, up to 32 GiB
		offset  = 1 + 10
		minimum = header + 2 + 2*header + offset + 9 // kind, key, val, stamp, origin
	)
	n := minimum + rec.Size()
	if rec.Tags != "" {
		n += header
	}
	if rec.Deadline != 0 {
		n += offset
	}
	if rec.StaleUntil != 0 {
		n += offset
	}
	if rec.RefreshFrom != 0 {
		n += offset
	}
	return n
}

// AppendPing appends one whole frame to dst. The origin must not be 0.
func AppendPing(dst []byte, p Ping) []byte {
	dst = append(dst, Version, FramePing)
	dst = AppendFixed64(dst, pingID, p.ID)
	dst = AppendFixed64(dst, pingOrigin, p.Origin)
	dst = AppendVarint(dst, pingSeq, p.Seq)
	dst = AppendVarint(dst, pingWall, uint64(p.Wall))
	dst = AppendVarint(dst, pingFlags, p.Flags)
	dst = appendEntries(dst, pingDots, p.Entries, p.Flags&PingLeaving != 0)
	dst = AppendFixed64(dst, pingRest, p.Rest)
	dst = AppendFixed64(dst, pingStamp, p.Horizon.Stamp)
	dst = AppendFixed64(dst, pingPrint, p.Horizon.Print)
	return appendMicros(appendHeld(AppendEcho(dst, p.Echo), p.Held), p.Micros)
}

const (
	// maxContext is how many bytes the gaps in a context may take. Beyond it they are left
	// out, and what is beyond them too: to claim less does no harm, but at Close.
	maxContext = MaxFrame / 2

	// MaxEntries is how many origins of a context are taken from a peer: twice what a
	// node keeps, beside which it has its neighbours.
	MaxEntries = 2 * dots.MaxOrigins
)

// appendEntries appends a context, as fields with a tag; its origins are sorted. The newest
// stamps are only needed where they are adopted.
func appendEntries(dst []byte, tag byte, entries []dots.Entry, newest bool) []byte {
	start := len(dst)
	var one []byte
	for _, e := range entries {
		one = appendDots(one[:0], &e, len(dst)-start < maxContext)
		if newest {
			one = AppendFixed64(one, dotsNewest, e.Newest)
		}
		dst = append(dst, tag)
		dst = protowire.AppendBytes(dst, one)
	}
	return dst
}

// appendDots appends an origin's dots, those beyond its gaps only if it is told to.
func appendDots(dst []byte, e *dots.Entry, gaps bool) []byte {
	dst = AppendFixed64(dst, dotsOrigin, e.Origin)
	dst = AppendVarint(dst, dotsCovered, e.Covered)
	if !gaps || len(e.Ahead) == 0 {
		return dst
	}
	dst = append(dst, dotsAhead)
	start, last := len(dst), e.Covered
	for _, iv := range e.Ahead {
		dst = protowire.AppendVarint(dst, iv.From-last)
		dst = protowire.AppendVarint(dst, iv.To-iv.From)
		last = iv.To
	}
	var buf [10]byte
	return slices.Insert(dst, start, protowire.AppendVarint(buf[:0], uint64(len(dst)-start))...)
}

// AppendPong appends one whole frame to dst. The origin must not be 0, nor from
// greater than to.
func AppendPong(dst []byte, p Pong) []byte {
	dst = append(dst, Version, FramePong)
	dst = AppendFixed64(dst, pongID, p.ID)
	dst = AppendFixed64(dst, pongOrigin, p.Origin)
	dst = AppendVarint(dst, pongFrom, p.From)
	dst = AppendVarint(dst, pongTo, p.To)
	dst = AppendVarint(dst, pongWall, uint64(p.Wall))
	dst = AppendVarint(dst, pongFlags, p.Flags)
	dst = AppendFixed64(dst, pongStamp, p.Horizon.Stamp)
	dst = AppendFixed64(dst, pongPrint, p.Horizon.Print)
	if p.Seq != 0 {
		dst = protowire.AppendVarint(protowire.AppendVarint(dst, uint64(pongSeq)), p.Seq)
	}
	return appendLacks(appendMicros(appendHeld(AppendEcho(dst, p.Echo), p.Held), p.Micros), p.Lacks)
}

func appendHeld(dst []byte, held uint64) []byte {
	if held == 0 {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendVarint(dst, uint64(heldCount)), held)
}

// AppendFixed64, AppendVarint and appendString leave a zero out, as proto3 does;
// appendOffset never does.

func AppendFixed64(dst []byte, tag byte, x uint64) []byte {
	if x == 0 {
		return dst
	}
	return protowire.AppendFixed64(append(dst, tag), x)
}

func AppendVarint(dst []byte, tag byte, x uint64) []byte {
	if x == 0 {
		return dst
	}
	return protowire.AppendVarint(append(dst, tag), x)
}

func appendString(dst []byte, tag byte, s string) []byte {
	if s == "" {
		return dst
	}
	return protowire.AppendString(append(dst, tag), s)
}

func appendOffset(dst []byte, tag byte, d int64) []byte {
	return protowire.AppendVarint(append(dst, tag), protowire.EncodeZigZag(d))
}
