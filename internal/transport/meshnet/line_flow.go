package meshnet

import (
	"time"
)

const (
	flowFirst = 64 << 10
	flowLeast = 16 << 10
	flowMost  = 8 << 20

	flowDelay = 200 * time.Millisecond // that the line's queues may add
	flowBase  = time.Minute            // how old the shortest time may be at least

	pieceMost  = 60 << 10 // with what goes before it less than 64 KiB
	pieceLeast = 4 << 10

	// flowAck is how many bytes come in before they are acknowledged. It is less than flowLeast, or
	// both sides would wait.
	flowAck = 8 << 10
)

// A lineFlow bounds what is under way: sent, and not acknowledged by the other side. It leaves so
// much in the queues of the line, wherever they are, as to keep it busy, and no more: what is in
// them can't be overtaken. What takes flowDelay longer than the shortest time halves the window;
// otherwise it grows as long as it is what limits (compare LEDBAT, RFC 6817).
type lineFlow struct {
	sent, taken uint64 // bytes
	window      uint64
	limits      bool // it has, since it grew
	halved      uint64
	marks       []lineMark

	shortest, before time.Duration // of the current flowBase, and of the last; 0 is none
	since            time.Time     // the current one began
}

// A lineMark is when bytes up to a number were sent.
type lineMark struct {
	sent uint64
	at   time.Time
}

func newLineFlow() lineFlow { return lineFlow{window: flowFirst} }

// room reports whether more may be sent.
func (f *lineFlow) room() bool {
	if f.sent-f.taken < f.window {
		return true
	}
	f.limits = true
	return false
}

// piece is how much may be sent at once.
func (f *lineFlow) piece() int { return int(min(max(f.window/4, pieceLeast), pieceMost)) }

// note notes that a message was sent.
func (f *lineFlow) note(bytes int, now time.Time) {
	if f.sent-f.taken < flowAck { // what isn't acknowledged waits for more to come, not for the line
		f.marks = f.marks[:0]
	}
	f.sent += uint64(bytes)
	if n := len(f.marks); n > 1 && f.sent-f.marks[n-2].sent < flowAck {
		f.marks[n-1] = lineMark{f.sent, now} // there are enough of them
		return
	}
	f.marks = append(f.marks, lineMark{f.sent, now})
}

// acked notes what the other side has taken. It reports whether that is news, and can be.
func (f *lineFlow) acked(taken uint64, now time.Time) bool {
	if taken <= f.taken || taken > f.sent {
		return false
	}
	more := taken - f.taken
	f.taken = taken
	n := 0
	for n < len(f.marks) && f.marks[n].sent <= taken {
		n++
	}
	if n == 0 {
		return true
	}
	took := now.Sub(f.marks[n-1].at)
	f.marks = append(f.marks[:0], f.marks[n:]...)
	switch {
	case took-f.base(took, now) <= flowDelay:
		if f.limits {
			f.window = min(f.window+more, flowMost)
			f.limits = false
		}
	case taken >= f.halved: // what was sent since then shows
		f.window = max(f.window/2, flowLeast)
		f.halved = f.sent
	}
	return true
}

// base returns the shortest time that bytes have taken of late.
func (f *lineFlow) base(took time.Duration, now time.Time) time.Duration {
	if now.Sub(f.since) >= flowBase {
		f.before, f.shortest, f.since = f.shortest, 0, now
	}
	if f.shortest == 0 || took < f.shortest {
		f.shortest = took
	}
	if f.before != 0 {
		return min(f.before, f.shortest)
	}
	return f.shortest
}
