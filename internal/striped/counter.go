package striped

import (
	"sync/atomic"
	"unsafe"
)

// A striped counter is for what all processors count at once: one word that they share would
// have to travel between them each time, which costs more than all else that a Get does.
// Goroutines that run at the same time have different stacks, so where its stack lies tells a
// goroutine which word to use. Two that use the same one are slower, no more.
type Counter [64]stripe

// A stripe is two cache lines long: processors fetch them in pairs.
type stripe struct {
	n atomic.Uint64
	_ [120]byte
}

// Add1 counts one.
func (c *Counter) Add1() {
	var here byte
	// A stack has 2 KiB at least; the factor is 2^64 divided by the golden ratio (Knuth's
	// multiplicative hashing), of which the upper bits are spread best.
	i := uint64(uintptr(unsafe.Pointer(&here))>>11) * 0x9e3779b97f4a7c15 >> 58
	c[i].n.Add(1)
}

// Load returns how many were counted.
func (c *Counter) Load() (n uint64) {
	for i := range c {
		n += c[i].n.Load()
	}
	return n
}
