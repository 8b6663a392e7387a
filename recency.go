package bcache

// How the store knows which entries were used last. To move an entry to the front of its queue
// takes a lock and touches its neighbours, so one that was moved not long ago is only marked as
// used since, and stays where it is. Should it come to the back meanwhile, because all others
// were moved in that short time, it is moved then instead of evicted: the second chance of the
// CLOCK algorithm (Corbató, "A Paging Experiment with the Multics System", 1968).

const (
	// probationBit of entry.used tells that the entry is in the queue of that name, and usedBit
	// that it was used after it was moved.
	probationBit, usedBit = 1, 2
	useBits               = probationBit | usedBit

	// clockStep is what an insert adds to the store's clock, which leaves room for those bits.
	clockStep = 4

	// nearPart is the part of all entries that may be inserted before an entry that is used has
	// to move.
	nearPart = 32
)

func (e *entry) inProbation() bool { return e.used.Load()&probationBit != 0 }

// age returns how many inserts ago an entry was moved.
func (s *store) age(e *entry) int64 {
	return int64((s.clock.Load() - e.used.Load()&^useBits) / clockStep)
}

// near reports whether an entry needn't move: fewer inserts than a thirty-second of all entries
// have come since it did. With fewer than 32 entries none is near, and the order of uses is exact.
func (s *store) near(e *entry) bool { return (s.age(e)+1)*nearPart <= s.entries.Load() }

// noteUse notes the use of an entry that needn't move, and reports whether it needn't. If it was
// noted before it writes nothing.
func (s *store) noteUse(e *entry) bool {
	used := e.used.Load()
	if used&probationBit != 0 || !s.near(e) {
		return false
	}
	if used&usedBit == 0 {
		e.used.Or(usedBit)
	}
	return true
}

// useLocked makes an entry one of those used last.
func (s *store) useLocked(sh *shard, hash uint64, e *entry) {
	if !s.noteUse(e) {
		s.moveLocked(sh, hash, e)
	}
}

// moveLocked moves an entry to the front of main.
func (s *store) moveLocked(sh *shard, hash uint64, e *entry) {
	if e.inProbation() {
		sh.probation.remove(hash)
		sh.main.add(hash, struct{}{})
		s.inProbation.Add(-1)
	} else {
		sh.main.touch(hash)
	}
	e.used.Store(s.clock.Load())
}

// victimLocked returns the entry that a shard would give up of a queue, or nil if that is empty.
func (s *store) victimLocked(sh *shard, probation bool) *entry {
	for n := 0; ; n++ {
		e := sh.oldestLocked(probation)
		if e == nil || n == sweepBatch || e.used.Load()&usedBit == 0 || !s.near(e) {
			return e
		}
		s.moveLocked(sh, s.hashOf(e), e)
	}
}
