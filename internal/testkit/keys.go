package testkit

import (
	"encoding/binary"
	"math/bits"
)

// KeyOf returns a key of 8 bytes whose xxHash64 is hash: every step of that hash can be undone.
func KeyOf(hash uint64) string {
	const (
		p1, p2, p3 = 11400714785074694791, 14029467366897019727, 1609587929392839161
		p4, p5     = 9650029242287828579, 2870177450012600261
	)
	inverse := func(v uint64) uint64 { // modulo 2^64, by Newton's method
		x := v
		for range 6 {
			x *= 2 - v*x
		}
		return x
	}
	h := hash ^ hash>>32
	h *= inverse(p3)
	h ^= h>>29 ^ h>>58
	h *= inverse(p2)
	h ^= h >> 33
	h = bits.RotateLeft64((h-p4)*inverse(p1), -27) ^ (p5 + 8)
	h = bits.RotateLeft64(h*inverse(p1), -31) * inverse(p2)
	return string(binary.LittleEndian.AppendUint64(nil, h))
}

// Crafted are families of keys that somebody may choose who knows the wire's hash.
var Crafted = []struct {
	Name string
	Hash func(i uint64) uint64
}{
	{"equal high 24 and low 8 bits", func(i uint64) uint64 { return 0xABCDEF<<40 | i<<8 }},
	{"equal high 40 bits", func(i uint64) uint64 { return 0xABCDEF0123<<24 | i }},
	{"equal low 40 bits", func(i uint64) uint64 { return i<<40 | 0xABCDEF0123 }},
	{"one bucket", func(i uint64) uint64 { return i<<14 | 77 }},
}
