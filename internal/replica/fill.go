package replica

import (
	"time"

	"github.com/iwanbk/bcache/internal/store"
)

// Fills, as the core sees them: from the moment at which the database is asked until it is known what
// becomes of the answer.

// A fillStart is what a node knows when it begins to fill a key, or several at once.
type fillStart struct {
	stamp  uint64        // of what the fill writes
	began  time.Duration // by Isolation.time
	settle time.Duration // by so much what is read may lag behind what is committed
	epoch  uint64        // of the store
	clears uint64        // the number of the last Clear, see store.Clears
	echoes []peerEcho    // what the neighbours had said of their touches
}

// A Fill is one key that is being filled. It must be ended, by Fills.End or Fills.Drop.
type Fill struct {
	*fillStart
	store.OpenFill
	bucket int
}

// A FillScope says for whom a fill brings what it brings.
type FillScope uint8

const (
	FillForAll FillScope = iota // all nodes get it, if the fence lets it pass
	FillBeside                  // it is kept on this node only, beside the record that its key has
	FillHere                    // it is kept on this node only, unless its key has a live record
)

// A FillOutcome says what became of what a fill brought.
type FillOutcome uint8

const (
	FillWritten FillOutcome = iota // it is a write like any other
	FillKept                       // it is a provisional value, that is served here
	FillOffered                    // so it is, and it is offered to the neighbours
	FillRefused                    // something newer is known, or may be
)
