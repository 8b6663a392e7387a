package lanes

import "github.com/iwanbk/bcache/transport"

// An Assembler makes frames of the pieces that come from one peer, in the order of their lanes. It isn't
// safe for concurrent use. It holds two frames at most, as far as they have come.
type Assembler struct {
	lanes [numLanes]struct {
		next  uint64 // the piece that has to come next
		bytes []byte // what has come of the frame; nil: nothing is under way
	}
}

// Add adds a piece. frame is what is whole now, or nil; it may be the bytes of the piece. head is what has
// come of a frame that is under way, or nil. Neither may be altered, and head not be kept.
//
// A frame of which a piece is missing is dropped, without an error.
func (a *Assembler) Add(p Piece) (frame, head []byte) {
	if p.Lane >= numLanes {
		return nil, nil
	}
	l := &a.lanes[p.Lane]
	switch {
	case p.First && p.Last:
		l.bytes = nil
		if len(p.Bytes) > transport.MaxFrame {
			return nil, nil
		}
		return p.Bytes, nil
	case p.First:
		l.bytes = nil
	case l.bytes == nil || l.next != p.Seq:
		l.bytes = nil
		return nil, nil
	}
	l.next = p.Seq + 1
	if len(l.bytes)+len(p.Bytes) > transport.MaxFrame {
		l.bytes = nil
		return nil, nil
	}
	l.bytes = append(l.bytes, p.Bytes...)
	if !p.Last {
		return nil, l.bytes
	}
	frame, l.bytes = l.bytes, nil
	return frame, nil
}
