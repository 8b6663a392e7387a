// Package testkit is what tests of several rooms need: waiting, noting what is logged or received, keys
// that collide, the tables of documents.
//
// Its law: it is for tests only, and imports no other package of the module, so every test may use it.
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
