package replica

import (
	"fmt"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
)

// rounds are the times at which all neighbours are pinged.
type rounds struct {
	active     bool          // something happened since the last one
	last, next time.Duration // when
	interval   time.Duration
}

// due reports whether it is time. While something happens they follow each other quickly.
func (r *rounds) due(now delta.Instant, quiet bool) bool {
	if !quiet {
		r.next = min(r.next, r.last+RoundMin)
		r.interval = RoundMin
	}
	return now.Mono+TickEvery/2 >= r.next
}

// end ends a round, and sets the time of the next.
func (r *rounds) end(now delta.Instant, quiet bool) {
	r.last = now.Mono
	if quiet {
		r.interval = min(r.interval*3/2, RoundMax)
	}
	r.next = now.Mono + r.interval
	r.active = false
}

// soon has the next round begin at once.
func (r *rounds) soon() { r.active, r.next = true, 0 }

// round pings all neighbours, if it is time. Who was silent for too long is cut: mesh itself
// never notices a node that takes nothing any more while there is something to send.
func (r *Replica) round(now delta.Instant) {
	quiet := !r.rounds.active && r.pulls.current == nil && r.client.session == nil && r.ready.synced
	restless := func(p *neighbour) bool { return p.offer != 0 || p.diverged || p.missed > 0 }
	quiet = quiet && !r.neighbours.exists(restless)
	if !r.rounds.due(now, quiet) {
		return
	}
	recent := r.listing(now, now.Mono-dots.ActiveFor)
	for id, p := range r.neighbours.all() {
		if p.heard >= r.rounds.last {
			p.missed = 0
		} else if p.missed++; p.missed >= 2 && now.Mono-p.heard+TickEvery/2 >= SilentMost {
			silent := (now.Mono - p.heard).Round(100 * time.Millisecond)
			r.out.cut(id, fmt.Sprintf("nothing has come from it for %v", silent))
			r.counts.Stuck++
			continue
		}
		r.pingWith(now, id, 0, recent)
	}
	r.rounds.end(now, quiet)
}
