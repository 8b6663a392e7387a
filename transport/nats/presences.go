package nats

import (
	"cmp"
	"slices"
	"time"

	"github.com/iwanbk/bcache/transport"
)

// members lists the nodes that are joined, by ID.
func (t *roster) members(encrypted bool) (ms []transport.Member) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, p := range t.byID {
		if p.joined && p.told {
			ms = append(ms, transport.Member{
				ID: id, Addr: p.card.name, Since: p.since, Direct: true,
				Encrypted: encrypted && p.card.encrypted,
			})
		}
	}
	slices.SortFunc(ms, func(a, b transport.Member) int { return cmp.Compare(a.ID, b.ID) })
	return ms
}

// everybody lists the nodes that are joined, and those that are gone without a goodbye for less than
// within, by ID.
func (t *roster) everybody(now time.Time, within time.Duration) (all []transport.Presence) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, p := range t.byID {
		if p.joined {
			all = append(all, transport.Presence{
				ID: id, Addr: p.card.name, Origin: p.life.origin, Since: p.since,
			})
		}
	}
	for id, d := range t.gone {
		if now.Sub(d.at) < within {
			all = append(all, transport.Presence{ID: id, Addr: d.name, Since: d.at, Gone: true})
		}
	}
	slices.SortFunc(all, func(a, b transport.Presence) int { return cmp.Compare(a.ID, b.ID) })
	return all
}
