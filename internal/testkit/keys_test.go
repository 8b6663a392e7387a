package testkit

import (
	"testing"

	"github.com/cespare/xxhash/v2"
)

func TestKeyOf(t *testing.T) {
	for _, c := range Crafted {
		for i := range uint64(100) {
			if key := KeyOf(c.Hash(i)); xxhash.Sum64String(key) != c.Hash(i) {
				t.Fatalf("%s, %d: the hash of %q is %x", c.Name, i, key, xxhash.Sum64String(key))
			}
		}
	}
}
