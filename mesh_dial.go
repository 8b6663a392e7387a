package bcache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/weaveworks/mesh"
)

const (
	dialFirst    = 250 * time.Millisecond // after a failure; it doubles
	dialMost     = 3 * time.Second        // between dials of a configured address
	dialLearned  = 2 * time.Minute        // and of one that was learnt
	dialHeard    = 10 * time.Second       // and of one that others say is there
	dialSelf     = 30 * time.Second       // between dials of an address of our own
	dialConnect  = 2 * time.Second        // a connection takes at most
	dialSpread   = 25 * time.Millisecond  // between first dials, on average
	dialAnswer   = 10 * time.Second       // mesh delays what it accepts when strangers throng
	dialComplain = 5                      // failures in a row until people are told
	dialHands    = 8                      // dials that mesh does at a time
	dialRound    = 3 * time.Second        // names are resolved again
	dialLookup   = 2 * time.Second
	dialNames    = 64   // learnt names that are resolved in a round
	dialTargets  = 2048 // addresses that are dialled
	dialLearnt   = 512  // learnt addresses that are dialled at a time: enough for maxMembers that are silent
)

var (
	errNotBcache  = errors.New("what answers isn't a bcache node")
	errMeshSilent = errors.New("what accepts the connection says nothing")
	errMeshEnded  = errors.New("the connection ended at once")
)

// A meshDialer dials the configured addresses for ever and the learnt ones until the
// book forgets them. Every dial is decided here: mesh's own retries grow to six
// minutes, and it dials without a timeout, so that it is only given addresses that have
// just answered, and is told to forget them when it has tried.
type meshDialer struct {
	t    *meshTransport
	kick chan struct{} // to loop: something is due
	look chan struct{} // to resolveLoop: something was learnt

	checked bool // resolveLoop's: the own address was compared with those of Peers

	hands chan struct{} // holds one for each dial of mesh's that is under way

	mu         sync.Mutex
	targets    map[netip.AddrPort]*dialTarget
	unresolved map[string]*dialTrouble // names that couldn't be resolved
	attempts   map[string]*dialAttempt // what mesh dials, by address
	learnt     int                     // dials of learnt addresses under way
}

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

type dialAttempt struct {
	started time.Time // by the clock that handshakes compare
	done    chan error
}

func (d *meshDialer) init(t *meshTransport) {
	d.t = t
	d.kick, d.look = make(chan struct{}, 1), make(chan struct{}, 1)
	d.hands = make(chan struct{}, dialHands)
	d.targets = make(map[netip.AddrPort]*dialTarget)
	d.unresolved = make(map[string]*dialTrouble)
	d.attempts = make(map[string]*dialAttempt)
}

// loop dials what is due.
func (d *meshDialer) loop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-d.kick:
		case <-d.t.scope.ctx.Done():
			return
		}
		timer.Reset(d.dialDue(time.Now()))
	}
}

