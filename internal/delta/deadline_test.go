package delta

import (
	"testing"
	"time"
)

func TestDeadlines(t *testing.T) {
	at := time.UnixMilli(1000)
	for _, tt := range []struct {
		now  time.Time
		ttl  time.Duration
		want int64
	}{
		{at, time.Second, 2000},
		{at, time.Millisecond, 1001},
		{at, 1, 1001},
		{at.Add(1), time.Millisecond, 1002},
		{at.Add(-1), 1, 1000},
		{at, NoExpiry, 0},
		{at, NoExpiry - 1, 0}, // beyond what can be told
	} {
		if got := DeadlineAt(tt.now, tt.ttl); got != tt.want {
			t.Errorf("deadlineAt(%v, %v) = %d, want %d", tt.now, tt.ttl, got, tt.want)
		}
	}
}

func TestMilliseconds(t *testing.T) {
	for _, tt := range []struct {
		d      time.Duration
		ceil   int64
		remain uint64
	}{
		{0, 0, 0}, {1, 1, 1}, {time.Millisecond, 1, 1}, {time.Millisecond + 1, 2, 2},
	} {
		if c, r := CeilMs(tt.d), ToMs(tt.d); c != tt.ceil || r != tt.remain {
			t.Errorf("%v: %d, %d, want %d, %d", tt.d, c, r, tt.ceil, tt.remain)
		}
	}
	if got := ToMs(-time.Second); got != 0 {
		t.Errorf("what is over remains for %d ms", got)
	}
	if got := Ms(1500); got != 1500*time.Millisecond {
		t.Errorf("ms(1500) = %v", got)
	}
}
