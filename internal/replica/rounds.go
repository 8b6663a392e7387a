package replica

import (
	"time"

	"github.com/iwanbk/bcache/internal/delta"
)

// rounds are the times at which neighbours are pinged.
type rounds struct {
	active     bool          // something happened since the last one
	last, next time.Duration // when
	interval   time.Duration
	most       time.Duration // of the interval
}

// due reports whether it is time. While something happens they follow each other quickly. few says that
// there are no more neighbours than Fanout, so that all are asked: one that is frozen is noticed within
// RoundFew + 2 * RoundMin.
func (r *rounds) due(now delta.Instant, quiet, few bool) bool {
	most := r.most
	if few {
		most = min(most, RoundFew)
	}
	if r.interval = min(r.interval, most); !quiet {
		r.interval = min(RoundMin, most)
	}
	r.next = min(r.next, r.last+r.interval)
	return now.Mono+TickEvery/2 >= r.next
}

// end ends a round, and sets the time of the next.
func (r *rounds) end(now delta.Instant, quiet bool) {
	r.last = now.Mono
	if quiet {
		r.interval = min(r.interval*3/2, r.most)
	}
	r.next = now.Mono + r.interval
	r.active = false
}

// soon has the next round begin at once.
func (r *rounds) soon() { r.active, r.next = true, 0 }
