package replica

import (
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/histogram"
)

// propagation is how long what a neighbour writes takes to this node: from when Flush takes it there
// until its frame has come, one duration for each frame. Only the neighbour's own writes count, and only
// when they come for the first time. What it sends in answer to a pull was lost before, and what comes
// in a full sync was written whenever. It isn't locked.
type propagation struct {
	clock  clockFilter
	all    histogram.Counts // since it connected
	minute histogram.Window
}

// arrive counts a frame that the neighbour has sent at a time, in Unix microseconds by its clock. It is
// false if nobody can tell how long that took.
func (p *propagation) arrive(now delta.Instant, sent int64) (took time.Duration, ok bool) {
	if took, ok = p.clock.elapsed(now, sent); ok {
		p.all.Add(took)
		p.minute.Add(now.Mono, took)
	}
	return took, ok
}

// tell fills in the figures of a neighbour.
func (p *propagation) tell(now delta.Instant, to *Peer) {
	to.RoundTrip = -1
	if s, ok := p.clock.best(now); ok {
		to.Offset, to.RoundTrip = s.offset, s.trip
	}
	to.Propagation, to.PropagationMinute = p.all, p.minute.Counts(now.Mono)
}
