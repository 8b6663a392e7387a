package bcache

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	dialFirst    = 250 * time.Millisecond // after a failure; it doubles
	dialMost     = 3 * time.Second        // between dials of a configured address
	dialLearned  = 2 * time.Minute        // and of one that was learnt
	dialHeard    = 10 * time.Second       // and of one that others say is there
	dialSelf     = 30 * time.Second       // between dials of an address of our own
	dialSpread   = 25 * time.Millisecond  // between first dials, on average
	dialComplain = 5                      // failures in a row until people are told
	dialMax      = 2048                   // addresses that are dialled
	dialLearnt   = 512                    // learnt addresses that are dialled at a time: enough for maxMembers that are silent
)

var errMeshEnded = errors.New("the connection ended at once")

// dialTargets are the addresses to dial, and when the next dial of each is due: the configured ones
// for ever, the learnt ones until the book forgets them.
type dialTargets struct {
	self       uint64   // PeerID
	configured []string // Peers
	peers      *peerTable
	kick       chan struct{} // to the dialler: something is due

	mu         sync.Mutex // peerTable.mu comes after it
	byAddr     map[netip.AddrPort]*dialTarget
	unresolved map[string]*dialTrouble // names that couldn't be resolved
	learnt     int                     // dials of learnt addresses under way
}

// A dialTarget is an address to dial. It is under dialTargets.mu.
type dialTarget struct {
	name       string // as it was configured or learnt
	configured bool
	peer       uint64 // who was there; 0 is unknown
	busy       bool
	next       time.Time
	delay      time.Duration
	self       int // times that this node answered
	trouble    dialTrouble
	failed     time.Time // the last try
	fails      int       // in a row
}

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

// own reports whether the address is this node's. It is still dialled now and then: a
// balancer's leads elsewhere the next time. Once may be an accident: dialling a
// free port of one's own host, TCP may connect to itself (RFC 793, figure 8).
func (g *dialTarget) own() bool { return g.self >= 2 }

// after notes how a dial ended and when the next one may begin. It reports whether the
// dial has met a node that is connected.
func (g *dialTarget) after(err error, now time.Time) (met bool) {
	if err == nil || errors.Is(err, errMeshHave) {
		g.self = 0
		g.next = now.Add(max(dialFirst, g.delay)) // see lost
		return true
	}
	if err.Error() == meshSelf {
		g.self++
	}
	if g.trouble.note(err, now); g.own() {
		g.trouble.err = nil
	}
	g.fail(now)
	return false
}

// fail doubles the delay. The other side of a failed dial has the same one, so it varies.
func (g *dialTarget) fail(now time.Time) {
	most := dialLearned
	if g.configured {
		most = dialMost
	}
	g.delay = min(max(2*g.delay, dialFirst), most)
	wait := g.delay
	if g.own() {
		wait = max(wait, dialSelf)
	}
	g.failed = now
	g.next = now.Add(wait*4/5 + rand.N(wait/5))
}

func newDialTargets(self uint64, configured []string, peers *peerTable) *dialTargets {
	return &dialTargets{
		self: self, configured: configured, peers: peers,
		kick:       make(chan struct{}, 1),
		byAddr:     make(map[netip.AddrPort]*dialTarget),
		unresolved: make(map[string]*dialTrouble),
	}
}

func (d *dialTargets) wakeDialer() { notify(d.kick) }

// takeDue has dials start that are due, and returns how long to wait for the next.
func (d *dialTargets) takeDue(now time.Time, start func(addr netip.AddrPort, configured bool)) time.Duration {
	wait := dialMost
	full := d.peers.full()
	d.mu.Lock()
	defer d.mu.Unlock()
	for addr, g := range d.byAddr {
		if g.busy || full || g.peer != 0 && d.peers.connected(g.peer) {
			continue
		}
		if until := g.next.Sub(now); until > 0 {
			wait = min(wait, until)
			continue
		}
		if !g.configured {
			if d.learnt >= dialLearnt {
				continue // the end of another one kicks
			}
			d.learnt++
		}
		g.busy = true
		start(addr, g.configured)
	}
	return wait
}

// tried notes how a dial ended. configured is what it began as.
func (d *dialTargets) tried(addr netip.AddrPort, configured bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !configured {
		d.learnt--
	}
	if g := d.byAddr[addr]; g != nil {
		g.busy = false
		met := g.after(err, time.Now())
		if met {
			g.fails = 0
		} else if g.fails++; g.configured && !d.peers.connected(g.peer) {
			g.peer = 0 // who was there may turn up elsewhere, and somebody else here
		}
	}
	d.wakeDialer()
}

