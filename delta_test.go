package bcache

import (
	"math"
	"testing"
	"time"
)

func TestSeconds(t *testing.T) {
	if got := seconds(1); got != time.Second {
		t.Errorf("seconds(1) = %v", got)
	}
	want := NoExpiry
	if math.MaxInt == math.MaxInt32 {
		want = math.MaxInt32 * time.Second
	}
	if got := seconds(math.MaxInt); got != want {
		t.Errorf("seconds(MaxInt) = %v, want %v", got, want)
	}
}
