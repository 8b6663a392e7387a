package bcache

// A vouching takes the marks of full syncs that didn't end from all that is held, in steps: others get the
// lock in between, but no full sync begins meanwhile.
type vouching struct {
	store *store
	shard int // the next one
}

// step takes about so many steps, and reports whether there may be more.
func (v *vouching) step(most int) bool {
	for work := 0; v.shard < v.store.shards(); {
		work += 1 + v.store.sync.unmark(v.shard)
		if v.shard++; work >= most {
			return true
		}
	}
	return false
}
