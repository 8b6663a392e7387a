package bcache

import (
	"cmp"
	"hash/maphash"
	"math/bits"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// What a full sync needs of the store. It proceeds by groups of buckets: bucket b belongs
// to group b % groups. The number of groups is a power of two, and so is that of the shards,
// so with no more groups than shards a group is a set of whole shards.

// A group is sent in one chunk if it isn't larger than that; a shard of it is locked at a time.
const defaultGroupKeys = 1024

// groups returns how many groups to stream the store in.
func (s *store) groups() int {
	n := (s.len() + s.tombstones()) / s.groupKeys
	return min(1<<bits.Len(uint(n)), len(s.table), numBuckets)
}

// group returns what is held of a group, sorted so that it encodes well, and then Clear and
// the floors that are above it. The order matters: what goes in between is below one of them.
func (s *store) group(groups, group int) (recs []record, after version, floors []bucketFloor) {
	clear := s.clearStamp.Load()
	for i := group; i < len(s.table); i += groups {
		sh := s.table[i].Load()
		if sh == nil {
			continue
		}
		sh.mu.Lock()
		for e := range sh.index.all {
			switch {
			case e.provisional: // it is this node's own affair
			case e.stamp <= clear:
			case e.mark != 0:
				// Nobody vouches for it, and the other node would take it for granted. To that one
				// it is forgotten.
				s.raiseFloor(s.bucketOf(e.key), e.stamp)
			default:
				recs = append(recs, e.record())
			}
		}
		for _, t := range sh.tombs.values() {
			if t.stamp > clear {
				recs = append(recs, record{key: t.key, version: t.version, kind: kindTombstone})
			}
		}
		sh.mu.Unlock()
	}
	slices.SortFunc(recs, func(a, b record) int {
		return cmp.Or(cmp.Compare(a.origin, b.origin), cmp.Compare(a.stamp, b.stamp), cmp.Compare(a.key, b.key))
	})
	after = s.clearVersion()
	for b := group; b < numBuckets; b += groups {
		if f := s.floorOf(b); f > after.stamp {
			floors = append(floors, bucketFloor{uint16(b), f})
		}
	}
	return recs, after, floors
}

// dropUnstreamed ends a group on the side that receives it: what is held there, wasn't
// streamed and isn't above the other node's floor may be older than what that one has
// forgotten. This node's floors must have been raised before, so that nothing of the kind
// comes in meanwhile. It returns the keys that it dropped.
func (s *store) dropUnstreamed(groups, group int, streamed *keySet, floors []bucketFloor) (dropped []string) {
	first, step := group, groups
	if groups > len(s.table) {
		first, step = group&(len(s.table)-1), len(s.table)
	}
	for i := first; i < len(s.table); i += step {
		sh := s.table[i].Load()
		if sh == nil {
			continue
		}
		sh.mu.Lock()
		drop := func(key string, v version) {
			h := xxhash.Sum64String(key)
			i, ok := slices.BinarySearchFunc(floors, uint16(h%numBuckets), func(f bucketFloor, b uint16) int { return cmp.Compare(f.bucket, b) })
			if int(h%uint64(groups)) != group || !ok || v.stamp > floors[i].stamp {
				return
			}
			if !streamed.has(key) {
				s.forgetLocked(sh, key, v)
				dropped = append(dropped, key)
			}
		}
		for _, e := range sh.entriesLocked() {
			if !e.provisional {
				drop(e.key, e.version)
			}
		}
		for _, t := range sh.tombs.values() {
			drop(t.key, t.version)
		}
		sh.mu.Unlock()
	}
	return dropped
}

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

// unmark has whatever is held count like everything else.
func (s *store) unmark() {
	for i := range s.table {
		if sh := s.table[i].Load(); sh != nil {
			sh.mu.Lock()
			for e := range sh.index.all {
				e.mark = 0
			}
			sh.mu.Unlock()
		}
	}
}

// vouch ends a full sync: what was streamed in it, with this mark, counts like
// everything else from now on; what is left of others, which didn't end, goes. It returns the
// keys that went.
func (s *store) vouch(mark uint8) (dropped []string) {
	for i := range s.table {
		sh := s.table[i].Load()
		if sh == nil {
			continue
		}
		sh.mu.Lock()
		for _, e := range sh.entriesLocked() {
			switch e.mark {
			case 0:
			case mark:
				e.mark = 0
			default:
				s.forgetLocked(sh, e.key, e.version)
				dropped = append(dropped, e.key)
			}
		}
		sh.mu.Unlock()
	}
	return dropped
}
