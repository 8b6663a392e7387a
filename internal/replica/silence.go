package replica

import (
	"time"

	"github.com/iwanbk/bcache/internal/dots"
)

// A silence is that of a neighbour that rounds have asked. Who isn't asked may be silent for long.
type silence struct {
	heard  time.Duration // the last sign of life; connecting is one
	asked  time.Duration // when a round last asked it
	missed int           // rounds that have asked it, one after the other, without a sign of life since
	from   time.Duration // since then it is silent
	owing  time.Duration // its last sign of life when something else was asked of it
}

func newSilence(now time.Duration) silence {
	return silence{heard: now, asked: dots.LongAgo, owing: dots.LongAgo}
}

// look is what a round begins with.
func (s *silence) look() {
	if s.missed++; !s.open() {
		s.missed = 0
	}
}

// ask notes that a round asks. If there was no sign of life since the round before that one, at last,
// the neighbour may not have been asked for one: then its silence begins now.
func (s *silence) ask(now, last time.Duration) {
	if s.asked = now; s.missed > 0 {
		return
	}
	if s.from = s.heard; s.heard < last {
		s.from = now
	}
}

// open reports whether nothing has come since a round last asked.
func (s *silence) open() bool { return s.heard < s.asked }

// expect notes that an answer is asked for, and not by a round: then a round asks too, if none comes, so
// that who waits for it doesn't wait until the neighbour is drawn.
func (s *silence) expect() { s.owing = s.heard }

// owes reports whether nothing has come since.
func (s *silence) owes() bool { return s.owing == s.heard }
