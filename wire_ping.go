package bcache

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// decodePing reads a whole frame of type framePing.
func decodePing(frame []byte) (p ping, err error) {
	body, err := frameBody(frame, framePing)
	if err != nil {
		return ping{}, err
	}
	fields := fieldReader{rest: body, singular: singular(pingKnown) &^ (1 << (pingDots >> 3))}
	for len(fields.rest) > 0 {
		f, err := fields.next()
		if err != nil {
			return ping{}, err
		}
		switch f.tag {
		case pingID:
			p.id = f.x
		case pingOrigin:
			p.origin = f.x
		case pingSeq:
			p.seq = f.x
		case pingWall:
			p.wall = int64(f.x)
		case pingFlags:
			p.flags = f.x
		case pingDots:
			if p.entries, err = fields.entry(p.entries, f); err != nil {
				return ping{}, err
			}
			p.entries[len(p.entries)-1].newest = 0 // for chunks only
		case pingRest:
			p.rest = f.x
		case pingStamp:
			p.horizon.stamp = f.x
		case pingPrint:
			p.horizon.print = f.x
		case heldCount:
			p.held = f.x
		case echoCount:
			p.echo = f.x
		default:
			if err := f.unknown(pingKnown); err != nil {
				return ping{}, err
			}
		}
	}
	if p.origin == 0 || p.horizon.stamp > maxStamp {
		return ping{}, fmt.Errorf("%w: origin %d, horizon %d", errMalformed, p.origin, p.horizon.stamp)
	}
	return p, nil
}

// entry appends the origin of a context that f has to those that the same fields had before.
func (r *fieldReader) entry(before []vectorEntry, f wireField) ([]vectorEntry, error) {
	e, err := decodeDots(f.data)
	n := len(before)
	switch {
	case err != nil:
		return nil, err
	case n == maxEntries:
		return nil, fmt.Errorf("%w: more than %d origins", errMalformed, maxEntries)
	case n > 0 && e.origin <= before[n-1].origin:
		return nil, fmt.Errorf("%w: origins out of order", errMalformed)
	case n == 0: // make room for all, at once
		before = make([]vectorEntry, 0, min(1+r.count(f.tag), maxEntries))
	}
	return append(before, e), nil
}

// decodeDots reads one origin of a context.
func decodeDots(b []byte) (e vectorEntry, err error) {
	fields := fieldReader{rest: b, singular: singular(dotsKnown)}
	var ahead []byte
	for len(fields.rest) > 0 {
		f, err := fields.next()
		if err != nil {
			return e, err
		}
		switch f.tag {
		case dotsOrigin:
			e.origin = f.x
		case dotsCovered:
			e.covered = f.x
		case dotsAhead:
			ahead = f.data
		case dotsNewest:
			e.newest = f.x
		default:
			if err := f.unknown(dotsKnown); err != nil {
				return e, err
			}
		}
	}
	if e.origin == 0 || e.covered > maxSeq || e.newest > maxStamp {
		return e, fmt.Errorf("%w: origin %d, %d dots, stamp %d", errMalformed, e.origin, e.covered, e.newest)
	}
	e.ahead, err = decodeIntervals(ahead, e.covered)
	return e, err
}

// decodeIntervals reads pairs of numbers: how many dots are missing after last, and how many
// are there after those. It allocates once, 16 bytes for every two that it reads.
func decodeIntervals(b []byte, last uint64) (ivs []interval, err error) {
	numbers := 0
	for _, c := range b {
		if c < 0x80 { // the last byte of a varint
			numbers++
		}
	}
	if numbers > 2*2*maxIntervals {
		return nil, fmt.Errorf("%w: %d intervals", errMalformed, numbers/2)
	}
	for len(b) > 0 {
		gap, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return nil, fmt.Errorf("%w: intervals: %w", errMalformed, protowire.ParseError(n))
		}
		length, m := protowire.ConsumeVarint(b[n:])
		if m < 0 {
			return nil, fmt.Errorf("%w: intervals: %w", errMalformed, protowire.ParseError(m))
		}
		if gap == 0 || length == 0 || gap > maxSeq-last || length > maxSeq-last-gap {
			return nil, fmt.Errorf("%w: %d dots, %d after dot %d", errMalformed, length, gap, last)
		}
		if ivs == nil {
			ivs = make([]interval, 0, numbers/2)
		}
		ivs = append(ivs, interval{last + gap, last + gap + length})
		last += gap + length
		b = b[n+m:]
	}
	return ivs, nil
}

// decodePong reads a whole frame of type framePong.
func decodePong(frame []byte) (p pong, err error) {
	body, err := frameBody(frame, framePong)
	if err != nil {
		return pong{}, err
	}
	fields := fieldReader{rest: body, singular: singular(pongKnown)}
	for len(fields.rest) > 0 {
		f, err := fields.next()
		if err != nil {
			return pong{}, err
		}
		switch f.tag {
		case pongID:
			p.id = f.x
		case pongOrigin:
			p.origin = f.x
		case pongFrom:
			p.from = f.x
		case pongTo:
			p.to = f.x
		case pongWall:
			p.wall = int64(f.x)
		case pongFlags:
			p.flags = f.x
		case pongStamp:
			p.horizon.stamp = f.x
		case pongPrint:
			p.horizon.print = f.x
		case pongSeq:
			p.seq = f.x
		case heldCount:
			p.held = f.x
		case echoCount:
			p.echo = f.x
		default:
			if err := f.unknown(pongKnown); err != nil {
				return pong{}, err
			}
		}
	}
	if p.origin == 0 || p.from > p.to || p.horizon.stamp > maxStamp {
		return pong{}, fmt.Errorf("%w: origin %d, dots (%d, %d], horizon %d", errMalformed, p.origin, p.from, p.to, p.horizon.stamp)
	}
	return p, nil
}
