package memberlist

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache/internal/transport/engine"
)

// maxMembers is how many nodes memberlist may tell of: alive, or dead and not yet forgotten.
const maxMembers = 16 << 10

// A roster knows who is there: with whom there is a link, of whom memberlist tells, and who has gone.
// Nothing waits under its lock, which comes before a link's.
type roster struct {
	most int // links

	links atomic.Pointer[[]*link] // those of byID, to be read without the lock

	mu      sync.Mutex
	self    uint64               // the node's own PeerID
	closed  bool                 // no link comes any more
	byID    map[uint64]*link     // until its Left was called
	members map[string]*member   // by name
	buried  map[string]time.Time // when memberlist took a node for dead; it may remember it
	swept   time.Time            // buried, last
	gone    departures
	dropped uint64    // frames, by links that were forgotten
	added   time.Time // the last link
}

// A member is a life of a node that memberlist takes for alive.
type member struct {
	id, origin uint64
	addr       string
	since      time.Time // it is known, or its link has broken
	over       bool      // it has said that it closes, or another life of the node was met, or is this one
	met        bool      // there is a link with it, or was
	gone       bool      // memberlist doesn't take it for alive any more
}

func newRoster(most int) *roster {
	r := &roster{
		most: most, byID: make(map[uint64]*link), gone: make(departures),
		members: make(map[string]*member), buried: make(map[string]time.Time),
	}
	r.links.Store(new([]*link))
	return r
}

// own says which node this is.
func (r *roster) own(id uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.self = id
}

// link returns the one with a node, or nil.
func (r *roster) link(id uint64) *link {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byID[id]
}

func (r *roster) all() []*link { return *r.links.Load() }

// add registers a link in the place of old, which is ended, unless there is another one by now, or no room.
func (r *roster) add(l, old *link) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := l.peer.id
	now := r.byID[id]
	switch {
	case r.closed:
		return errClosing
	case now != old:
		return refusedHave
	case now == nil && len(r.byID) >= r.most:
		return refusedFull
	case now != nil:
		l.prev = now
		now.end(errReplaced)
		r.dropped += now.queue.Dropped()
	}
	r.byID[id], r.added = l, time.Now()
	r.publish()
	delete(r.gone, id)
	for _, m := range r.members {
		if m.id == id {
			m.met = m.origin == l.peer.origin
			m.over = m.over || !m.met
		}
	}
	return nil
}

// close has no link come any more, and returns those that there are.
func (r *roster) close() []*link {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	return r.all()
}

// quietSince is when the last link came.
func (r *roster) quietSince() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.added
}

// full reports whether there is no room for another link.
func (r *roster) full() bool { return len(r.all()) >= r.most }

// roomFor reports whether there is room for a link with a node.
func (r *roster) roomFor(id uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byID[id] != nil || len(r.byID) < r.most
}

// drop forgets a link that has ended.
func (r *roster) drop(l *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id, said := l.peer.id, l.closes()
	m := r.members[l.peer.name()]
	if m != nil && said {
		m.over = true
	}
	if r.byID[id] != l {
		return
	}
	delete(r.byID, id)
	r.dropped += l.queue.Dropped()
	r.publish()
	switch now := time.Now(); {
	case said:
	case m != nil: // others may still reach it
		m.since = now
	default:
		r.gone.note(id, departure{now, l.peer.origin, l.peer.addr})
	}
}

// publish has all see the links. r.mu is held.
func (r *roster) publish() {
	all := make([]*link, 0, len(r.byID))
	for _, l := range r.byID {
		all = append(all, l)
	}
	r.links.Store(&all)
}

// alive notes that memberlist takes a node for alive.
func (r *roster) alive(name string, meta meta) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.members[name]; m != nil {
		m.addr = meta.addr
		return
	}
	delete(r.buried, name)
	l := r.byID[meta.id]
	r.members[name] = &member{
		id: meta.id, origin: meta.origin, addr: meta.addr, since: time.Now(),
		over: meta.id == r.self || l != nil && l.peer.origin != meta.origin,
		met:  l != nil,
	}
}

// room reports whether memberlist has room for a node, or knows it. It looks for dead ones to forget each time
// that it has asked all others, one in each probeInterval.
func (r *roster) room(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, dead := r.buried[name]; dead || r.members[name] != nil {
		return true
	}
	full := func() bool { return len(r.members)+len(r.buried) >= maxMembers }
	if now := time.Now(); full() && now.Sub(r.swept) >= probeInterval {
		r.swept = now
		kept := deadTime + time.Duration(len(r.members)+2)*probeInterval
		maps.DeleteFunc(r.buried, func(_ string, at time.Time) bool { return now.Sub(at) > kept })
	}
	return !full()
}

// awaited reports whether a node that memberlist takes for alive is so new that the link is yet to come.
func (r *roster) awaited(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.members[name]
	return m != nil && !m.met && !m.over && time.Since(m.since) < dialLast
}

// dead notes that memberlist takes a node for dead.
func (r *roster) dead(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.members[name]
	if m == nil {
		return
	}
	delete(r.members, name)
	r.buried[name] = time.Now()
	if !m.over && r.byID[m.id] == nil {
		r.gone.note(m.id, departure{m.since, m.origin, m.addr})
	}
}

// unlinked lists the nodes with whom there is no link, and should be.
func (r *roster) unlinked() (all []member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, d := range r.gone {
		if time.Since(d.at) < triedFor && r.members[nodeName(id, d.origin)] == nil {
			all = append(all, member{id: id, origin: d.origin, addr: d.addr, gone: true})
		}
	}
	for _, m := range r.members {
		if !m.over && r.byID[m.id] == nil {
			all = append(all, *m)
		}
	}
	return all
}

// addrs lists the addresses of those that are there.
func (r *roster) addrs() map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[string]bool)
	for _, l := range r.byID {
		all[l.peer.addr] = true
	}
	for _, m := range r.members {
		if !m.over {
			all[m.addr] = true
		}
	}
	return all
}

// departures are the nodes that have gone without a goodbye, by PeerID.
type departures map[uint64]departure

type departure struct {
	at     time.Time
	origin uint64
	addr   string
}

// triedFor is for how long a node that has gone is dialled, also if memberlist doesn't know it.
const triedFor = 30 * time.Second

// note notes that a node has gone.
func (d departures) note(id uint64, one departure) {
	d[id] = one
	engine.KeepLast(d, func(o departure) time.Time { return o.at })
}
