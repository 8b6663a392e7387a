package bcache

import (
	"encoding/binary"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// The frame that offers a provisional value, and the echoes that go with most frames.
const (
	offerOrigin   = 1<<3 | wireFixed64
	offerTo       = 2<<3 | wireFixed64
	offerSeen     = 3<<3 | wireVarint
	offerKey      = 4<<3 | wireBytes
	offerKind     = 5<<3 | wireVarint
	offerVal      = 6<<3 | wireBytes
	offerDeadline = 7<<3 | wireVarint // deadline
	offerStale    = 8<<3 | wireVarint
	offerRefresh  = 9<<3 | wireVarint
	offerDots     = 10<<3 | wireBytes
	offerKnown    = 10

	// Of every frame that has them; on the wire, tags of two bytes.
	echoCount  = 17<<3 | wireVarint
	echoOrigin = 18<<3 | wireFixed64 // where the frame doesn't have the sender's origin anyway

	offerDotSize = 16 // bytes: origin and seq
)

// An offer is a provisional value for one node.
type offer struct {
	origin uint64 // the sender's
	to     uint64 // the receiver's
	seen   uint64 // the receiver's echo that the sender had when the fill began
	rec    record // without a version
	dots   []dot  // of the writes in the key's bucket, and of Clears, that the sender has processed last
	echo   uint64 // the sender's
}

// appendEcho appends to a whole frame how far its sender has counted its touches.
func appendEcho(frame []byte, count uint64) []byte {
	if count == 0 {
		return frame
	}
	return protowire.AppendVarint(protowire.AppendVarint(frame, uint64(echoCount)), count)
}

// appendEchoOf does so where the frame doesn't say anyway which life of its sender that is.
func appendEchoOf(frame []byte, count, origin uint64) []byte {
	if frame = appendEcho(frame, count); origin == 0 {
		return frame
	}
	return protowire.AppendFixed64(protowire.AppendVarint(frame, uint64(echoOrigin)), origin)
}

func appendOffer(dst []byte, o *offer) []byte {
	dst = append(dst, wireVersion, frameOffer)
	dst = appendFixed64(dst, offerOrigin, o.origin)
	dst = appendFixed64(dst, offerTo, o.to)
	dst = appendVarint(dst, offerSeen, o.seen)
	dst = appendString(dst, offerKey, o.rec.key)
	dst = appendVarint(dst, offerKind, uint64(o.rec.kind))
	dst = appendString(dst, offerVal, o.rec.val)
	dst = appendVarint(dst, offerDeadline, uint64(o.rec.deadline))
	dst = appendVarint(dst, offerStale, uint64(o.rec.staleUntil))
	dst = appendVarint(dst, offerRefresh, uint64(o.rec.refreshFrom))
	var dots []byte
	for _, d := range o.dots {
		dots = binary.LittleEndian.AppendUint64(dots, d.origin)
		dots = binary.LittleEndian.AppendUint64(dots, d.seq)
	}
	return appendEcho(appendString(dst, offerDots, string(dots)), o.echo)
}

// decodeOffer reads a whole frame of type frameOffer. Nothing of what it returns aliases it.
func decodeOffer(frame []byte) (o offer, err error) {
	body, err := frameBody(frame, frameOffer)
	if err != nil {
		return o, err
	}
	fields := fieldReader{rest: body, singular: singular(offerKnown)}
	var key, val, dots []byte
	var kindOf uint64
	for len(fields.rest) > 0 {
		f, err := fields.next()
		if err != nil {
			return offer{}, err
		}
		switch f.tag {
		case offerOrigin:
			o.origin = f.x
		case offerTo:
			o.to = f.x
		case offerSeen:
			o.seen = f.x
		case offerKey:
			key = f.data
		case offerKind:
			kindOf = f.x
		case offerVal:
			val = f.data
		case offerDeadline:
			o.rec.deadline = int64(f.x)
		case offerStale:
			o.rec.staleUntil = int64(f.x)
		case offerRefresh:
			o.rec.refreshFrom = int64(f.x)
		case offerDots:
			dots = f.data
		case echoCount:
			o.echo = f.x
		default:
			if err := f.unknown(offerKnown); err != nil {
				return offer{}, err
			}
		}
	}
	switch n := len(key) + len(val); {
	case o.origin == 0 || o.to == 0 || n > MaxRecordSize:
		return offer{}, fmt.Errorf("%w: an offer of %x to %x, of %d bytes", errMalformed, o.origin, o.to, n)
	case o.rec.deadline < 0 || o.rec.staleUntil < 0 || o.rec.refreshFrom < 0:
		return offer{}, fmt.Errorf("%w: times of an offer", errMalformed)
	case len(dots)%offerDotSize != 0 || len(dots) > 2*maxDots*offerDotSize:
		return offer{}, fmt.Errorf("%w: dots of %d bytes", errMalformed, len(dots))
	case kindOf != uint64(kindValue) && kindOf != uint64(kindNegative):
		return offer{}, fmt.Errorf("%w: an offer of kind %d", errUnsupported, kindOf)
	}
	o.rec.key, o.rec.kind = string(key), kind(kindOf)
	if o.rec.kind == kindValue {
		o.rec.val = string(val)
	}
	for ; len(dots) > 0; dots = dots[offerDotSize:] {
		o.dots = append(o.dots, dot{binary.LittleEndian.Uint64(dots), binary.LittleEndian.Uint64(dots[8:])})
	}
	return o, nil
}
