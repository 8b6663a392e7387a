package store

// A view is what a reader can tell of an entry without the shard's lock.
type view int

const (
	unclear view = iota // the lock is needed
	shown
	hidden
)

// viewOf is what can be told without the lock of an entry that was found when its shard was cleared by so
// many. If it is a provisional value, its epoch stands.
//
// by has to be read before the entry is looked for. Otherwise somebody else could clear the shard in
// between, and then it would vouch for an entry that has just gone.
func viewOf(c *Clears, e *Entry, by uint64) view {
	switch {
	case e.isAbove(c):
		return shown
	case !e.isProvisional() && (c.last.covers(e.Stamp) || c.hidden.Load()):
		return hidden
	}
	if by == c.number.Load() {
		return shown
	}
	switch clear, known := c.recent.clear(e, by+1); {
	case !known:
		return unclear
	case clear:
		return hidden
	}
	return shown
}
