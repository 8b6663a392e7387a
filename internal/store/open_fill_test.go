package store

import (
	"testing"
)

func TestStoreOpenFills(t *testing.T) {
	var fills openFills
	old, next, other := &OpenFill{hash: 1}, &OpenFill{hash: 1}, &OpenFill{hash: 2}
	fills.touch(1) // nobody's
	fills.add(old)
	fills.touch(1)
	fills.add(next)
	fills.add(other)
	if !old.touched || next.touched || other.touched {
		t.Errorf("touched: %v, the next one %v, another key's %v", old.touched, next.touched, other.touched)
	}
	fills.giveUp(1)
	if !old.givenUp || !next.givenUp || other.givenUp {
		t.Errorf("given up: %v, the next one %v, another key's %v", old.givenUp, next.givenUp, other.givenUp)
	}
	fills.remove(old) // the first one that began, which lies behind the next one
	fills.touch(1)
	if !next.touched {
		t.Error("a fill is lost with an older one of its key")
	}
	fills.remove(other)
	fills.remove(next)
	if fills != nil {
		t.Errorf("%d hashes are left", len(fills))
	}
}
