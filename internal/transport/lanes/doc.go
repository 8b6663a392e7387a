// Package lanes is how frames wait for one peer, and how they go in pieces: for engines whose connection
// to a peer carries one message after the other.
//
// Its law: what waits is bounded, in bytes; nobody waits to put something in; a frame of one lane passes
// those of the other between two of their pieces, and never those of its own.
package lanes

import (
	"errors"
	"time"
)

const (
	// PieceSize is how many bytes of a frame go at once. On a line of 1 Gbit/s that takes half a
	// millisecond: so long a small frame waits for one that is bulk.
	PieceSize = 64 << 10

	// Age is for how long what was broadcast waits. Then it is dropped: the peer notices the gap, and
	// asks. What it is answered has what is true by then, and says of what was overwritten meanwhile only
	// that it existed. So a slow peer is behind by what the state weighs, not by what was written.
	Age = time.Second
)

// ErrPiece is returned for bytes that aren't a piece.
var ErrPiece = errors.New("bcache: malformed piece of a frame")

// A Lane is one of the ways beside each other.
type Lane uint8

// The lanes.
const (
	First Lane = iota // in the order in which they came
	Bulk              // likewise, but what is in the other lane passes between its pieces
	numLanes
)
