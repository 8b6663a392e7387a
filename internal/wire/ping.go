package wire

import (
	"fmt"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
	"google.golang.org/protobuf/encoding/protowire"
)

// Claim is what a ping says that its sender has processed.
func (q *Ping) Claim() dots.Claim {
	return dots.Claim{Origin: q.Origin, Entries: q.Entries, All: q.Flags&PingAll != 0, Horizon: q.Horizon}
}

// Claimed is how many dots the vector of a ping has, which grows with every answer to a pull that
// arrives.
func (q *Ping) Claimed() (n uint64) {
	for i := range q.Entries {
		n += q.Entries[i].Covered
		for _, iv := range q.Entries[i].Ahead {
			n += iv.To - iv.From
		}
	}
	return n
}

// DecodePing reads a whole frame of type FramePing.
func DecodePing(frame []byte) (p Ping, err error) {
	body, err := frameBody(frame, FramePing)
	if err != nil {
		return Ping{}, err
	}
	fields := fieldReader{rest: body, singular: singular(pingKnown) &^ (1 << (pingDots >> 3))}
	for len(fields.rest) > 0 {
		f, err := fields.next()
		if err != nil {
			return Ping{}, err
		}
		switch f.tag {
		case pingID:
			p.ID = f.x
		case pingOrigin:
			p.Origin = f.x
		case pingSeq:
			p.Seq = f.x
		case pingWall:
			p.Wall = int64(f.x)
		case pingFlags:
			p.Flags = f.x
		case pingDots:
			if p.Entries, err = fields.entry(p.Entries, f); err != nil {
				return Ping{}, err
			}
			if p.Flags&PingLeaving == 0 {
				p.Entries[len(p.Entries)-1].Newest = 0
			}
		case pingRest:
			p.Rest = f.x
		case pingStamp:
			p.Horizon.Stamp = f.x
		case pingPrint:
			p.Horizon.Print = f.x
		case heldCount:
			p.Held = f.x
		case echoCount:
			p.Echo = f.x
		case wallMicros:
			p.Micros = microsOf(f.x)
		default:
			if err := f.unknown(pingKnown); err != nil {
				return Ping{}, err
			}
		}
	}
	if p.Origin == 0 || p.Horizon.Stamp > delta.MaxStamp {
		return Ping{}, fmt.Errorf("%w: origin %d, horizon %d", ErrMalformed, p.Origin, p.Horizon.Stamp)
	}
	return p, nil
}

// entry appends the origin of a context that f has to those that the same fields had before.
func (r *fieldReader) entry(before []dots.Entry, f wireField) ([]dots.Entry, error) {
	e, err := decodeDots(f.data)
	n := len(before)
	switch {
	case err != nil:
		return nil, err
	case n == MaxEntries:
		return nil, fmt.Errorf("%w: more than %d origins", ErrMalformed, MaxEntries)
	case n > 0 && e.Origin <= before[n-1].Origin:
		return nil, fmt.Errorf("%w: origins out of order", ErrMalformed)
	case n == 0: // make room for all, at once
		before = make([]dots.Entry, 0, min(1+r.count(f.tag), MaxEntries))
	}
	return append(before, e), nil
}

// decodeDots reads one origin of a context.
func decodeDots(b []byte) (e dots.Entry, err error) {
	fields := fieldReader{rest: b, singular: singular(dotsKnown)}
	var ahead []byte
	for len(fields.rest) > 0 {
		f, err := fields.next()
		if err != nil {
			return e, err
		}
		switch f.tag {
		case dotsOrigin:
			e.Origin = f.x
		case dotsCovered:
			e.Covered = f.x
		case dotsAhead:
			ahead = f.data
		case dotsNewest:
			e.Newest = f.x
		default:
			if err := f.unknown(dotsKnown); err != nil {
				return e, err
			}
		}
	}
	if e.Origin == 0 || e.Covered > delta.MaxSeq || e.Newest > delta.MaxStamp {
		return e, fmt.Errorf("%w: origin %d, %d dots, stamp %d", ErrMalformed, e.Origin, e.Covered, e.Newest)
	}
	e.Ahead, err = decodeIntervals(ahead, e.Covered)
	return e, err
}

// decodeIntervals reads pairs of numbers: how many dots are missing after last, and how many
// are there after those. It allocates once, 16 bytes for every two that it reads.
func decodeIntervals(b []byte, last uint64) (ivs []dots.Interval, err error) {
	numbers := 0
	for _, c := range b {
		if c < 0x80 { // the last byte of a varint
			numbers++
		}
	}
	if numbers > 2*2*dots.MaxIntervals {
		return nil, fmt.Errorf("%w: %d intervals", ErrMalformed, numbers/2)
	}
	for len(b) > 0 {
		gap, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return nil, fmt.Errorf("%w: intervals: %w", ErrMalformed, protowire.ParseError(n))
		}
		length, m := protowire.ConsumeVarint(b[n:])
		if m < 0 {
			return nil, fmt.Errorf("%w: intervals: %w", ErrMalformed, protowire.ParseError(m))
		}
		if gap == 0 || length == 0 || gap > delta.MaxSeq-last || length > delta.MaxSeq-last-gap {
			return nil, fmt.Errorf("%w: %d dots, %d after dot %d", ErrMalformed, length, gap, last)
		}
		if ivs == nil {
			ivs = make([]dots.Interval, 0, numbers/2)
		}
		ivs = append(ivs, dots.Interval{From: last + gap, To: last + gap + length})
		last += gap + length
		b = b[n+m:]
	}
	return ivs, nil
}

// DecodePong reads a whole frame of type FramePong.
func DecodePong(frame []byte) (p Pong, err error) {
	body, err := frameBody(frame, FramePong)
	if err != nil {
		return Pong{}, err
	}
	fields := fieldReader{rest: body, singular: singular(pongKnown)}
	for len(fields.rest) > 0 {
		f, err := fields.next()
		if err != nil {
			return Pong{}, err
		}
		switch f.tag {
		case pongID:
			p.ID = f.x
		case pongOrigin:
			p.Origin = f.x
		case pongFrom:
			p.From = f.x
		case pongTo:
			p.To = f.x
		case pongWall:
			p.Wall = int64(f.x)
		case pongFlags:
			p.Flags = f.x
		case pongStamp:
			p.Horizon.Stamp = f.x
		case pongPrint:
			p.Horizon.Print = f.x
		case pongSeq:
			p.Seq = f.x
		case heldCount:
			p.Held = f.x
		case echoCount:
			p.Echo = f.x
		case wallMicros:
			p.Micros = microsOf(f.x)
		case pongLacks:
			if p.Lacks, err = fields.entry(p.Lacks, f); err != nil {
				return Pong{}, err
			}
			p.Lacks[len(p.Lacks)-1].Newest = 0 // for chunks only
		default:
			if err := f.unknown(pongKnown); err != nil {
				return Pong{}, err
			}
		}
	}
	if p.Origin == 0 || p.From > p.To || p.Horizon.Stamp > delta.MaxStamp {
		return Pong{}, fmt.Errorf("%w: origin %d, dots (%d, %d], horizon %d",
			ErrMalformed, p.Origin, p.From, p.To, p.Horizon.Stamp)
	}
	return p, nil
}
