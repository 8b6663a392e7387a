package testkit

import (
	"testing"
	"time"
)

// Within waits until cond returns nil.
func Within(t testing.TB, d time.Duration, cond func() error) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for timeout := time.After(d); ; {
		err := cond()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("after %v: %v", d, err)
		}
	}
}

func Ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
