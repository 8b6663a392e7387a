package store

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/iwanbk/bcache/internal/delta"
)

const (
	defaultGroupKeys = 1 << 17

	// A step looks at so many shards at most, and ends earlier if it has found StepRecords.
	defaultStepShards = 64
	StepRecords       = 1024

	// ClearsOfGroup is how many bytes of Clears go with a group, about.
	ClearsOfGroup = 256 << 10
)

// A Syncer does what a full sync needs of the store. It proceeds by groups of buckets: bucket b belongs
// to group b % groups. The number of groups is a power of two.
//
// Keys lie in shards by a hash of this node's own, so a group has some in all of them: each
// group takes a look at all that is held. So there are few groups, and a group is made in
// steps that lock a shard at a time, however many keys somebody has chosen for one group.
type Syncer struct {
	*shared
	table      *table
	groupKeys  int // in a group, about
	stepShards int
}

// Held is how many entries are other nodes' affair too: all but the provisional values.
func (s *Syncer) Held() int { return int(s.tally.entries.Load() - s.tally.provisional.Load()) }

// Groups returns how many groups to stream the store in.
func (s *Syncer) Groups() int {
	n := (s.Held() + int(s.tombSums.count.Load())) / s.groupKeys
	n = max(n, s.Clears.size()/ClearsOfGroup) // the last chunk of each group has some of the Clears
	return min(1<<bits.Len(uint(n)), delta.MaxGroups)
}

// GroupStep appends to recs, which is empty, what shards from one on hold of a group, sorted so that it
// encodes well, and returns the shard with which to go on: Shards() after the last one.
func (s *Syncer) GroupStep(recs []delta.Record, groups, group, shard int) (_ []delta.Record, next int) {
	end := min(shard+s.stepShards, s.table.len())
	for ; shard < end && len(recs) < StepRecords; shard++ {
		if sh := s.table.at(shard); sh != nil {
			recs = s.appendGroup(recs, sh, groups, group)
		}
	}
	slices.SortFunc(recs, func(a, b delta.Record) int {
		return cmp.Or(
			cmp.Compare(a.Origin, b.Origin), cmp.Compare(a.Stamp, b.Stamp), cmp.Compare(a.Key, b.Key))
	})
	return recs, shard
}

// appendGroup appends what a shard holds of a group.
func (s *Syncer) appendGroup(recs []delta.Record, sh *shard, groups, group int) []delta.Record {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for sh.clearance.catchUpLocked(sh, sweepBatch) == sweepBatch {
		sh.mu.Unlock()
		sh.mu.Lock()
	}
	cleared := s.Clears.All().Stamp
	for e := range sh.entries.index.all {
		switch {
		case e.bucket()%groups != group || e.Stamp <= cleared:
		case e.isProvisional(): // it is this node's own affair
		case e.mark.unvouched():
			// Nobody vouches for it, and the other node would take it for granted. To that one
			// it is forgotten.
			s.floors.raise(e.bucket(), e.Stamp)
		case sh.clearance.clearsLocked(&s.Clears, e) != nil: // so is what a Clear selects
			s.floors.raise(e.bucket(), e.Stamp)
		default:
			recs = append(recs, e.record())
		}
	}
	for _, t := range sh.tombs.all() {
		if t.Stamp > cleared && delta.BucketOf(t.key)%groups == group {
			recs = append(recs, delta.Record{Key: t.key, Version: t.Version, Kind: delta.KindTombstone})
		}
	}
	return recs
}

// GroupEnd returns Clear, and the floors of a group that are above it. It comes after the last step:
// what went meanwhile is below one of them.
func (s *Syncer) GroupEnd(groups, group int) (after delta.Version, floors []delta.BucketFloor) {
	after = s.Clears.All()
	for b := group; b < delta.NumBuckets; b += groups {
		if f := s.floors.of(b); f > after.Stamp {
			floors = append(floors, delta.BucketFloor{Bucket: uint16(b), Stamp: f})
		}
	}
	return after, floors
}

// DropUnstreamed ends a group on the side that receives it: what is held there, wasn't
// streamed and isn't above the other node's floor may be older than what that one has
// forgotten. This node's floors must have been raised before, so that nothing of the kind
// comes in meanwhile. It returns the keys that it dropped.
func (s *Syncer) DropUnstreamed(
	now delta.Instant, groups, group int, streamed *KeySet, floors []delta.BucketFloor,
) (dropped []string) {
	if len(floors) == 0 {
		return nil
	}
	above := make([]uint64, delta.NumBuckets/groups) // by bucket / groups
	for _, f := range floors {
		above[int(f.Bucket)/groups] = f.Stamp
	}
	stale := func(key string, bucket int, stamp uint64) bool {
		return bucket%groups == group && stamp <= above[bucket/groups] && !streamed.has(key)
	}
	for sh := range s.table.all {
		dropped = s.dropStale(now, sh, dropped, stale)
	}
	return dropped
}

// dropStale forgets what a shard holds that is stale, and appends its keys.
func (s *Syncer) dropStale(
	now delta.Instant, sh *shard, dropped []string, stale func(key string, bucket int, stamp uint64) bool,
) []string {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	first := len(dropped)
	var versions []delta.Version
	note := func(key string, v delta.Version) {
		dropped = append(dropped, key)
		versions = append(versions, v)
	}
	for e := range sh.entries.index.all {
		if !e.isProvisional() && stale(e.Key, e.bucket(), e.Stamp) {
			note(e.Key, e.Version)
		}
	}
	for _, t := range sh.tombs.all() {
		if stale(t.key, delta.BucketOf(t.key), t.Stamp) {
			note(t.key, t.Version)
		}
	}
	for i, v := range versions { // not while the index is gone through
		sh.giveUpLocked(now.Wall, dropped[first+i], v)
	}
	return dropped
}

// DropTagged ends the full sync with a number as far as records with tags go: what is held of them,
// wasn't streamed in this very version and isn't above the other node's floor may be what a Clear was
// about that it has forgotten. Its other floors don't show that where it has streamed an older record of
// the key. This node's floor must have been raised before. It returns the keys that it dropped.
func (s *Syncer) DropTagged(now delta.Instant, floor uint64, number uint8) (dropped []string) {
	for sh := range s.table.all {
		sh.mu.Lock()
		for _, e := range sh.entries.tagged.upTo(floor) {
			if !e.mark.is(number) {
				sh.giveUpLocked(now.Wall, e.Key, e.Version)
				dropped = append(dropped, e.Key)
			}
		}
		sh.mu.Unlock()
	}
	return dropped
}

// Unmark has whatever a shard holds count like everything else. It returns how many entries that are.
func (s *Syncer) Unmark(shard int) int {
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

// Vouch ends the full sync with a number: what was streamed in it counts like everything else from now
// on. What is left of others, which didn't end, and isn't known otherwise, goes: with 0 that is all that
// full syncs have left. It returns the keys that went.
func (s *Syncer) Vouch(now delta.Instant, number uint8) (dropped []string) {
	for sh := range s.table.all {
		sh.mu.Lock()
		for _, e := range sh.entries.all() {
			if e.mark.unvouched() && !e.mark.is(number) {
				sh.giveUpLocked(now.Wall, e.Key, e.Version)
				dropped = append(dropped, e.Key)
			}
			if e.mark != 0 { // a write takes the entry from all who read it
				e.mark = 0
			}
		}
		sh.mu.Unlock()
	}
	return dropped
}
