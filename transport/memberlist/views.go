package memberlist

import (
	"cmp"
	"slices"
	"time"

	"github.com/iwanbk/bcache/transport"
)

// listed lists the nodes with whom there is a link, sorted by ID.
func (r *roster) listed() (all []transport.Member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, l := range r.byID {
		if l.told.Load() { // before, the handler may not send it what is written
			all = append(all, transport.Member{
				ID: id, Addr: l.peer.addr, Since: l.since,
				Direct: true, Inbound: !l.outbound, Encrypted: l.encrypted(),
			})
		}
	}
	slices.SortFunc(all, func(a, b transport.Member) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// everybody lists the nodes that are there, also those without a link, as others may reach them, and those
// that have gone for less than within, sorted by ID.
func (r *roster) everybody(within time.Duration) (all []transport.Presence) {
	r.mu.Lock()
	defer r.mu.Unlock()
	met := make(map[uint64]bool)
	add := func(p transport.Presence) {
		if !met[p.ID] {
			met[p.ID] = true
			all = append(all, p)
		}
	}
	for id, l := range r.byID {
		add(transport.Presence{ID: id, Addr: l.peer.addr, Origin: l.peer.origin, Since: l.since})
	}
	for _, m := range r.members {
		if !m.over {
			add(transport.Presence{ID: m.id, Addr: m.addr, Since: m.since})
		}
	}
	for id, d := range r.gone {
		if time.Since(d.at) < within {
			add(transport.Presence{ID: id, Addr: d.addr, Since: d.at, Gone: true})
		}
	}
	slices.SortFunc(all, func(a, b transport.Presence) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// droppedFrames is how many frames the links have dropped.
func (r *roster) droppedFrames() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.dropped
	for _, l := range r.byID {
		n += l.queue.Dropped()
	}
	return n
}
