package histogram

import "time"

const (
	windowSlots = 6
	slotTime    = 10 * time.Second
)

// A Window counts durations of the last minute: those of the 10 seconds that run, and of the five times
// 10 seconds before. The zero value has none. It isn't safe for concurrent use. Times are monotonic, and
// don't go back.
type Window struct {
	slots [windowSlots]Counts
	turn  int64 // the number of the 10 seconds that run
}

// Add counts a duration that came now.
func (w *Window) Add(now, d time.Duration) {
	w.turnTo(now)
	w.slots[w.turn%windowSlots].Add(d)
}

// Counts returns those of the last minute.
func (w *Window) Counts(now time.Duration) (c Counts) {
	w.turnTo(now)
	for i := range w.slots {
		c.Merge(&w.slots[i])
	}
	return c
}

// turnTo clears the slots whose time is over.
func (w *Window) turnTo(now time.Duration) {
	turn := int64(now / slotTime)
	for n := 0; w.turn < turn && n < windowSlots; n++ {
		w.turn = max(w.turn+1, turn-windowSlots+1)
		w.slots[w.turn%windowSlots] = Counts{}
	}
}