// failing returns who was learnt to be at an address, and by which name, if dials of it keep failing.
func (d *dialTargets) failing(addr netip.AddrPort) (peer uint64, name string, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g := d.byAddr[addr]
	if g == nil || g.configured || g.peer == 0 || g.fails < dialComplain {
		return 0, "", false
	}
	return g.peer, g.name, true
}

// heardOf has a node dialled again soon that others are connected with, however often it
// wasn't reached.
func (d *dialTargets) heardOf(peer uint64, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, g := range d.byAddr {
		if soon := g.failed.Add(dialHeard); g.peer == peer && g.next.After(soon) {
			g.next = soon
			d.wakeDialer()
		}
	}
}

// arrived reports whether the node of an address has connected by itself meanwhile.
func (d *dialTargets) arrived(addr netip.AddrPort) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	g := d.byAddr[addr]
	return g != nil && g.peer != 0 && d.peers.connected(g.peer)
}

// advertised notes that a node that is connected says to be at an address, or was met there.
func (d *dialTargets) advertised(addr string, peer uint64) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if g := d.byAddr[netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())]; g != nil {
		g.peer = peer
	}
}

// lost has a node dialled again whose connection ended. Both sides will; the one with the
// greater ID waits, so that they rarely dial at once. A connection that didn't live
// counts as a failure: the other side refuses this node, for a reason that it may have told.
func (d *dialTargets) lost(peer uint64, lived bool, refusal *string) {
	err := errMeshEnded
	if refusal != nil {
		err = errors.New("it refuses this node: " + *refusal)
	}
	wait := rand.N(50 * time.Millisecond)
	if d.self > peer {
		wait += 500 * time.Millisecond
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, g := range d.byAddr {
		switch {
		case g.peer != peer:
		case lived:
			g.delay, g.next = 0, time.Now().Add(wait)
			g.trouble.err = nil
		default:
			g.trouble.note(err, time.Now())
			g.fail(time.Now())
		}
	}
	d.wakeDialer()
}

// A dialName is why an address is dialled.
type dialName struct {
	configured bool
	peer       uint64
}

// aim sets the targets: what is known of the names, but for the addresses that are this node's own.
func (d *dialTargets) aim(
	named map[string]dialName, known map[string][]netip.AddrPort, own func(netip.AddrPort) bool,
) {
	throng := 0
	for addr := range named {
		throng += len(known[addr])
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	keep := make(map[netip.AddrPort]bool)
	for _, configured := range []bool{true, false} { // the configured ones have the room
		for addr, from := range named {
			if from.configured != configured {
				continue
			}
			for _, ap := range known[addr] {
				if own(ap) || len(keep) >= dialMax {
					continue
				}
				g := d.byAddr[ap]
				if g == nil {
					g = &dialTarget{next: d.firstDial(from, throng)}
					d.byAddr[ap] = g
				}
				if !keep[ap] {
					g.name, g.configured = addr, configured
				}
				keep[ap] = true
				if from.peer != 0 && (g.peer == 0 || !d.peers.connected(g.peer)) {
					g.peer = from.peer
				}
			}
		}
	}
	for ap, g := range d.byAddr {
		if !keep[ap] && !g.busy {
			delete(d.byAddr, ap)
		}
	}
	d.wakeDialer()
}

// firstDial is when a new address is dialled. Nodes that start together, or learn of each
// other, do so at the same time: the more there are, the more they spread their dials, so
// that one of two nodes is first.
func (d *dialTargets) firstDial(from dialName, throng int) time.Time {
	wait := rand.N(time.Duration(throng+1) * dialSpread)
	if !from.configured && from.peer < d.self {
		wait += time.Second
	}
	return time.Now().Add(wait)
}

// noteUnresolved notes which names couldn't be resolved, and forgets those that nobody
// asks for any more.
func (d *dialTargets) noteUnresolved(named map[string]dialName, names []string, errs []error, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name := range d.unresolved {
		if _, ok := named[name]; !ok {
			delete(d.unresolved, name)
		}
	}
	for i, name := range names {
		if errs[i] == nil {
			delete(d.unresolved, name)
			continue
		}
		if d.unresolved[name] == nil {
			d.unresolved[name] = &dialTrouble{}
		}
		d.unresolved[name].note(errs[i], now)
	}
}

// unreached lists what is tried in vain, see transport.
func (d *dialTargets) unreached(now time.Time) (fs []dialFailure) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for ap, g := range d.byAddr {
		if g.trouble.err != nil && !(g.peer != 0 && d.peers.connected(g.peer)) {
			fs = append(fs, dialFailure{g.name, ap, g.configured, g.trouble.err, now.Sub(g.trouble.since)})
		}
	}
	for name, trouble := range d.unresolved {
		configured := slices.Contains(d.configured, name)
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
