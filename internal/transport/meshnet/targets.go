package meshnet

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/iwanbk/bcache/internal/signal"
	"github.com/iwanbk/bcache/transport"
)

const (
	dialHeard    = 10 * time.Second      // between dials of an address that others say is there
	dialSpread   = 25 * time.Millisecond // between first dials, on average
	dialComplain = 5                     // failures in a row until people are told
	dialMax      = 2048                  // addresses that are dialled

	// dialLearnt is how many learnt addresses are dialled at a time: enough for maxMembers that are
	// silent.
	dialLearnt = 512
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

func newDialTargets(self uint64, configured []string, peers *peerTable) *dialTargets {
	return &dialTargets{
		self: self, configured: configured, peers: peers,
		kick:       make(chan struct{}, 1),
		byAddr:     make(map[netip.AddrPort]*dialTarget),
		unresolved: make(map[string]*dialTrouble),
	}
}

func (d *dialTargets) wakeDialer() { signal.Notify(d.kick) }

// A dueDial is a dial that is to begin now.
type dueDial struct {
	addr       netip.AddrPort
	configured bool
}

// takeDue returns the dials that are due, and how long to wait for the next.
func (d *dialTargets) takeDue(now time.Time) (due []dueDial, wait time.Duration) {
	wait = dialMost
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
		due = append(due, dueDial{addr, g.configured})
	}
	return due, wait
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
			g.peer = 0 // the node that was there may turn up elsewhere, and another one here
		}
	}
	d.wakeDialer()
}

// failing returns which node an address was learnt from, and how it was written, if its dials keep
// failing.
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
func (d *dialTargets) heardOf(peer uint64) {
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
func (d *dialTargets) noteUnresolved(
	named map[string]dialName, names []string, errs []error, now time.Time,
) {
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
func (d *dialTargets) unreached(now time.Time) (fs []transport.DialFailure) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for ap, g := range d.byAddr {
		if g.trouble.err != nil && !(g.peer != 0 && d.peers.connected(g.peer)) {
			lasting := now.Sub(g.trouble.since)
			fs = append(fs, transport.DialFailure{
				Addr: g.name, IP: ap, Configured: g.configured, Err: g.trouble.err, Lasting: lasting,
			})
		}
	}
	for name, trouble := range d.unresolved {
		configured, lasting := slices.Contains(d.configured, name), now.Sub(trouble.since)
		fs = append(fs, transport.DialFailure{
			Addr: name, Configured: configured, Err: trouble.err, Lasting: lasting,
		})
	}
	slices.SortFunc(fs, func(a, b transport.DialFailure) int {
		switch {
		case a.Configured && !b.Configured:
			return -1
		case b.Configured && !a.Configured:
			return 1
		}
		return cmp.Or(cmp.Compare(a.Addr, b.Addr), a.IP.Compare(b.IP))
	})
	return fs
}
