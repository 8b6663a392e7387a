// Package workload has what every cache is asked: keys, values, and an order of keys drawn
// before anything is timed. The same size gives the same workload.
package workload

import (
	"fmt"
	"math/rand"
	"strings"
)

const (
	KeySize = 9
	ValSize = 100
	Payload = KeySize + ValSize // of an entry, in bytes

	Exponent = 1.01 // of the Zipf distribution

	// Draws is how many draws there are before they repeat, a power of two.
	Draws = 1 << 20

	vals = 1024
	seed = 20
)

// A Workload is read only, once made.
type Workload struct {
	Keys   []string // all keys
	Absent []string // as many that no cache holds
	Vals   []string // values to write, in turn
	Draws  []string // of the keys, Zipf
}

// New makes the workload of that many keys.
//
// The keys are parts of one long string: the collector has little to do for them, and what a
// cache keeps is a copy, as it is in a service, where a key that is looked up never is the very
// string that was stored.
func New(keys int) *Workload {
	r := rand.New(rand.NewSource(seed))
	w := &Workload{
		Keys:   names('k', keys),
		Absent: names('m', keys),
		Vals:   make([]string, vals),
		Draws:  make([]string, Draws),
	}
	for i := range w.Vals {
		b := make([]byte, ValSize)
		for j := range b {
			b[j] = byte('a' + r.Intn(26))
		}
		w.Vals[i] = string(b)
	}
	// Which keys are hot has nothing to do with when they were written.
	rank := r.Perm(keys)
	zipf := rand.NewZipf(r, Exponent, 1, uint64(keys-1))
	for i := range w.Draws {
		w.Draws[i] = w.Keys[rank[zipf.Uint64()]]
	}
	return w
}

// Val returns the i-th value to write.
func (w *Workload) Val(i int) string { return w.Vals[i%vals] }

// Slice returns the n draws from the at-th on. Both are powers of two or multiples of one, so
// that none crosses the end.
func (w *Workload) Slice(at, n int) []string {
	at %= Draws
	return w.Draws[at : at+n]
}

// names makes n keys, as parts of one string.
func names(prefix byte, n int) []string {
	var all strings.Builder
	all.Grow(n * KeySize)
	for i := range n {
		fmt.Fprintf(&all, "%c%0*d", prefix, KeySize-1, i)
	}
	s := all.String()
	keys := make([]string, n)
	for i := range keys {
		keys[i] = s[i*KeySize : (i+1)*KeySize]
	}
	return keys
}
