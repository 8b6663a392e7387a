package replica

import (
	"time"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
)

// A hint is a dot that a neighbour has told of in a ping, and that this node lacks. As a rule it is on its
// way. If it doesn't come, a round asks that neighbour, soon. So what one node has gets round by its own
// pings too, and not only when others ask it.
type hint struct {
	hinted delta.Dot // Seq is 0: there is none
	told   time.Duration
}

const (
	hintWait  = TickEvery        // for what is on its way
	hintMost  = 5 * TickEvery    // what doesn't come in spite of the rounds is left to them
	hintAgain = 60 * time.Second // for so long nothing else of that neighbour is a hint then
)

// take looks for what a ping has that a vector lacks.
func (h *hint) take(now time.Duration, v *dots.Vector, has []dots.Entry, own uint64) {
	if h.hinted.Seq > 0 && now-h.told < hintAgain && !v.Get(h.hinted.Origin).Has(h.hinted.Seq) {
		return
	}
	h.hinted = delta.Dot{}
	for i := range has {
		e := &has[i]
		if covered := v.Get(e.Origin).Covered; e.Covered > covered && e.Origin != own {
			h.hinted, h.told = delta.Dot{Origin: e.Origin, Seq: covered + 1}, now
			return
		}
	}
}

// due reports whether the neighbour is to be asked for it.
func (h *hint) due(now time.Duration, v *dots.Vector) bool {
	wait := now - h.told
	return h.hinted.Seq > 0 && wait >= hintWait && wait < hintMost && !v.Get(h.hinted.Origin).Has(h.hinted.Seq)
}
