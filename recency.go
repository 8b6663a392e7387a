package bcache

// How the store knows which entries were used last.

const (
	// clockStep is what an insert adds to the store's clock. It leaves room for probationBit.
	clockStep = 2

	// probationBit of entry.used tells that the entry is in the queue of that name. The clock
	// never has it set.
	probationBit = 1

	// nearPart is the part of all entries that may be ahead of one without it having to move.
	nearPart = 16
)

func (e *entry) inProbation() bool { return e.used.Load()&probationBit != 0 }

// near reports whether an entry is so near the front of its queue that a use needn't move it:
// fewer entries than a sixteenth of all have come since it was there. So reads in a row write
// nothing, and the order of uses is as exact as that. With fewer than 16 entries it is exact.
func (s *store) near(e *entry) bool {
	used := e.used.Load()
	return used&probationBit == 0 && int64(s.clock.Load()-used+clockStep)*nearPart <= clockStep*s.entries.Load()
}

// useLocked makes an entry the one used last.
func (s *store) useLocked(sh *shard, hash uint64, e *entry) {
	if s.near(e) {
		return
	}
	if e.inProbation() {
		sh.probation.remove(hash)
		sh.main.add(hash, struct{}{})
		s.inProbation.Add(-1)
	} else {
		sh.main.touch(hash)
	}
	e.used.Store(s.clock.Load())
}
