package testkit

import (
	"testing"
	"time"
)

func Must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Advance lets d pass. It is for synctest bubbles, where that takes no time.
func Advance(d time.Duration) { <-time.After(d) }

const Wall = 1_700_000_000_000
