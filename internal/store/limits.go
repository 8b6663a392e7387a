package store

import (
	"github.com/iwanbk/bcache/internal/delta"
)

const maxTombstoneBytes = 64 << 20 // of keys

// limits are what a store may hold at most.
type limits struct {
	maxKeys       int   // entries, at least 1
	maxBytes      int64 // of entries, see EntryOverhead; 0 = no limit
	maxTombstones int
}

// tooBig reports whether a record wouldn't fit into an empty store.
func (l *limits) tooBig(rec *delta.Record) bool {
	if rec.Kind == delta.KindTombstone {
		return len(rec.Key) > maxTombstoneBytes
	}
	return l.maxBytes > 0 && CostOf(rec) > l.maxBytes
}
