package fill

import (
	"github.com/iwanbk/bcache/internal/delta"
)

// What a ClearTag is about can't be told of a load before it ends: only what it has brought shows which
// tags that has. So nobody is kept from joining. When the load ends, a caller that came after a Clear of
// what the load began to read before it, and that has such a tag, is told to ask again. The load that it
// joins then has begun after the caller came: so nobody is told so twice.

// Clears are the Clears of prefixes and tags that this node has processed, by number, as they came.
type Clears interface {
	// Number is that of the last one.
	Number() uint64

	// First returns the number of the first one after another that selects a record, or may have: it is
	// forgotten. 0 is none.
	First(rec *delta.Record, after uint64) uint64
}

// A Caller is who waits for loads, and what may be given to it.
type Caller struct {
	Anew bool // nothing that was there before it came
	came uint64
}

// Caller returns one that comes now.
func (f *Loads) Caller(anew bool) Caller { return Caller{anew, f.clears.Number()} }

// judge notes which callers can't have the result of a load that ends: those who came when the first
// Clear was there that is about it.
func (f *Loads) judge(ld *Load) {
	switch {
	case ld.tagged:
		ld.cleared = f.clears.First(&delta.Record{Key: ld.Key, Tags: ld.tags}, ld.clears)
	case f.clears.Number() != ld.clears:
		ld.cleared = ld.clears + 1
	}
}
