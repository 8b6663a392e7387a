package store

import (
	"sync/atomic"

	"github.com/iwanbk/bcache/internal/delta"
)

// A lastClear is the greatest Clear that was applied: a version that beats every stamp up to its own.
type lastClear struct{ stamp, origin atomic.Uint64 }

// covers reports whether it isn't below a stamp.
func (c *lastClear) covers(stamp uint64) bool { return stamp <= c.stamp.Load() }

// version returns it. Together with set it may pair the stamp with the origin of another one, which
// only decides between equal stamps.
func (c *lastClear) version() delta.Version {
	return delta.Version{Stamp: c.stamp.Load(), Origin: c.origin.Load()}
}

func (c *lastClear) set(v delta.Version) {
	c.origin.Store(v.Origin)
	c.stamp.Store(v.Stamp) // every shard's cleared is below it now, and so it is due
}
