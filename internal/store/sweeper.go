package store

import (
	"time"

	"github.com/iwanbk/bcache/internal/delta"
)

// sweepBatch is how many entries are removed under one lock at most.
const sweepBatch = 64

// A Sweeper removes what is dead: expired entries, provisional values of an earlier epoch, tombstones
// that are older than deletionDelay, and whatever Clear is above.
type Sweeper struct {
	*shared
	table         *table
	deletionDelay time.Duration
	next          int // the shard that Turn goes on with
}

// Turn sweeps the shards that come next, so many that after a number of turns all were swept. Only one
// goroutine may call it.
func (w *Sweeper) Turn(now delta.Instant, turns int) {
	n := w.table.len()
	for range (n + turns - 1) / turns {
		w.Sweep(now, w.next)
		w.next = (w.next + 1) % n
	}
}

// Sweep removes what is dead in shard i, 0 <= i < Shards(). It costs next to nothing when there is
// none.
func (w *Sweeper) Sweep(now delta.Instant, i int) {
	sh := w.table.at(i)
	if sh == nil {
		return
	}
	for n := sweepBatch; n == sweepBatch; {
		n = w.sweepSome(sh, now)
	}
}

// sweepSome does what can be done under one lock, and returns how much it was.
func (w *Sweeper) sweepSome(sh *shard, now delta.Instant) int {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	n := w.sweepLocked(sh, now)
	for ; n < sweepBatch; n++ {
		t, ok := sh.tombs.oldest()
		if !ok || now.Mono-t.born < w.deletionDelay {
			break
		}
		sh.forgetLocked(t.key, t.Version)
		w.counters.tombstonesCollected.Add(1)
	}
	sh.trimLocked()
	return n
}

// dueLocked reports whether an entry may have expired, or something may be left
// that Clear is above, or of an earlier epoch.
func (w *Sweeper) dueLocked(sh *shard, wall int64) bool {
	next := sh.entries.nextExpiry
	return sh.cleared < w.Clears.All().Stamp || sh.epoch < w.Epochs.Now() || next != 0 && wall >= next ||
		sh.clearance.by.Load() != w.Clears.Number()
}

// sweepLocked removes the entries that are dead, and whatever Clear is above, sweepBatch at most, and
// returns how many it removed. With fewer nothing is left.
func (w *Sweeper) sweepLocked(sh *shard, now delta.Instant) int {
	if !w.dueLocked(sh, now.Wall) {
		return 0
	}
	n := w.dropExpiredLocked(sh, now.Wall)
	if n < sweepBatch {
		n += w.dropEndedLocked(sh, sweepBatch-n)
	}
	if n < sweepBatch {
		n += w.dropClearedLocked(sh, sweepBatch-n)
	}
	if n < sweepBatch {
		n += sh.clearance.catchUpLocked(sh, sweepBatch-n)
	}
	return n
}

// dropExpiredLocked removes the entries that have expired, sweepBatch at most.
func (w *Sweeper) dropExpiredLocked(sh *shard, wall int64) int {
	n, next, x := 0, int64(0), &sh.entries.index
	now := w.ends.of(wall)
	for i := 0; i < x.len(); {
		s := &(*x.slots.Load())[i]
		unit := s.end()
		if unit == 0 {
			i++
			continue
		}
		end, e := w.ends.from(unit), s.e.Load()
		if unit <= now { // it may have ended
			end = e.end()
		}
		if wall < end {
			if next == 0 || end < next {
				next = end
			}
			i++
			continue
		}
		size := x.len()
		sh.expireLocked(wall, s.tag(), e) // another entry may take this place
		if x.len() != size {
			i = 0 // all places are others
		}
		if n++; n == sweepBatch {
			return n // the hint stays, and so does what is due
		}
	}
	sh.entries.nextExpiry = next
	return n
}

// dropEndedLocked removes the provisional values of an earlier epoch, most of them at most.
func (w *Sweeper) dropEndedLocked(sh *shard, most int) int {
	epoch := w.Epochs.Now()
	if sh.epoch >= epoch {
		return 0
	}
	ended := sh.endedLocked()
	for _, e := range ended[:min(len(ended), most)] {
		sh.dropEndedLocked(e)
	}
	if len(ended) >= most {
		return most
	}
	sh.epoch = epoch
	return len(ended)
}

// dropClearedLocked removes what Clear is above, most of them at most.
func (w *Sweeper) dropClearedLocked(sh *shard, most int) int {
	cleared := w.Clears.All().Stamp
	if sh.cleared >= cleared {
		return 0
	}
	keys := clearedKeysLocked(sh, cleared)
	for _, key := range keys[:min(len(keys), most)] {
		sh.removeLocked(w.hash.Of(key), key)
	}
	if len(keys) >= most {
		return most
	}
	sh.cleared = cleared
	return len(keys)
}

// clearedKeysLocked lists the keys whose stamps Clear is not below.
func clearedKeysLocked(sh *shard, cleared uint64) (keys []string) {
	for e := range sh.entries.index.all {
		if e.Stamp <= cleared && !e.isProvisional() {
			keys = append(keys, e.Key)
		}
	}
	for _, t := range sh.tombs.all() {
		if t.Stamp <= cleared {
			keys = append(keys, t.key)
		}
	}
	return keys
}
