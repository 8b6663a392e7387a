package bcache

import (
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// The frames that replicas exchange; docs/wire.proto is their schema and says
// how later versions may extend it. A frame is one byte of version, one byte of
// type, and a body in protobuf's wire format.
const (
	wireVersion = 1

	frameDelta byte = 1
	framePing  byte = 2
	framePong  byte = 3
	frameAsk   byte = 4 // wire_sync.go
	frameChunk byte = 5
	frameLease byte = 6 // wire_lease.go
	frameTurn  byte = 7
	frameOffer byte = 8 // wire_offer.go

	// cutFrame is what frames are cut at: others wait for one no longer than its line takes for
	// that. A single record may make one that is larger, up to maxFrame and less than frameSlack; more
	// than that isn't taken from a peer.
	cutFrame   = 60 << 10
	maxFrame   = 1 << 20
	frameSlack = 1 << 10

	// mustUnderstand is the first field number that may be skipped when it is
	// unknown. Every number below fits in a tag of one byte.
	mustUnderstand = 16
)

var (
	// errMalformed wraps every error about bytes that no version of the format produces.
	errMalformed = errors.New("bcache: malformed frame")
	// errUnsupported wraps every error about a frame of a later version.
	errUnsupported = errors.New("bcache: unsupported frame")
)

// The tags of the known fields: number << 3 | wire type.
const (
	wireVarint  = byte(protowire.VarintType)
	wireFixed64 = byte(protowire.Fixed64Type)
	wireBytes   = byte(protowire.BytesType)

	deltaOrigin = 1<<3 | wireFixed64
	deltaFirst  = 2<<3 | wireVarint
	deltaBase   = 3<<3 | wireFixed64
	deltaRecord = 4<<3 | wireBytes
	deltaKnown  = 4                   // the greatest known number that must be understood
	deltaNewest = 16<<3 | wireFixed64 // on the wire, a tag of two bytes

	recordKind       = 1<<3 | wireVarint
	recordKey        = 2<<3 | wireBytes
	recordVal        = 3<<3 | wireBytes
	recordStamp      = 4<<3 | wireVarint
	recordOrigin     = 5<<3 | wireFixed64
	recordDeadline   = 6<<3 | wireVarint
	recordStaleUntil = 7<<3 | wireVarint
	recordRefresh    = 8<<3 | wireVarint
	recordKnown      = 8

	pingID     = 1<<3 | wireFixed64
	pingOrigin = 2<<3 | wireFixed64
	pingSeq    = 3<<3 | wireVarint
	pingWall   = 4<<3 | wireVarint
	pingFlags  = 5<<3 | wireVarint
	pingDots   = 6<<3 | wireBytes
	pingRest   = 7<<3 | wireFixed64
	pingStamp  = 8<<3 | wireFixed64
	pingPrint  = 9<<3 | wireFixed64
	pingKnown  = 9

	dotsOrigin  = 1<<3 | wireFixed64
	dotsCovered = 2<<3 | wireVarint
	dotsAhead   = 3<<3 | wireBytes
	dotsNewest  = 4<<3 | wireFixed64
	dotsKnown   = 4

	pongID     = 1<<3 | wireFixed64
	pongOrigin = 2<<3 | wireFixed64
	pongFrom   = 3<<3 | wireVarint
	pongTo     = 4<<3 | wireVarint
	pongWall   = 5<<3 | wireVarint
	pongFlags  = 6<<3 | wireVarint
	pongStamp  = 7<<3 | wireFixed64
	pongPrint  = 8<<3 | wireFixed64
	pongKnown  = 8
	pongSeq    = 16<<3 | wireVarint // on the wire, a tag of two bytes

	heldCount = 20<<3 | wireVarint // of pings and pongs; likewise
)

// A ping tells the sender's clock and what it has processed, and asks how far the
// receiver got: with the sender's writes, and with what the sender lacks.
type ping struct {
	id     uint64 // a nonce, repeated in the pong
	origin uint64 // the sender's
	seq    uint64 // the last one that the sender issued; 0 = none yet
	wall   int64  // the sender's clock, Unix milliseconds
	flags  uint64

	// The sender's context, with pingContext: some origins, a fingerprint of the others,
	// and which were dropped.
	entries []vectorEntry
	rest    uint64
	horizon horizon

	held uint64 // entries that the sender holds
	echo uint64 // the sender's
}

// The flags of a ping.
const (
	pingContext = 1 << iota // it carries the sender's context
	pingPull                // the receiver sends what the sender lacks, as far as its log knows it, before it answers
	pingClosing             // the sender closes: whoever lacks writes of it should pull them now
	pingSynced              // the sender is synced, and holds nothing that it can't vouch for
	pingAll                 // every origin is listed
)

// A pong answers a ping.
type pong struct {
	id     uint64 // the ping's
	origin uint64 // the sender's, not the ping's

	seq uint64 // the last one that the sender issued

	// Of the pinger's origin, the sender has processed every dot in (from, to].
	from, to uint64

	wall    int64 // the sender's clock, Unix milliseconds
	flags   uint64
	horizon horizon

	held uint64 // entries that the sender holds
	echo uint64 // the sender's
}

// The flags of a pong.
const (
	pongContext = 1 << iota // the ping's context was looked at; otherwise the other flags say nothing
	pongLog                 // some of what the pinger lacks is in the sender's log
	pongOld                 // some of it isn't any more
	pongAll                 // the origins that weren't listed differ: list all
	pongSynced              // the sender is synced, and holds nothing that it can't vouch for
)

// frameType returns what kind of frame it is, after a check of its version and size. The
// type comes back beside errUnsupported too, if it is the type that is unknown.
func frameType(frame []byte) (byte, error) {
	if len(frame) < 2 || len(frame) > maxFrame+frameSlack {
		return 0, fmt.Errorf("%w: %d bytes", errMalformed, len(frame))
	}
	if frame[0] != wireVersion {
		return 0, fmt.Errorf("%w: version %d", errUnsupported, frame[0])
	}
	if t := frame[1]; t < frameDelta || t > frameOffer {
		return t, fmt.Errorf("%w: type %d", errUnsupported, t)
	}
	return frame[1], nil
}

// appendDelta appends one whole frame to dst: recs are the dots (origin, first),
// (origin, first+1) and so on. A record without a value's kind is sent without
// its value, and one of an unknown kind as the forget that it was applied as.
//
// The caller answers for the rest: no origin, seq or stamp is 0, no stamp above
// 2^63, times are >= 0, a clear has no key, key and value keep MaxRecordSize.
// Without records there is no frame.
func appendDelta(dst []byte, origin, first uint64, recs []record) []byte {
	if len(recs) == 0 {
		return dst
	}
	stamp := recs[0].stamp
	dst = append(dst, wireVersion, frameDelta)
	dst = appendFixed64(dst, deltaOrigin, origin)
	dst = appendVarint(dst, deltaFirst, first)
	dst = appendFixed64(dst, deltaBase, stamp)
	for i := range recs {
		dst = appendRecord(dst, deltaRecord, &recs[i], origin, stamp)
		stamp = recs[i].stamp
	}
	return dst
}

// markRepair makes a delta one that answers a pull: it adds the newest stamp that the sender
// has of the origin, from which the receiver sees whether that is an origin that it has
// dropped.
func markRepair(frame []byte, newest uint64) []byte {
	return protowire.AppendFixed64(protowire.AppendVarint(frame, uint64(deltaNewest)), newest)
}

// appendRecord appends rec as a field with a tag, after a record with the stamp prev. Its
// version's origin is left out if it is the given one.
func appendRecord(dst []byte, tag byte, rec *record, origin, prev uint64) []byte {
	dst = append(dst, tag)
	start := len(dst)

	k := rec.kind
	if k >= kindUnknown {
		k = kindForget
	}
	dst = appendVarint(dst, recordKind, uint64(k))
	dst = appendString(dst, recordKey, rec.key)
	if k == kindValue {
		dst = appendString(dst, recordVal, rec.val)
	}
	if rec.stamp != prev {
		dst = appendOffset(dst, recordStamp, int64(rec.stamp-prev))
	}
	if rec.origin != origin {
		dst = appendFixed64(dst, recordOrigin, rec.origin)
	}
	// A time that is there is written even if its offset is 0: leaving it out means none.
	wall := stampWall(rec.stamp)
	if rec.deadline != 0 {
		dst = appendOffset(dst, recordDeadline, rec.deadline-wall)
	}
	if rec.staleUntil != 0 {
		dst = appendOffset(dst, recordStaleUntil, rec.staleUntil-rec.deadline)
	}
	if rec.refreshFrom != 0 {
		dst = appendOffset(dst, recordRefresh, rec.refreshFrom-wall)
	}

	// Moving the record by the size of its length is cheaper than working out the length beforehand.
	var buf [10]byte
	return slices.Insert(dst, start, protowire.AppendVarint(buf[:0], uint64(len(dst)-start))...)
}

// recordSize is an upper bound of what rec adds to a delta, in bytes. It exceeds
// the truth by at most 65.
func recordSize(rec *record) int {
	const (
		header  = 1 + 5 // tag and length, up to 32 GiB
		offset  = 1 + 10
		minimum = header + 2 + 2*header + offset + 9 // kind, key, val, stamp, origin
	)
	n := minimum + len(rec.key) + len(rec.val)
	if rec.deadline != 0 {
		n += offset
	}
	if rec.staleUntil != 0 {
		n += offset
	}
	if rec.refreshFrom != 0 {
		n += offset
	}
	return n
}

// appendPing appends one whole frame to dst. The origin must not be 0.
func appendPing(dst []byte, p ping) []byte {
	dst = append(dst, wireVersion, framePing)
	dst = appendFixed64(dst, pingID, p.id)
	dst = appendFixed64(dst, pingOrigin, p.origin)
	dst = appendVarint(dst, pingSeq, p.seq)
	dst = appendVarint(dst, pingWall, uint64(p.wall))
	dst = appendVarint(dst, pingFlags, p.flags)
	dst = appendEntries(dst, pingDots, p.entries, false)
	dst = appendFixed64(dst, pingRest, p.rest)
	dst = appendFixed64(dst, pingStamp, p.horizon.stamp)
	dst = appendFixed64(dst, pingPrint, p.horizon.print)
	return appendEcho(appendHeld(dst, p.held), p.echo)
}

const (
	// maxContext is how many bytes the gaps in a context may take. Beyond it they are left
	// out, and what is beyond them too: to claim less does no harm.
	maxContext = maxFrame / 2

	// maxEntries is how many origins of a context are taken from a peer: twice what a
	// node keeps, beside which it has its neighbours.
	maxEntries = 2 * maxOrigins
)

// appendEntries appends a context, as fields with a tag; its origins are sorted. The newest
// stamps are only needed where they are adopted.
func appendEntries(dst []byte, tag byte, entries []vectorEntry, newest bool) []byte {
	start := len(dst)
	var one, ahead []byte
	for _, e := range entries {
		one = appendFixed64(one[:0], dotsOrigin, e.origin)
		one = appendVarint(one, dotsCovered, e.covered)
		if len(e.ahead) > 0 && len(dst)-start < maxContext {
			ahead = ahead[:0]
			last := e.covered
			for _, iv := range e.ahead {
				ahead = protowire.AppendVarint(ahead, iv.from-last)
				ahead = protowire.AppendVarint(ahead, iv.to-iv.from)
				last = iv.to
			}
			one = append(one, dotsAhead)
			one = protowire.AppendBytes(one, ahead)
		}
		if newest {
			one = appendFixed64(one, dotsNewest, e.newest)
		}
		dst = append(dst, tag)
		dst = protowire.AppendBytes(dst, one)
	}
	return dst
}

// appendPong appends one whole frame to dst. The origin must not be 0, nor from
// greater than to.
func appendPong(dst []byte, p pong) []byte {
	dst = append(dst, wireVersion, framePong)
	dst = appendFixed64(dst, pongID, p.id)
	dst = appendFixed64(dst, pongOrigin, p.origin)
	dst = appendVarint(dst, pongFrom, p.from)
	dst = appendVarint(dst, pongTo, p.to)
	dst = appendVarint(dst, pongWall, uint64(p.wall))
	dst = appendVarint(dst, pongFlags, p.flags)
	dst = appendFixed64(dst, pongStamp, p.horizon.stamp)
	dst = appendFixed64(dst, pongPrint, p.horizon.print)
	if p.seq != 0 {
		dst = protowire.AppendVarint(protowire.AppendVarint(dst, uint64(pongSeq)), p.seq)
	}
	return appendEcho(appendHeld(dst, p.held), p.echo)
}

func appendHeld(dst []byte, held uint64) []byte {
	if held == 0 {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendVarint(dst, uint64(heldCount)), held)
}

// appendFixed64, appendVarint and appendString leave a zero out, as proto3 does;
// appendOffset never does.

func appendFixed64(dst []byte, tag byte, x uint64) []byte {
	if x == 0 {
		return dst
	}
	return protowire.AppendFixed64(append(dst, tag), x)
}

func appendVarint(dst []byte, tag byte, x uint64) []byte {
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
