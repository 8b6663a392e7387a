package store

import (
	"testing"

	"pgregory.net/rapid"
)

// Whatever brings an entry, and in whatever order: it is known by the last full sync that streamed it,
// and unvouched for only as long as nothing else has brought it.
func TestMarkLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		brought := rapid.SliceOfN(rapid.Uint8Range(0, MaxMark), 1, 6).Draw(t, "brought") // 0: in another way
		m, last, known := mark(brought[0]), uint8(0), false
		for i, by := range brought {
			if i > 0 {
				m = m.again(by)
			}
			if by > 0 {
				last = by
			} else {
				known = true
			}
			if m.unvouched() == known || (m.number() != 0) == known {
				t.Fatalf("%v: unvouched %v, number %d", brought[:i+1], m.unvouched(), m.number())
			}
			if last > 0 && !m.is(last) || m.is(last%MaxMark+1) {
				t.Fatalf("%v: mark %x", brought[:i+1], m)
			}
		}
	})
}
