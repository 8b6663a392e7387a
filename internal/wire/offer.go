package wire

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/iwanbk/bcache/internal/delta"
	"google.golang.org/protobuf/encoding/protowire"
)

// The frame that offers a provisional value, and the echoes that go with most frames.
const (
	offerOrigin   = 1<<3 | TypeFixed64
	offerTo       = 2<<3 | TypeFixed64
	offerSeen     = 3<<3 | TypeVarint
	offerKey      = 4<<3 | TypeBytes
	offerKind     = 5<<3 | TypeVarint
	offerVal      = 6<<3 | TypeBytes
	offerDeadline = 7<<3 | TypeVarint // deadline
	offerStale    = 8<<3 | TypeVarint
	offerRefresh  = 9<<3 | TypeVarint
	offerDots     = 10<<3 | TypeBytes
	offerTags     = 11<<3 | TypeBytes // who doesn't know it doesn't keep the value
	offerKnown    = 11

	// On the wire, tags of two bytes; without them more is refused.
	offerClears = 16<<3 | TypeBytes
	offerUpTo   = 19<<3 | TypeBytes

	// Of every frame that has them; on the wire, tags of two bytes.
	echoCount  = 17<<3 | TypeVarint
	echoOrigin = 18<<3 | TypeFixed64 // where the frame doesn't have the sender's origin anyway

	offerDotSize = 16 // bytes: origin and seq
)

// An Offer is a provisional value for one node.
type Offer struct {
	Origin uint64       // the sender's
	To     uint64       // the receiver's
	Seen   uint64       // the receiver's echo that the sender had when the fill began
	Rec    delta.Record // without a version
	// of the writes in the key's bucket, and of Clears of everything, that the sender has processed last
	Dots []delta.Dot
	// of the other Clears that select what the record is, likewise
	Clears []delta.Dot
	// of origins that have touched the bucket or all keys, up to which dot the sender has processed all
	UpTo []delta.Dot
	Echo uint64 // the sender's
}

// Size is an upper bound of its frame, in bytes.
func (o *Offer) Size() int {
	const (
		head   = 2 + 2*9 + 11 + 2 + 3*11 + 2 + 10 // version and type, origins, seen, kind, times, echo
		texts  = 4*(1+4) + 2*(2+4)                // tags and lengths of what follows
		upToes = 8 + 10
	)
	return head + texts + o.Rec.Size() + offerDotSize*(len(o.Dots)+len(o.Clears)) + upToes*len(o.UpTo)
}

// AppendEcho appends to a whole frame how far its sender has counted its touches.
func AppendEcho(frame []byte, count uint64) []byte {
	if count == 0 {
		return frame
	}
	return protowire.AppendVarint(protowire.AppendVarint(frame, uint64(echoCount)), count)
}

// appendEchoOf does so where the frame doesn't say anyway which life of its sender that is.
func appendEchoOf(frame []byte, count, origin uint64) []byte {
	if frame = AppendEcho(frame, count); origin == 0 {
		return frame
	}
	return protowire.AppendFixed64(protowire.AppendVarint(frame, uint64(echoOrigin)), origin)
}

func AppendOffer(dst []byte, o *Offer) []byte {
	dst = append(dst, Version, FrameOffer)
	dst = AppendFixed64(dst, offerOrigin, o.Origin)
	dst = AppendFixed64(dst, offerTo, o.To)
	dst = AppendVarint(dst, offerSeen, o.Seen)
	dst = appendString(dst, offerKey, o.Rec.Key)
	dst = AppendVarint(dst, offerKind, uint64(o.Rec.Kind))
	dst = appendString(dst, offerVal, o.Rec.Val)
	dst = AppendVarint(dst, offerDeadline, uint64(o.Rec.Deadline))
	dst = AppendVarint(dst, offerStale, uint64(o.Rec.StaleUntil))
	dst = AppendVarint(dst, offerRefresh, uint64(o.Rec.RefreshFrom))
	dst = appendString(dst, offerDots, dotBytes(o.Dots))
	dst = appendString(dst, offerTags, string(o.Rec.Tags))
	if len(o.Clears) > 0 {
		dst = protowire.AppendString(protowire.AppendVarint(dst, uint64(offerClears)), dotBytes(o.Clears))
	}
	if len(o.UpTo) > 0 {
		dst = protowire.AppendBytes(protowire.AppendVarint(dst, uint64(offerUpTo)), upToBytes(o.UpTo))
	}
	return AppendEcho(dst, o.Echo)
}

// Knows reports whether the sender says that it has processed a dot.
func (o *Offer) Knows(d delta.Dot) bool {
	upTo := func(x delta.Dot) bool { return x.Origin == d.Origin && x.Seq >= d.Seq }
	return slices.Contains(o.Dots, d) || slices.Contains(o.Clears, d) || slices.ContainsFunc(o.UpTo, upTo)
}

