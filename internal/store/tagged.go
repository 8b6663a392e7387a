package store

import (
	"slices"
	"strings"

	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/keyhash"
)

// TagOverhead is what a tag counts for MaxBytes beside its own bytes: about what it takes to find the
// entries that have it.
const TagOverhead = 64

// A taggedEntry is an entry that has tags, in one piece with them. It has room for all that an entry may
// have, be it provisional or not.
type taggedEntry struct {
	provisionalEntry
	tags delta.Tags
	bits tagBits
}

// taggedDecoded is what is decoded of a value that has tags: a Sharing has no room for these.
type taggedDecoded struct {
	tags    delta.Tags
	bits    tagBits
	decoded any
}

// newTagged makes an entry of a record with tags.
func newTagged(rec *delta.Record, bucket int) *taggedEntry {
	t := &taggedEntry{tags: rec.Tags}
	t.bits.addAll(rec.Tags)
	t.tagged = true
	t.softTimes = softTimes{rec.StaleUntil, rec.RefreshFrom}
	t.fill(rec, bucket)
	t.traits |= provisionalTrait
	return t
}

// tagsCost is what tags count for MaxBytes.
func tagsCost(tags delta.Tags) int64 {
	if tags == "" { // as a rule
		return 0
	}
	return int64(len(tags) + tags.Len()*TagOverhead)
}

// taggedEntries finds the entries of a shard by their tags, by the hash of a tag: another one may have the
// same. The shard's lock guards it.
type taggedEntries struct {
	hash keyhash.Hash
	by   map[uint64][]*Entry // nil if there are none
}

// of returns the entries that may have a tag. It is only good until one is added or removed.
func (x *taggedEntries) of(tag string) []*Entry {
	if x.by == nil {
		return nil
	}
	return x.by[x.hash.Of(tag)]
}

// has reports whether there may be entries with the tag that a Clear selects.
func (x *taggedEntries) has(by clearEvent) bool {
	tag, ok := by.Tag()
	return ok && len(x.of(tag)) > 0
}

// upTo lists the records with tags whose stamps are no greater, each once. They may be removed meanwhile.
func (x *taggedEntries) upTo(stamp uint64) (list []*Entry) {
	seen := map[*Entry]bool{}
	for _, of := range x.by {
		for _, e := range of {
			if e.Stamp <= stamp && !e.isProvisional() && !seen[e] {
				seen[e] = true
				list = append(list, e)
			}
		}
	}
	slices.SortFunc(list, func(a, b *Entry) int { return strings.Compare(a.Key, b.Key) }) // maps have no order
	return list
}

func (x *taggedEntries) add(e *Entry) {
	for tag := range e.tags().All() {
		if x.by == nil {
			x.by = map[uint64][]*Entry{}
		}
		h := x.hash.Of(tag)
		x.by[h] = append(x.by[h], e)
	}
}

func (x *taggedEntries) remove(e *Entry) {
	for tag := range e.tags().All() {
		h := x.hash.Of(tag)
		list := x.by[h]
		i := slices.Index(list, e)
		last := len(list) - 1
		list[i], list[last] = list[last], nil
		switch {
		case last > 0:
			x.by[h] = list[:last]
		case len(x.by) > 1:
			delete(x.by, h)
		default:
			x.by = nil
		}
	}
}
