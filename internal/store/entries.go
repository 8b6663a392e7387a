package store

// The entries of a shard: found by their keys, and in an order in which they make room for others.
type entries struct {
	index index  // changed under the shard's lock, and read without it
	tally *tally // of all shards
	ends  *ends
	_     [64]byte

	// The shard's lock guards all else.
	order       order
	tagged      taggedEntries
	nextExpiry  int64 // no lifetime ends before this; 0 if there is none at all
	provisional int64 // how many are provisional values
}

// find returns the entry of a key, or nil. Without the lock nil tells nothing, see index.
func (x *entries) find(hash uint64, key string) *Entry { return x.index.find(tagOf(hash), key) }

// recordOf returns the entry of a key's record without the lock, where nil tells nothing. While something
// moves in the index, a search may come upon the provisional value, which has the same key.
func (x *entries) recordOf(hash uint64, key string) *Entry {
	if e := x.find(hash, key); e != nil && !e.isProvisional() {
		return e
	}
	return nil
}

// insert holds the entry of a key that has none. A local one is a use of it.
func (x *entries) insert(hash uint64, e *Entry, local bool) {
	x.order.add(hash, e, local)
	x.count(e, +1)
	x.tagged.add(e)
	x.put(tagOf(hash), nil, e)
}

// replace holds an entry in place of another one of its key, and that is no use of it.
func (x *entries) replace(hash uint64, old, e *Entry) {
	e.Key = old.Key
	e.used.Store(old.used.Load())
	if grown := e.cost() - old.cost(); grown != 0 {
		x.tally.bytes.Add(grown)
	}
	x.tagged.remove(old)
	x.tagged.add(e)
	x.put(tagOf(hash), old, e)
}

func (x *entries) put(t tag, old, e *Entry) {
	end := e.end()
	x.index.put(t, old, e, x.ends.of(end))
	if end == 0 {
		return
	}
	if x.nextExpiry == 0 || end < x.nextExpiry {
		x.nextExpiry = end
	}
}

// remove removes an entry that is there.
func (x *entries) remove(t tag, e *Entry) {
	x.order.remove(t, e)
	x.index.remove(t, e)
	x.tagged.remove(e)
	x.count(e, -1)
}

func (x *entries) count(e *Entry, n int64) {
	x.tally.add(e, n)
	if e.isProvisional() {
		x.provisional += n
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

// trim gives back what takes memory for nothing if there are no entries.
func (x *entries) trim() {
	x.index.trim()
	x.order.trim()
}

// clear drops everything, and counts nothing.
func (x *entries) clear() {
	x.index.clear()
	x.order.clear()
	x.tagged.by = nil
}
