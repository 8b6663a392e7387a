package meshnet

import (
	"slices"
	"sync"
	"time"
)

const meshForget = 2 * time.Hour // an address that nobody has named for so long

// A book knows where other nodes are: from their handshakes, and from what
// peers tell of theirs. It holds at most maxMembers addresses.
type book struct {
	mu   sync.Mutex
	byID map[uint64]bookEntry
}

type bookEntry struct {
	origin uint64
	addr   string
	heard  time.Time
	here   bool // connected
	gone   bool // it has said that it closes: what others tell of that life is out of date
}

func newMeshBook() *book { return &book{byID: make(map[uint64]bookEntry)} }

// learn notes where a node is. addr may be "".
func (b *book) learn(id, origin uint64, addr string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.put(id, origin, addr, now)
}

// put is learn for who holds the lock.
func (b *book) put(id, origin uint64, addr string, now time.Time) {
	if _, ok := b.byID[id]; !ok && len(b.byID) >= maxMembers {
		var oldest uint64 // 0 if all are connected, which MaxConns bounds
		for other, e := range b.byID {
			if o, ok := b.byID[oldest]; !e.here && (!ok || e.heard.Before(o.heard)) {
				oldest = other
			}
		}
		delete(b.byID, oldest)
	}
	b.byID[id] = bookEntry{origin: origin, addr: addr, heard: now}
}

// hear notes where a peer says that another node is.
func (b *book) hear(id, origin uint64, addr string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.byID[id]; !e.gone || e.origin != origin {
		b.put(id, origin, addr, now)
	}
}

// forget drops the address of a node that closed, unless another life of it is known by now.
func (b *book) forget(id, origin uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e, ok := b.byID[id]; ok && e.origin == origin {
		b.byID[id] = bookEntry{origin: origin, heard: e.heard, gone: true}
	}
}

// touch notes which nodes are connected now. What peers tell of others doesn't drive these out, and
// they don't grow old while they are connected.
func (b *book) touch(ids []uint64, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, e := range b.byID {
		if e.here = slices.Contains(ids, id); e.here {
			e.heard = now
		}
		b.byID[id] = e
	}
}

// dialable returns the addresses to dial, by PeerID, and forgets old ones.
func (b *book) dialable(now time.Time) map[uint64]bookEntry {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make(map[uint64]bookEntry, len(b.byID))
	for id, e := range b.byID {
		switch {
		case now.Sub(e.heard) > meshForget:
			delete(b.byID, id)
		case e.addr != "":
			all[id] = e
		}
	}
	return all
}

// entries returns what is to be told to a peer about some nodes. An address of the
// loopback interface means something else on another host, so it isn't told to
// a peer that is reached by another one.
func (b *book) entries(ids []uint64, to uint64) (es []memberEntry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	local := isLoopback(b.byID[to].addr)
	for _, id := range ids {
		e := b.byID[id]
		if id != to && e.addr != "" && (local || !isLoopback(e.addr)) {
			es = append(es, memberEntry{id, e.origin, e.addr})
		}
	}
	return es
}

func (b *book) addrOf(id uint64) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.byID[id].addr
}

func (b *book) originOf(id uint64) (uint64, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.byID[id]
	return e.origin, ok && !e.gone
}
