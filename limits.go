package bcache

const maxTombstoneBytes = 64 << 20 // of keys

// limits are what a store may hold at most.
type limits struct {
	maxKeys       int   // entries, at least 1
	maxBytes      int64 // of entries, see entryOverhead; 0 = no limit
	maxTombstones int
}

// tooBig reports whether a record wouldn't fit into an empty store.
func (l *limits) tooBig(rec *record) bool {
	if rec.kind == kindTombstone {
		return len(rec.key) > maxTombstoneBytes
	}
	return l.maxBytes > 0 && entryCost(rec.key, rec.val) > l.maxBytes
}
