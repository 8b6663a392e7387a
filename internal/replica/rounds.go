package replica

import (
	"cmp"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
)

// rounds are the times at which neighbours are pinged.
type rounds struct {
	active     bool          // something happened since the last one
	last, next time.Duration // when
	interval   time.Duration
	most       time.Duration // of the interval; 0: RoundMax
}

// due reports whether it is time. While something happens they follow each other quickly.
func (r *rounds) due(now delta.Instant, quiet bool) bool {
	if !quiet {
		r.interval = min(RoundMin, r.limit())
		r.next = min(r.next, r.last+r.interval)
	}
	return now.Mono+TickEvery/2 >= r.next
}

func (r *rounds) limit() time.Duration { return cmp.Or(r.most, RoundMax) }

// end ends a round, and sets the time of the next.
func (r *rounds) end(now delta.Instant, quiet bool) {
	r.last = now.Mono
	if quiet {
		r.interval = min(r.interval*3/2, r.limit())
	}
	r.next = now.Mono + r.interval
	r.active = false
}

// soon has the next round begin at once.
func (r *rounds) soon() { r.active, r.next = true, 0 }