// dotBytes are dots, one after the other.
func dotBytes(dots []delta.Dot) string {
	var b []byte
	for _, d := range dots {
		b = binary.LittleEndian.AppendUint64(b, d.Origin)
		b = binary.LittleEndian.AppendUint64(b, d.Seq)
	}
	return string(b)
}

// dotsOf reads them, most at most. It reports whether that is what the bytes are.
func dotsOf(b []byte, most int) (dots []delta.Dot, ok bool) {
	if len(b)%offerDotSize != 0 || len(b) > most*offerDotSize {
		return nil, false
	}
	for ; len(b) > 0; b = b[offerDotSize:] {
		origin, seq := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
		dots = append(dots, delta.Dot{Origin: origin, Seq: seq})
	}
	return dots, true
}

// upToBytes are dots of which most have small numbers.
func upToBytes(dots []delta.Dot) (b []byte) {
	for _, d := range dots {
		b = protowire.AppendVarint(binary.LittleEndian.AppendUint64(b, d.Origin), d.Seq)
	}
	return b
}

// upToOf reads them, MaxUpTo at most. It reports whether that is what the bytes are.
func upToOf(b []byte) (dots []delta.Dot, ok bool) {
	for len(b) > 0 {
		if len(b) < 8 || len(dots) == delta.MaxUpTo {
			return nil, false
		}
		seq, n := protowire.ConsumeVarint(b[8:])
		if n < 0 {
			return nil, false
		}
		dots = append(dots, delta.Dot{Origin: binary.LittleEndian.Uint64(b), Seq: seq})
		b = b[8+n:]
	}
	return dots, true
}

// DecodeOffer reads a whole frame of type FrameOffer. Nothing of what it returns aliases it.
func DecodeOffer(frame []byte) (o Offer, err error) {
	body, err := frameBody(frame, FrameOffer)
	if err != nil {
		return o, err
	}
	fields := fieldReader{rest: body, singular: singular(offerKnown)}
	var key, val, tags, known, clears, upTo []byte
	var kindOf uint64
	for len(fields.rest) > 0 {
		f, err := fields.next()
		if err != nil {
			return Offer{}, err
		}
		switch f.tag {
		case offerOrigin:
			o.Origin = f.x
		case offerTo:
			o.To = f.x
		case offerSeen:
			o.Seen = f.x
		case offerKey:
			key = f.data
		case offerKind:
			kindOf = f.x
		case offerVal:
			val = f.data
		case offerDeadline:
			o.Rec.Deadline = int64(f.x)
		case offerStale:
			o.Rec.StaleUntil = int64(f.x)
		case offerRefresh:
			o.Rec.RefreshFrom = int64(f.x)
		case offerDots:
			known = f.data
		case offerTags:
			tags = f.data
		case offerClears:
			clears = f.data
		case offerUpTo:
			upTo = f.data
		case echoCount:
			o.Echo = f.x
		default:
			if err := f.unknown(offerKnown); err != nil {
				return Offer{}, err
			}
		}
	}
	var areDots bool
	if o.Dots, areDots = dotsOf(known, 2*delta.MaxDots); areDots {
		o.Clears, areDots = dotsOf(clears, delta.MaxDots)
	}
	if areDots {
		o.UpTo, areDots = upToOf(upTo)
	}
	switch n := len(key) + len(val) + len(tags); {
	case o.Origin == 0 || o.To == 0 || n > delta.MaxRecordSize:
		return Offer{}, fmt.Errorf("%w: an offer of %x to %x, of %d bytes", ErrMalformed, o.Origin, o.To, n)
	case o.Rec.Deadline < 0 || o.Rec.StaleUntil < 0 || o.Rec.RefreshFrom < 0:
		return Offer{}, fmt.Errorf("%w: times of an offer", ErrMalformed)
	case !areDots:
		return Offer{}, fmt.Errorf("%w: dots of %d, %d and %d bytes", ErrMalformed, len(known), len(clears), len(upTo))
	case !delta.ValidTags(tags):
		return Offer{}, fmt.Errorf("%w: tags", ErrMalformed)
	case kindOf != uint64(delta.KindValue) && kindOf != uint64(delta.KindNegative):
		return Offer{}, fmt.Errorf("%w: an offer of kind %d", ErrUnsupported, kindOf)
	}
	o.Rec.Key, o.Rec.Kind, o.Rec.Tags = string(key), delta.Kind(kindOf), delta.Tags(tags)
	if o.Rec.Kind == delta.KindValue {
		o.Rec.Val = string(val)
	}
	return o, nil
}
