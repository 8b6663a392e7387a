package store

import (
	"github.com/iwanbk/bcache/internal/delta"
)

// An Inspection is all that a store knows of a key at a moment.
type Inspection struct {
	// What is held of it, be it a value, a negative or a tombstone, expired or not. If Cleared, a Clear
	// isn't below it: it counts as not held, and goes with a sweep.
	Record        delta.Record
	Held, Cleared bool

	// Its provisional value, or negative, expired or not. If Beside, it was kept to stand beside a live
	// record. If Ended, a Clear of a prefix or tag came after it: it isn't served, and goes with a sweep.
	Provisional                  delta.Record
	IsProvisional, Beside, Ended bool

	Hidden bool // the node serves nothing but provisional values, see Clears.Hide

	Floor    uint64        // of its bucket: not held, it may have had any version up to this stamp
	TagFloor uint64        // a record with tags isn't taken up to this stamp
	Clear    delta.Version // the greatest one of everything
	Fills    int           // of this very key that have begun here and not ended

	// The greatest Clear that is remembered of a prefix of the key, or of a tag of what is held. Without a
	// selector there is none.
	Selected Clear

	// The last ones, the latest first. The keys of a shard, some 1,000, share twice 8 places. They are told
	// apart by 32 bits: one in some billions may be of another key.
	Decisions []Decision
}

// inspectLocked fills in what a shard knows.
func (in *Inspection) inspectLocked(sh *shard, hash uint64, key string) {
	if e := sh.entries.find(hash, key); e != nil {
		in.Held, in.Record = true, e.record()
	} else if t, ok := sh.tombs.find(key); ok {
		in.Held = true
		in.Record = delta.Record{Key: t.key, Version: t.Version, Kind: delta.KindTombstone}
	}
	in.Cleared = in.Held && sh.Clears.last.covers(in.Record.Stamp)
	if e := sh.entries.find(hash, key); e != nil {
		in.Cleared = in.Cleared || sh.clearance.clearsLocked(&sh.Clears, e) != nil
	}
	if p := sh.twinOf(hash, key); p != nil {
		in.IsProvisional, in.Provisional, in.Beside = true, p.served(), p.ofProvisional().beside
		in.Ended = sh.clearance.clearsLocked(&sh.Clears, p) != nil
	}
	for f := sh.fills[hash]; f != nil; f = f.next {
		if f.Key == key {
			in.Fills++
		}
	}
	in.Decisions = sh.decisions.about(hash)
}

// inspect fills in what is known of Clears.
func (in *Inspection) inspect(c *Clears, key string) {
	in.Clear, in.TagFloor, in.Hidden = c.All(), c.TagFloor(), c.hidden.Load()
	in.Selected = c.greatest(func(s delta.Selector) bool {
		return s.Selects(key, in.Record.Tags) || s.Selects(key, in.Provisional.Tags)
	})
}
