package lanes

import "encoding/binary"

// A Piece is a part of a frame, or all of it.
type Piece struct {
	Lane        Lane
	Seq         uint64 // the pieces of a lane are counted from 0
	First, Last bool
	Bytes       []byte
}

// HeaderSize is what is put before the bytes of a piece at most.
const HeaderSize = 1 + binary.MaxVarintLen64

// The bits of the first byte of a piece.
const (
	bulkBit = 1 << iota
	firstBit
	lastBit
	allBits = bulkBit | firstBit | lastBit
)

// AppendHeader appends what goes before the bytes of a piece: a byte of bits, and Seq, as a varint
// (encoding/binary).
func (p *Piece) AppendHeader(b []byte) []byte {
	var bits byte
	if p.Lane == Bulk {
		bits |= bulkBit
	}
	if p.First {
		bits |= firstBit
	}
	if p.Last {
		bits |= lastBit
	}
	return binary.AppendUvarint(append(b, bits), p.Seq)
}

// ParsePiece reads a piece with its header. The piece's bytes are those of b.
func ParsePiece(b []byte) (p Piece, err error) {
	if len(b) == 0 || b[0]&^allBits != 0 {
		return p, ErrPiece
	}
	seq, n := binary.Uvarint(b[1:])
	if n <= 0 {
		return p, ErrPiece
	}
	if b[0]&bulkBit != 0 {
		p.Lane = Bulk
	}
	p.Seq, p.First, p.Last, p.Bytes = seq, b[0]&firstBit != 0, b[0]&lastBit != 0, b[1+n:]
	if len(p.Bytes) == 0 {
		return Piece{}, ErrPiece
	}
	return p, nil
}
