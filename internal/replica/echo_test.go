package replica

import (
	"testing"
	"time"
)

// The echoes that are remembered reach back for a minute, and the last one before a time is one of
// those heard not much earlier.
func TestEchoLog(t *testing.T) {
	var l echoLog
	if l.before(time.Hour).count != 0 {
		t.Error("an empty one has an echo")
	}
	const last = 200_000 // one each millisecond
	for i := uint64(1); i <= last; i++ {
		l.add(i, time.Duration(i)*time.Millisecond)
	}
	l.add(last, time.Hour) // no news
	for ago := time.Millisecond; ago < 50*time.Second; ago = ago*3/2 + 1 {
		at := last*time.Millisecond - ago
		got := time.Duration(l.before(at).count) * time.Millisecond
		if got >= at || got < at-4*ago-10*time.Millisecond {
			t.Errorf("%v before the last, the echo is one of %v before", ago, last*time.Millisecond-got)
		}
	}
}
