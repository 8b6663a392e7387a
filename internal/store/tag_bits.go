package store

import (
	"github.com/cespare/xxhash/v2"

	"github.com/iwanbk/bcache/internal/delta"
)

// tagBits tell of two sets of tags, as a rule, that they have none in common: a tag has a bit in each half
// (Bloom, Space/Time Trade-offs in Hash Coding with Allowable Errors, 1970).
type tagBits struct{ a, b uint64 }

func (t *tagBits) add(tag string) {
	if tag != "" {
		h := xxhash.Sum64String(tag)
		t.a |= 1 << (h % 64)
		t.b |= 1 << (h / 64 % 64)
	}
}

func (t *tagBits) addAll(tags delta.Tags) {
	for tag := range tags.All() {
		t.add(tag)
	}
}

// meet reports whether there may be a tag in both. It has no branches: a processor would often guess
// wrong.
func (t *tagBits) meet(o *tagBits) bool {
	a, b := t.a&o.a, t.b&o.b
	return (a|-a)&(b|-b)>>63 != 0 // the highest bit of x|-x says that x isn't 0
}
