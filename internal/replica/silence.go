package replica

import (
	"time"

	"github.com/iwanbk/bcache/internal/dots"
)

// A silence is that of a neighbour that rounds have asked. Who isn't asked may be silent for long.
type silence struct {
	asked  time.Duration // when a round last asked it
	missed int           // rounds that have asked it, one after the other, without a sign of life since
	from   time.Duration // since then it is silent
}

func newSilence() silence { return silence{asked: dots.LongAgo} }

// look is what a round begins with. heard is the neighbour's last sign of life.
func (s *silence) look(heard time.Duration) {
	if s.missed++; heard >= s.asked {
		s.missed = 0
	}
}

// ask notes that a round asks. If there was no sign of life since the round before that one, at last,
// the neighbour may not have been asked for one: then its silence begins now.
func (s *silence) ask(now, heard, last time.Duration) {
	if s.asked = now; s.missed > 0 {
		return
	}
	if s.from = heard; heard < last {
		s.from = now
	}
}