// dialDue starts what is due and returns how long to wait for the next.
func (d *meshDialer) dialDue(now time.Time) time.Duration {
	wait := dialMost
	full := d.t.cfg.MaxConns > 0 && d.t.numConns() >= d.t.cfg.MaxConns
	d.mu.Lock()
	defer d.mu.Unlock()
	for addr, g := range d.targets {
		if g.busy || full || g.peer != 0 && d.t.connected(g.peer) {
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
		configured := g.configured
		d.t.scope.spawn(func() { d.dial(addr, configured) })
	}
	return wait
}

// own reports whether the address is this node's. It is still dialled now and then: a
// balancer's leads elsewhere the next time. Once may be an accident: dialling a
// free port of one's own host, TCP may connect to itself (RFC 793, figure 8).
func (g *dialTarget) own() bool { return g.self >= 2 }

// dial tries one address once.
func (d *meshDialer) dial(addr netip.AddrPort, configured bool) {
	err := d.probe(addr)
	if err == nil {
		err = d.hand(addr)
	}
	d.tried(addr, configured, err)
	d.complain(addr, err)
	if errors.Is(err, errNotBcache) {
		d.t.log.Errorf(0, "can't connect to %s: %v", addr, err)
	} else if err != nil {
		d.t.log.Debugf(0, "can't connect to %s: %v", addr, err)
	}
}

// complain tells people on both sides of a node that lives, since others relay to it, but that
// can't be dialled where it says to be.
func (d *meshDialer) complain(addr netip.AddrPort, err error) {
	d.mu.Lock()
	g := d.targets[addr]
	if err == nil || errors.Is(err, errMeshHave) || g == nil || g.configured || g.peer == 0 || g.fails < dialComplain {
		d.mu.Unlock()
		return
	}
	peer, name := g.peer, g.name
	d.mu.Unlock()
	if !d.t.relays(peer) || d.t.scope.ctx.Err() != nil {
		return
	}
	d.t.log.Errorf(peer, "node %x can't be reached at %s, which it advertises, only through others: %v; "+
		"is its AdvertiseAddr right?", peer, name, err)
	_ = d.t.send(peer, lineItem{kind: itemMember, bytes: encodeNoWay(name, err.Error())}, laneFirst)
}

func (d *meshDialer) tried(addr netip.AddrPort, configured bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !configured {
		d.learnt--
	}
	if g := d.targets[addr]; g != nil {
		g.busy = false
		met := g.after(err, time.Now())
		if met {
			g.fails = 0
		} else if g.fails++; g.configured && !d.t.connected(g.peer) {
			g.peer = 0 // who was there may turn up elsewhere, and somebody else here
		}
	}
	d.wakeLoop()
}

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

// probe connects and waits for the header that every mesh node sends first. Unlike
// mesh's own dial it has timeouts and ends with Close.
func (d *meshDialer) probe(addr netip.AddrPort) error {
	dialer := net.Dialer{Timeout: dialConnect, LocalAddr: localOf(d.t.Addr())} // as mesh does
	conn, err := dialer.DialContext(d.t.scope.ctx, "tcp", addr.String())
	if err != nil {
		return bareError(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetLinger(0)
	stop := context.AfterFunc(d.t.scope.ctx, func() { conn.Close() })
	defer stop()
	if err := conn.SetReadDeadline(time.Now().Add(dialAnswer)); err != nil {
		return err
	}
	header := make([]byte, len(mesh.Protocol))
	if _, err := io.ReadFull(conn, header); err != nil {
		return fmt.Errorf("%w: %w", errMeshSilent, bareError(err))
	}
	if string(header) != mesh.Protocol {
		return errNotBcache
	}
	return nil
}

// heardOf has a node dialled again soon that others are connected with, however often it
// wasn't reached.
func (d *meshDialer) heardOf(peer uint64, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, g := range d.targets {
		if soon := g.failed.Add(dialHeard); g.peer == peer && g.next.After(soon) {
			g.next = soon
			d.wakeLoop()
		}
	}
}

// bareText is an error of mesh's, for people.
func bareText(cause any) string {
	if err, ok := cause.(error); ok {
		cause = bareError(err)
	}
	return printable(fmt.Append(nil, cause))
}

// bareError returns an error of the network without the addresses, which the caller names.
func bareError(err error) error {
	if e := (*net.OpError)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

// arrived reports whether the node of an address has connected by itself meanwhile.
func (d *meshDialer) arrived(addr netip.AddrPort) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	g := d.targets[addr]
	return g != nil && g.peer != 0 && d.t.connected(g.peer)
}

// underWay returns the addresses that mesh dials now.
func (d *meshDialer) underWay() (aps []netip.AddrPort) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for addr := range d.attempts {
		if ap, err := netip.ParseAddrPort(addr); err == nil {
			aps = append(aps, ap)
		}
	}
	return aps
}

// hand has mesh dial an address once, and waits for how it ends. Handshakes cost time of the
// processor: many at once would take each other's, until all take too long.
func (d *meshDialer) hand(addr netip.AddrPort) error {
	select {
	case d.hands <- struct{}{}:
		defer func() { <-d.hands }()
	case <-d.t.scope.ctx.Done():
		return errMeshClosing
	}
	if d.arrived(addr) {
		return errMeshHave
	}
	run, key := d.t.run.Load(), addr.String()
	a := &dialAttempt{started: d.t.cfg.Now(), done: make(chan error, 1)}
	d.mu.Lock()
	d.attempts[key] = a
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		delete(d.attempts, key)
		d.mu.Unlock()
		run.router.ConnectionMaker.ForgetConnections([]string{key})
	}()

	if addr.Addr().Is4() {
		if errs := run.router.ConnectionMaker.InitiateConnections([]string{key}, false); len(errs) > 0 {
			return errs[0]
		}
	} else if run.guts == nil {
		return errMeshLayout
	} else if err := run.guts.dial(d.t.scope.ctx, key, net.TCPAddrFromAddrPort(addr)); err != nil {
		return err
	}
	timeout := time.NewTimer(dialConnect + dialAnswer)
	defer timeout.Stop()
	select {
	case err := <-a.done:
		return err
	case <-timeout.C:
		return context.DeadlineExceeded
	case <-d.t.scope.ctx.Done():
		return errMeshClosing
	}
}

// began returns when the dial of an address began, or now if it is unknown.
func (d *meshDialer) began(addr string, now time.Time) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if a := d.attempts[addr]; a != nil {
		return a.started
	}
	return now.Add(-dialConnect - dialAnswer)
}

// met notes who is at an address that mesh dialled.
func (d *meshDialer) met(addr string, peer uint64, err error) {
	if ap, perr := netip.ParseAddrPort(addr); perr == nil && (err == nil || errors.Is(err, errMeshHave)) {
		d.at(ap, peer)
	}
	d.ended(addr, err)
}

// advertised notes that a node that is connected says to be at an address.
func (d *meshDialer) advertised(addr string, peer uint64) {
	if ap, err := netip.ParseAddrPort(addr); err == nil {
		d.at(ap, peer)
	}
}

func (d *meshDialer) at(addr netip.AddrPort, peer uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if g := d.targets[netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())]; g != nil {
		g.peer = peer
	}
}

// ended tells how mesh's dial of an address went. It reports whether there was one.
func (d *meshDialer) ended(addr string, err error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.attempts[addr]
	if a == nil {
		return false
	}
	select {
	case a.done <- err:
	default:
	}
	return true
}

// lost has a node dialled again whose connection ended. Both sides will; the one with the
// greater ID waits, so that they rarely dial at once. A connection that didn't live
// counts as a failure: the other side refuses this node, for a reason that it may have told.
func (d *meshDialer) lost(peer uint64, lived bool, refusal *string) {
	err := errMeshEnded
	if refusal != nil {
		err = errors.New("it refuses this node: " + *refusal)
	}
	wait := rand.N(50 * time.Millisecond)
	if d.t.cfg.PeerID > peer {
		wait += 500 * time.Millisecond
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, g := range d.targets {
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
	d.wakeLoop()
}

func (d *meshDialer) wakeLoop()   { notify(d.kick) }
func (d *meshDialer) resolveNow() { notify(d.look) }
