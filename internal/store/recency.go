package store

// A recency is the order of a shard by last use, see lru: two queues of golang-lru.
type recency struct {
	index     *index
	policy    *lru               // of all shards
	main      queue[lruKey, tag] // used or written here, by last use
	probation queue[lruKey, tag] // only written by others so far, by arrival
}

// An lruKey tells the entries of a shard apart.
type lruKey struct {
	key         string
	provisional bool
}

func lruKeyOf(e *Entry) lruKey { return lruKey{e.Key, e.isProvisional()} }

func (x *recency) add(hash uint64, e *Entry, local bool) {
	used := x.policy.clock.Add(clockStep)
	if !local {
		used |= probationBit
		x.policy.inProbation.Add(1)
	}
	e.used.Store(used)
	x.queue(!local).add(lruKeyOf(e), tagOf(hash))
}

func (x *recency) remove(_ tag, e *Entry) {
	x.queue(e.inProbation()).remove(lruKeyOf(e))
	if e.inProbation() {
		x.policy.inProbation.Add(-1)
	}
}

// use makes an entry one of those used last.
func (x *recency) use(t tag, e *Entry) {
	if !x.policy.noteUse(e) {
		x.move(t, e)
	}
}

// move moves an entry to the front of main.
func (x *recency) move(t tag, e *Entry) {
	if e.inProbation() {
		x.probation.remove(lruKeyOf(e))
		x.main.add(lruKeyOf(e), t)
		x.policy.inProbation.Add(-1)
	} else {
		x.main.touch(lruKeyOf(e))
	}
	e.used.Store(x.policy.clock.Load())
}

// queue returns one of the two queues.
func (x *recency) queue(probation bool) *queue[lruKey, tag] {
	if probation {
		return &x.probation
	}
	return &x.main
}

// oldest returns the entry at the back of one of them, or nil.
func (x *recency) oldest(probation bool) (*Entry, tag) {
	k, t, ok := x.queue(probation).oldest()
	if !ok {
		return nil, 0
	}
	return x.index.find(t, k.key), t
}

// victim returns the entry that is to be given up of a queue, or nil if that is empty.
func (x *recency) victim(probation bool) (*Entry, tag) {
	for n := 0; ; n++ {
		e, t := x.oldest(probation)
		if e == nil || n == sweepBatch || e.used.Load()&usedBit == 0 || !x.policy.near(e) {
			return e, t
		}
		x.move(t, e)
	}
}

// trim gives back what empty queues take.
func (x *recency) trim() {
	x.main.trim()
	x.probation.trim()
}

func (x *recency) clear() { x.main, x.probation = queue[lruKey, tag]{}, queue[lruKey, tag]{} }
