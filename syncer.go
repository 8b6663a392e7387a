package bcache

import (
	"cmp"
	"math/bits"
	"slices"
)

const (
	defaultGroupKeys = 1 << 17
	maxGroups        = 64

	// A step looks at so many shards at most, and ends earlier if it has found stepRecords.
	defaultStepShards = 64
	stepRecords       = 1024
)

// A syncer does what a full sync needs of the store. It proceeds by groups of buckets: bucket b belongs
// to group b % groups. The number of groups is a power of two.
//
// Keys lie in shards by a hash of this node's own, so a group has some in all of them: each
// group takes a look at all that is held. So there are few groups, and a group is made in
// steps that lock a shard at a time, however many keys somebody has chosen for one group.
type syncer struct {
	*shared
	table      *table
	groupKeys  int // in a group, about
	stepShards int
}

// groups returns how many groups to stream the store in.
func (s *syncer) groups() int {
	n := int(s.tally.entries.Load()+s.tombSums.count.Load()) / s.groupKeys
	return min(1<<bits.Len(uint(n)), maxGroups)
}

// groupStep appends to recs, which is empty, what shards from one on hold of a group, sorted so that it
// encodes well, and returns the shard with which to go on: shards() after the last one.
func (s *syncer) groupStep(recs []record, groups, group, shard int) (_ []record, next int) {
	end := min(shard+s.stepShards, s.table.len())
	for ; shard < end && len(recs) < stepRecords; shard++ {
		if sh := s.table.at(shard); sh != nil {
			recs = s.appendGroup(recs, sh, groups, group)
		}
	}
	slices.SortFunc(recs, func(a, b record) int {
		return cmp.Or(
			cmp.Compare(a.origin, b.origin), cmp.Compare(a.stamp, b.stamp), cmp.Compare(a.key, b.key))
	})
	return recs, shard
}

// appendGroup appends what a shard holds of a group.
func (s *syncer) appendGroup(recs []record, sh *shard, groups, group int) []record {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	clear := s.lastClear.stamp.Load()
	for e := range sh.entries.index.all {
		switch {
		case e.bucket()%groups != group || e.stamp <= clear:
		case e.isProvisional(): // it is this node's own affair
		case e.mark != 0:
			// Nobody vouches for it, and the other node would take it for granted. To that one
			// it is forgotten.
			s.floors.raise(e.bucket(), e.stamp)
		default:
			recs = append(recs, e.record())
		}
	}
	for _, t := range sh.tombs.all() {
		if t.stamp > clear && bucketOf(t.key)%groups == group {
			recs = append(recs, record{key: t.key, version: t.version, kind: kindTombstone})
		}
	}
	return recs
}

// groupEnd returns Clear, and the floors of a group that are above it. It comes after the last step:
// what went meanwhile is below one of them.
func (s *syncer) groupEnd(groups, group int) (after version, floors []bucketFloor) {
	after = s.lastClear.version()
	for b := group; b < numBuckets; b += groups {
		if f := s.floors.of(b); f > after.stamp {
			floors = append(floors, bucketFloor{uint16(b), f})
		}
	}
	return after, floors
}

// dropUnstreamed ends a group on the side that receives it: what is held there, wasn't
// streamed and isn't above the other node's floor may be older than what that one has
// forgotten. This node's floors must have been raised before, so that nothing of the kind
// comes in meanwhile. It returns the keys that it dropped.
func (s *syncer) dropUnstreamed(
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
	for sh := range s.table.all {
		dropped = s.dropStale(sh, dropped, stale)
	}
	return dropped
}

// dropStale forgets what a shard holds that is stale, and appends its keys.
func (s *syncer) dropStale(
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
	for e := range sh.entries.index.all {
		if !e.isProvisional() && stale(e.key, e.bucket(), e.stamp) {
			note(e.key, e.version)
		}
	}
	for _, t := range sh.tombs.all() {
		if stale(t.key, bucketOf(t.key), t.stamp) {
			note(t.key, t.version)
		}
	}
	for i, v := range versions { // not while the index is gone through
		sh.forgetLocked(dropped[first+i], v)
	}
	return dropped
}

// unmark has whatever a shard holds count like everything else. It returns how many entries that are.
func (s *syncer) unmark(shard int) int {
	sh := s.table.at(shard)
	if sh == nil {
		return 0
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for e := range sh.entries.index.all {
		e.mark = 0
	}
	return sh.entries.index.n
}

// vouch ends a full sync: what was streamed in it, with this mark, counts like
// everything else from now on; what is left of others, which didn't end, goes. It returns the
// keys that went.
func (s *syncer) vouch(mark uint8) (dropped []string) {
	for sh := range s.table.all {
		sh.mu.Lock()
		for _, e := range sh.entries.all() {
			switch e.mark {
			case 0:
			case mark:
				e.mark = 0
			default:
				sh.forgetLocked(e.key, e.version)
				dropped = append(dropped, e.key)
			}
		}
		sh.mu.Unlock()
	}
	return dropped
}
