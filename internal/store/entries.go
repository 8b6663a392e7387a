package store

// The entries of a shard: found by the hash of their keys, and in the order in which they were used
// last. To move an entry to the front of its queue takes the shard's lock and touches its neighbours, so
// one that was moved not long ago is only marked as used since, and stays where it is. Should it come to
// the back meanwhile, because all others were moved in that short time, it is moved then instead of
// evicted: the second chance of the CLOCK algorithm (Corbató, "A Paging Experiment with the Multics
// System", 1968).
//
// An entry is in one of the two queues, which know it by the hash of its key: what is compared in an
// integer needn't be fetched from far memory. A second key of the same hash takes the first one's place.
type entries struct {
	index index  // changed under the shard's lock, and read without it
	tally *tally // of all shards
	_     [64]byte

	// The shard's lock guards all else.
	main        queue[uint64, struct{}] // used or written here, by last use
	probation   queue[uint64, struct{}] // only written by others so far, by arrival
	nextExpiry  int64                   // no lifetime ends before this; 0 if there is none at all
	provisional int64                   // how many are provisional values
}

// find returns the entry of a key, or nil. Without the lock nil tells nothing, see index.
func (x *entries) find(hash uint64, key string) *Entry {
	if e := x.index.find(hash); e != nil && e.Key == key {
		return e
	}
	return nil
}

// insert holds an entry under a hash that has none. A local one is a use of it.
func (x *entries) insert(hash uint64, e *Entry, local bool) {
	used := x.tally.clock.Add(clockStep)
	if !local {
		used |= probationBit
		x.tally.inProbation.Add(1)
	}
	e.used.Store(used)
	x.queue(!local).add(hash, struct{}{})
	x.count(e, +1)
	x.put(hash, e)
}

// replace holds an entry in place of another one of its key, and that is no use of it.
func (x *entries) replace(hash uint64, old, e *Entry) {
	e.Key = old.Key
	e.used.Store(old.used.Load())
	if grown := len(e.Val) - len(old.Val); grown != 0 {
		x.tally.bytes.Add(int64(grown))
	}
	x.put(hash, e)
}

func (x *entries) put(hash uint64, e *Entry) {
	end := e.end()
	x.index.put(hash, e, end)
	if end == 0 {
		return
	}
	if x.nextExpiry == 0 || end < x.nextExpiry {
		x.nextExpiry = end
	}
}

// remove removes the entry of a hash.
func (x *entries) remove(hash uint64, e *Entry) {
	x.queue(e.inProbation()).remove(hash)
	if e.inProbation() {
		x.tally.inProbation.Add(-1)
	}
	x.index.remove(hash)
	x.count(e, -1)
}

func (x *entries) count(e *Entry, n int64) {
	x.tally.add(e, n)
	if e.isProvisional() {
		x.provisional += n
	}
}

// use makes an entry one of those used last.
func (x *entries) use(hash uint64, e *Entry) {
	if !x.tally.noteUse(e) {
		x.move(hash, e)
	}
}

// move moves an entry to the front of main.
func (x *entries) move(hash uint64, e *Entry) {
	if e.inProbation() {
		x.probation.remove(hash)
		x.main.add(hash, struct{}{})
		x.tally.inProbation.Add(-1)
	} else {
		x.main.touch(hash)
	}
	e.used.Store(x.tally.clock.Load())
}

// queue returns one of the two queues.
func (x *entries) queue(probation bool) *queue[uint64, struct{}] {
	if probation {
		return &x.probation
	}
	return &x.main
}

// oldest returns the entry at the back of one of them, or nil.
func (x *entries) oldest(probation bool) (uint64, *Entry) {
	hash, _, ok := x.queue(probation).oldest()
	if !ok {
		return 0, nil
	}
	return hash, x.index.find(hash)
}

// victim returns the entry that is to be given up of a queue, or nil if that is empty.
func (x *entries) victim(probation bool) *Entry {
	for n := 0; ; n++ {
		hash, e := x.oldest(probation)
		if e == nil || n == sweepBatch || e.used.Load()&usedBit == 0 || !x.tally.near(e) {
			return e
		}
		x.move(hash, e)
	}
}

// all lists the entries. They may be removed meanwhile.
func (x *entries) all() []*Entry {
	all := make([]*Entry, 0, x.index.n)
	for e := range x.index.all {
		all = append(all, e)
	}
	return all
}

// trim gives back what empty queues and an empty index take.
func (x *entries) trim() {
	x.main.trim()
	x.probation.trim()
	x.index.trim()
}

// clear drops everything, and counts nothing.
func (x *entries) clear() {
	x.index.clear()
	x.main, x.probation = queue[uint64, struct{}]{}, queue[uint64, struct{}]{}
}
