package bcache

import (
	"cmp"
	"hash/maphash"
	"math/bits"
	"slices"
)

// What a full sync needs of the store. It proceeds by groups of buckets: bucket b belongs
// to group b % groups. The number of groups is a power of two.
//
// Keys lie in shards by a hash of this node's own, so a group has some in all of them: each
// group takes a look at all that is held. So there are few groups, and a group is made in
// steps that lock a shard at a time, however many keys somebody has chosen for one group.

const (
	defaultGroupKeys = 1 << 17
	maxGroups        = 64

	// A step looks at so many shards at most, and ends earlier if it has found stepRecords.
	defaultStepShards = 64
	stepRecords       = 1024
)

// groups returns how many groups to stream the store in.
func (s *store) groups() int {
	n := (s.len() + s.tombstones()) / s.groupKeys
	return min(1<<bits.Len(uint(n)), maxGroups)
}

// groupStep appends to recs, which is empty, what shards from one on hold of a group, sorted so that it
// encodes well, and returns the shard with which to go on: shards() after the last one.
func (s *store) groupStep(recs []record, groups, group, shard int) (_ []record, next int) {
	end := min(shard+s.stepShards, len(s.table))
	for ; shard < end && len(recs) < stepRecords; shard++ {
		if sh := s.table[shard].Load(); sh != nil {
			recs = s.appendGroup(recs, sh, groups, group)
		}
	}
	slices.SortFunc(recs, func(a, b record) int {
		return cmp.Or(cmp.Compare(a.origin, b.origin), cmp.Compare(a.stamp, b.stamp), cmp.Compare(a.key, b.key))
	})
	return recs, shard
}

// appendGroup appends what a shard holds of a group.
func (s *store) appendGroup(recs []record, sh *shard, groups, group int) []record {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	clear := s.clearStamp.Load()
	for e := range sh.index.all {
		switch {
		case e.bucket()%groups != group || e.stamp <= clear:
		case e.isProvisional(): // it is this node's own affair
		case e.mark != 0:
			// Nobody vouches for it, and the other node would take it for granted. To that one
			// it is forgotten.
			s.raiseFloor(e.bucket(), e.stamp)
		default:
			recs = append(recs, e.record())
		}
	}
	for _, t := range sh.tombs.values() {
		if t.stamp > clear && bucketOf(t.key)%groups == group {
			recs = append(recs, record{key: t.key, version: t.version, kind: kindTombstone})
		}
	}
	return recs
}

// groupEnd returns Clear, and the floors of a group that are above it. It comes after the last step:
// what went meanwhile is below one of them.
func (s *store) groupEnd(groups, group int) (after version, floors []bucketFloor) {
	after = s.clearVersion()
	for b := group; b < numBuckets; b += groups {
		if f := s.floorOf(b); f > after.stamp {
			floors = append(floors, bucketFloor{uint16(b), f})
		}
	}
	return after, floors
}

// dropUnstreamed ends a group on the side that receives it: what is held there, wasn't
// streamed and isn't above the other node's floor may be older than what that one has
// forgotten. This node's floors must have been raised before, so that nothing of the kind
// comes in meanwhile. It returns the keys that it dropped.
func (s *store) dropUnstreamed(
	groups, group int, streamed *keySet, floors []bucketFloor,
) (dropped []string) {
	if len(floors) == 0 {
		return nil
	}
	above := make([]uint64, numBuckets/groups) // by bucket / groups
	for _, f := range floors {
		above[int(f.bucket)/groups] = f.stamp
	}
	stale := func(key string, bucket int, stamp uint64) bool {
		return bucket%groups == group && stamp <= above[bucket/groups] && !streamed.has(key)
	}
	for i := range s.table {
		if sh := s.table[i].Load(); sh != nil {
			dropped = s.dropStale(sh, dropped, stale)
		}
	}
	return dropped
}

// dropStale forgets what a shard holds that is stale, and appends its keys.
func (s *store) dropStale(
	sh *shard, dropped []string, stale func(key string, bucket int, stamp uint64) bool,
) []string {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	first := len(dropped)
	var versions []version
	note := func(key string, v version) {
		dropped = append(dropped, key)
		versions = append(versions, v)
	}
	for e := range sh.index.all {
		if !e.isProvisional() && stale(e.key, e.bucket(), e.stamp) {
			note(e.key, e.version)
		}
	}
	for _, t := range sh.tombs.values() {
		if stale(t.key, bucketOf(t.key), t.stamp) {
			note(t.key, t.version)
		}
	}
	for i, v := range versions { // not while the index is gone through
		s.forgetLocked(sh, dropped[first+i], v)
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

// unmark has whatever a shard holds count like everything else. It returns how many entries that are.
func (s *store) unmark(shard int) int {
	sh := s.table[shard].Load()
	if sh == nil {
		return 0
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for e := range sh.index.all {
		e.mark = 0
	}
	return sh.index.n
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
