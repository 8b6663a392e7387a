package store

import (
	"hash/maphash"
)

// A KeySet keeps only hashes of its keys, so that however long they are it doesn't take
// more. No two keys share one, but for a chance of 1 in 2^64 on which nobody has an influence.
type KeySet struct {
	seed   maphash.Seed
	hashes map[uint64]struct{}
}

func NewKeySet() *KeySet { return &KeySet{maphash.MakeSeed(), map[uint64]struct{}{}} }

func (s *KeySet) Add(key string) { s.hashes[maphash.String(s.seed, key)] = struct{}{} }

func (s *KeySet) has(key string) bool {
	_, ok := s.hashes[maphash.String(s.seed, key)]
	return ok
}
