package bcache

import "hash/maphash"

// A keySet keeps only hashes of its keys, so that however long they are it doesn't take
// more. No two keys share one, but for a chance of 1 in 2^64 on which nobody has an influence.
type keySet struct {
	seed   maphash.Seed
	hashes map[uint64]struct{}
}

func newKeySet() *keySet { return &keySet{maphash.MakeSeed(), map[uint64]struct{}{}} }

func (s *keySet) add(key string) { s.hashes[maphash.String(s.seed, key)] = struct{}{} }

func (s *keySet) has(key string) bool {
	_, ok := s.hashes[maphash.String(s.seed, key)]
	return ok
}
