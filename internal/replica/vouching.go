package replica

import (
	"github.com/iwanbk/bcache/internal/store"
)

// A vouching takes the marks of full syncs that didn't end from all that is held, in steps: others get
// the lock in between, but no full sync begins meanwhile.
type vouching struct {
	store *store.Store
	shard int // the next one
}

// step takes about so many steps, and reports whether there may be more.
func (v *vouching) step(most int) bool {
	for work := 0; v.shard < v.store.Shards(); {
		work += 1 + v.store.Sync.Unmark(v.shard)
		if v.shard++; work >= most {
			return true
		}
	}
	return false
}
