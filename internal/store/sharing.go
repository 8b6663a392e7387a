package store

import (
	"unsafe"
)

// What a Typed has decoded is kept beside the value that it decoded, so that the next hit needn't. It is
// a part of the entry and goes with it, by whatever door. Entries don't change, so to keep it is to put
// a copy of the entry in the entry's place. That is neither a write nor a use: the copy has the same
// version and the same place in its queue, and nobody is told.

// An Owner decodes values. Each gets what it has decoded itself, and nothing else.
type Owner struct{ _ byte } // which gives each an address of its own

// A Sharing is an entry with what its owner has decoded. It has room for all that an entry may have, be
// it provisional or not. Whoever makes one sets the fields that are exported, and may have it in one
// piece with what is decoded: then a reader fetches memory once.
type Sharing struct {
	provisionalEntry
	Owner   *Owner
	Decoded any
	Size    int64 // what that counts for MaxBytes; 0 or more
}

// copyOf makes s a copy of an entry, with what is decoded, and returns that.
func (s *Sharing) copyOf(e *Entry) *Entry {
	if e.isProvisional() {
		of := e.ofProvisional()
		s.kept, s.beside, s.is, s.clears = of.kept, of.beside, true, of.clears
		s.clearsHigh = of.clearsHigh
	}
	if tags := e.tags(); tags != "" {
		s.tagged, s.Decoded = true, &taggedDecoded{tags, *e.tagBits(), s.Decoded}
	}
	s.softTimes = e.soft()
	s.Key, s.Val, s.Version, s.deadline = e.Key, e.Val, e.Version, e.deadline
	s.kind, s.mark = e.kind, e.mark
	s.traits = sharingTrait | uint16(e.bucket())
	return &s.Entry
}

// sharingOf returns what an entry is a part of, or nil if nothing decoded is kept with it.
func sharingOf(e *Entry) *Sharing {
	if e.traits < sharingTrait || e.traits >= provisionalTrait {
		return nil
	}
	return (*Sharing)(unsafe.Pointer(e)) // see copyOf
}
