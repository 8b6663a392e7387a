package workload

import "math/rand"

// FreshKeys is how many fresh keys there are before they repeat, a power of two.
const FreshKeys = 1 << 24

// Fresh are keys that no cache has been asked for, more than one is given within seconds. Each is a part
// of one string of random letters, and begins a letter after the one before: so they take little room.
type Fresh struct{ letters string }

// NewFresh makes them; they are the same each time.
func NewFresh() *Fresh {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	r := rand.New(rand.NewSource(seed))
	b := make([]byte, FreshKeys+KeySize)
	for i := range b {
		b[i] = letters[r.Intn(len(letters))]
	}
	return &Fresh{string(b)}
}

// Key returns the i-th.
func (f *Fresh) Key(i int) string {
	i %= FreshKeys
	return f.letters[i : i+KeySize]
}
