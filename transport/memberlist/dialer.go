package memberlist

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/transport"
)

const (
	// So many are dialled at once: the more, the faster they answer. If a whole cluster starts on a machine
	// that has much else to do, many handshakes at once would all take too long.
	minHands  = 2
	someHands = 4 // to begin with
	maxHands  = 16
	dialSlow  = time.Second // to answer in

	// The node with the smaller ID dials, and the other one once no link has come for so long, or waits no
	// longer.
	dialFirst = 2 * time.Second
	dialLast  = 10 * time.Second

	roundPause = 20 * time.Millisecond // between two looks at all members

	dialShort = time.Second // a link that lasts for less may be one that can't

	dialAgain = 50 * time.Millisecond // after the first failure; it doubles
	dialMost  = 5 * time.Second

	// How long a member is dialled in vain until an operator is told. One that was met may have died:
	// memberlist is given time to notice.
	tellNew = 5 * time.Second
	tellMet = 30 * time.Second
)

// A dialer connects to the members with whom there is no link. Of two nodes the one with the smaller ID
// does, unless it takes long.
type dialer struct {
	node   *transport.Node
	life   *life
	roster *roster
	dial   func(member) error
	poked  chan struct{}

	mu    sync.Mutex
	tries map[[2]uint64]*try // by PeerID and life
	spots spots
	hands int
	busy  [2]int // first tries, and others: those who don't answer keep nobody from being tried
}

// A try is what is known of a member's address.
type try struct {
	next     time.Time
	last     time.Time // until then the other node may dial, if it has the smaller ID
	failures int
	since    time.Time // the first failure in a row
	addr     string
	err      error
	busy     bool
}

// poke has it look again.
func (d *dialer) poke() {
	select {
	case d.poked <- struct{}{}:
	default:
	}
}

// over takes note of a link that has ended. If it didn't last, the next one can wait.
func (d *dialer) over(l *link) {
	if time.Since(l.since) < dialShort {
		d.mu.Lock()
		name := [2]uint64{l.peer.id, l.peer.origin}
		if d.tries[name] == nil {
			d.tries[name] = &try{next: time.Now().Add(dialShort)}
		}
		d.mu.Unlock()
	}
	d.poke()
}

func (d *dialer) loop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-d.poked:
		case <-d.life.open.Done():
			return
		}
		wait, crowded := d.round(time.Now())
		if timer.Reset(wait); len(crowded) > 0 {
			one := crowded[0]
			d.node.Log.Errorf(0, "MaxConns is reached: there is no connection with node %x (%s), one of %d",
				linelog.Field("peer", one.id), linelog.Field("addr", one.addr), len(crowded))
		}
		d.life.pause(roundPause)
	}
}

// round begins what is due, and returns for how long nothing is, and for which members there is no room.
func (d *dialer) round(now time.Time) (_ time.Duration, crowded []member) {
	open := d.roster.unlinked()
	full := d.roster.full()
	quiet := d.roster.quietSince().Add(dialFirst)
	d.mu.Lock()
	defer d.mu.Unlock()
	wanted := make(map[[2]uint64]bool, len(open))
	addrs := make(map[string]bool)
	wait := time.Minute
	for _, m := range open {
		name := [2]uint64{m.id, m.origin}
		wanted[name], addrs[m.addr] = true, true
		t := d.tries[name]
		if t == nil {
			t = &try{next: now}
			if d.node.PeerID > m.id {
				t.next = now.Add(dialFirst + rand.N(dialFirst/4))
				t.last = now.Add(dialLast)
			}
			d.tries[name] = t
			d.spots.renew(m.addr, now)
		}
		if t.last.After(now) && quiet.After(t.next) {
			t.next = quiet.Add(rand.N(dialFirst / 4)) // the other one may be busy with others
		}
		closed, busy := d.spots.closed(m.addr, now)
		switch left := max(t.next.Sub(now), closed); {
		case t.busy || busy:
		case left > 0:
			wait = min(wait, left)
		case d.busy[t.lane()] < d.hands && !full:
			d.begin(t, m)
		case full:
			wait = min(wait, dialMost)
			t.failed(m.addr, refusedFull, now)
			crowded = append(crowded, m)
		} // otherwise the end of another one wakes the loop
	}
	maps.DeleteFunc(d.spots, func(addr string, p *spot) bool { return !addrs[addr] && !p.busy })
	maps.DeleteFunc(d.tries, func(name [2]uint64, t *try) bool { return !wanted[name] && !t.busy })
	return wait, crowded
}

// begin dials a member. d.mu is held.
func (d *dialer) begin(t *try, m member) {
	t.busy = true
	d.spots.begin(m.addr)
	d.busy[t.lane()]++
	began := time.Now()
	if !d.life.spawn(func() {
		err := d.dial(m)
		d.end(t, m, time.Since(began), err)
	}) {
		d.busy[t.lane()]--
	}
}

func (d *dialer) end(t *try, m member, took time.Duration, err error) {
	d.mu.Lock()
	t.busy = false
	d.busy[t.lane()]--
	now := time.Now()
	d.spots.end(m.addr, err, now)
	switch {
	case err != nil:
	case took < dialSlow:
		d.hands = min(d.hands+1, maxHands)
	default:
		d.hands = max(d.hands/2, minHands)
	}
	if err == nil {
		*t = try{next: now.Add(dialAgain)}
	} else {
		t.failed(m.addr, err, now)
		t.next = now.Add(backoff(t.failures))
		t.failures++
	}
	lasting := now.Sub(t.since)
	d.mu.Unlock()
	if err != nil && mayTell(m, err, lasting) && d.life.open.Err() == nil {
		d.node.Log.Errorf(m.id, "node %x can't be reached at %s, which it advertises: %v; "+
			"is its AdvertiseAddr right?",
			linelog.Field("peer", m.id), linelog.Field("addr", m.addr), linelog.Field("err", err))
	}
	d.poke()
}

// lane says among which a try counts. It changes only while it isn't busy.
func (t *try) lane() int { return min(t.failures, 1) }

// failed notes why there is no connection.
func (t *try) failed(addr string, err error, now time.Time) {
	if t.addr, t.err = addr, err; t.since.IsZero() {
		t.since = now
	}
}

// mayTell reports whether it is for an operator that a member can't be reached: it lives, and its address seems
// to be wrong. Refusals are logged by themselves.
func mayTell(m member, err error, lasting time.Duration) bool {
	limit := tellNew
	if m.met {
		limit = tellMet
	}
	return !m.gone && lasting >= limit && (!isAnyRefusal(err) || isRefusal(err, refusedSelf))
}

// unreached lists the addresses that are tried in vain.
func (d *dialer) unreached(now time.Time) (all []transport.DialFailure) {
	open := make(map[[2]uint64]bool)
	for _, m := range d.roster.unlinked() {
		open[[2]uint64{m.id, m.origin}] = true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, t := range d.tries {
		if t.err != nil && open[name] && !isRefusal(t.err, refusedHave) {
			all = append(all, transport.DialFailure{Addr: t.addr, Err: t.err, Lasting: now.Sub(t.since)})
		}
	}
	slices.SortFunc(all, func(a, b transport.DialFailure) int { return cmp.Compare(a.Addr, b.Addr) })
	return all
}
