package bcache

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// Unreached implements transport.
func (t *meshTransport) Unreached() []dialFailure { return t.dials.unreached(time.Now()) }

// A dialTrouble is how the tries to reach an address fail, since the last one that didn't.
type dialTrouble struct {
	err   error // of the last try; nil if there is no trouble
	since time.Time
}

func (t *dialTrouble) note(err error, now time.Time) {
	if t.err == nil {
		t.since = now
	}
	t.err = err
}

func (d *meshDialer) unreached(now time.Time) (fs []dialFailure) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for ap, g := range d.targets {
		if g.trouble.err != nil && !(g.peer != 0 && d.t.connected(g.peer)) {
			fs = append(fs, dialFailure{g.name, ap, g.configured, g.trouble.err, now.Sub(g.trouble.since)})
		}
	}
	for name, trouble := range d.unresolved {
		configured := slices.Contains(d.t.cfg.Peers, name)
		fs = append(fs, dialFailure{name, netip.AddrPort{}, configured, trouble.err, now.Sub(trouble.since)})
	}
	slices.SortFunc(fs, func(a, b dialFailure) int {
		switch {
		case a.configured && !b.configured:
			return -1
		case b.configured && !a.configured:
			return 1
		}
		return cmp.Or(cmp.Compare(a.addr, b.addr), a.ip.Compare(b.ip))
	})
	return fs
}
