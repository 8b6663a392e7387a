package store

import (
	"sync/atomic"

	"github.com/iwanbk/bcache/internal/delta"
)

// lru is the policy that gives up the entry that was used longest ago. While all entries lie in one
// shard, that is exact. Where there are more, it compares some of them, and doesn't move each entry that
// is used: that would take the shard's lock, and touch the entry's neighbours. So one that was moved not
// long ago is only marked as used since, and stays where it is. Should it come to the back meanwhile,
// because all others were moved in that short time, it is moved then instead of evicted: the second
// chance of the CLOCK algorithm (Corbató, "A Paging Experiment with the Multics System", 1968).
type lru struct {
	*evictor
	clock       atomic.Uint32 // clockStep times the inserts so far. It may wrap.
	inProbation atomic.Int64  // entries
}

const (
	// probationBit of Entry.used tells that the entry is in the queue of that name, and usedBit
	// that it was used after it was moved.
	probationBit, usedBit = 1, 2
	useBits               = probationBit | usedBit

	// clockStep is what an insert adds to the clock, which leaves room for those bits.
	clockStep = 4

	// nearPart is the part of all entries that may be inserted before an entry that is used has
	// to move.
	nearPart = 32
)

func (p *lru) newOrder(x *index) order { return &recency{index: x, policy: p} }

func (p *lru) probation() int { return int(p.inProbation.Load()) }

func (p *lru) reset() { p.inProbation.Store(0) }

// age returns how many inserts ago an entry was moved.
func (p *lru) age(e *Entry) int64 {
	return int64((p.clock.Load() - e.used.Load()&^useBits) / clockStep)
}

// near reports whether an entry needn't move: fewer inserts than a thirty-second of all entries
// have come since it did.
func (p *lru) near(e *Entry) bool {
	return p.table.len() > 1 && (p.age(e)+1)*nearPart <= p.tally.entries.Load()
}

// noteUse notes the use of an entry that needn't move. If it was noted before it writes nothing.
func (p *lru) noteUse(e *Entry) bool {
	used := e.used.Load()
	if used&probationBit != 0 || !p.near(e) {
		return false
	}
	if used&usedBit == 0 {
		e.used.Or(usedBit)
	}
	return true
}

// evict gives up an entry of some shard.
//
// While what only others wrote makes up more than a quarter, it goes first: a
// flood of remote writes replaces itself, not what is read here.
func (p *lru) evict(now delta.Instant, _ uint64, _ int) {
	probation := p.inProbation.Load()*4 > p.tally.entries.Load()
	if !p.evictFrom(now, probation) {
		p.evictFrom(now, !probation)
	}
}

func (p *lru) evictFrom(now delta.Instant, probation bool) bool {
	sh := p.eldest(func(sh *shard) (int64, bool) {
		e, _ := sh.entries.order.(*recency).oldest(probation)
		if e == nil {
			return 0, false
		}
		return p.age(e), true
	})
	if sh == nil {
		return false
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if p.sweeper.sweepLocked(sh, now) > 0 {
		return true
	}
	e, t := sh.entries.order.(*recency).victim(probation)
	if e == nil {
		return false // a get or a sweep was faster
	}
	sh.evictLocked(now.Wall, t, e)
	return true
}
