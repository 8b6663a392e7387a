package store

import (
	"github.com/iwanbk/bcache/internal/delta"
)

// A Sharer keeps what was decoded of values, with their entries. It may be called at any time.
type Sharer struct {
	*shared
	table *table
}

// Wants reports whether Keep would keep something of this size with e: with it there is nothing yet, and
// there is room.
func (s *Sharer) Wants(e *Entry, size int64) bool { return sharingOf(e) == nil && s.fits(size) }

// fits reports whether there is room for some more bytes.
func (s *Sharer) fits(size int64) bool {
	free := s.limits.maxBytes - s.tally.bytes.Load() - s.room.wanted.Load()
	return s.limits.maxBytes <= 0 || size <= free
}

// Keep keeps what was decoded of the value of e, an entry of the store, as long as that value is held.
// The first one stays: Keep returns what e's value has for the owner from then on, if anything. With a
// limit of bytes it isn't kept if it would need more room than there is, or while a write takes room.
func (s *Sharer) Keep(e *Entry, with *Sharing) (decoded any, ok bool) {
	hash := s.hashOf(e)
	sh := s.table.of(hash)
	if sh == nil {
		return nil, false
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	held := sh.entries.find(hash, e.Key)
	switch {
	case held == nil || held.Val != e.Val:
		return nil, false // e is gone
	case held != e || sharingOf(e) != nil:
		return held.Shared(with.Owner)
	}
	if !s.room.tryClaim() {
		return nil, false
	}
	defer s.room.release()
	if !s.fits(with.Size) {
		return nil, false
	}
	decoded = with.Decoded
	sh.entries.replace(hash, e, with.copyOf(e))
	return decoded, true
}

// Holder returns the entry that has this value of a key, be it fresh, stale, or provisional; nil if
// none has. That is no use of it, and isn't counted.
func (s *Sharer) Holder(key, val string) *Entry {
	hash := s.hash.Of(key)
	sh := s.table.of(hash)
	if sh == nil {
		return nil
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, e := range [...]*Entry{sh.entries.find(hash, key), sh.twinOf(hash, key)} {
		if e != nil && e.kind == delta.KindValue && e.Val == val {
			return e
		}
	}
	return nil
}
