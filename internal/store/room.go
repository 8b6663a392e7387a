package store

import (
	"sync"
	"sync/atomic"
)

// A room is the room for bytes. A writer has it from before its first look whether its record fits until
// the record is counted: what it evicts others for, nobody else may take. Writers are serialised anyway,
// and lock shards meanwhile. So who has locked a shard only tries to get the room. Where bytes aren't
// limited it costs nothing.
//
// For a large record a writer evicts in steps before that, between which others may write. Until the next
// writer has the room, wanted is what the last one of them needs: sharing leaves that much free.
type room struct {
	limited bool
	writing sync.Mutex
	wanted  atomic.Int64
}

// claim is for writers, tryClaim for those who share. Either ends with release.
func (r *room) claim() {
	if r.limited {
		r.writing.Lock()
		r.wanted.Store(0)
	}
}

func (r *room) tryClaim() bool { return !r.limited || r.writing.TryLock() }

func (r *room) release() {
	if r.limited {
		r.writing.Unlock()
	}
}
