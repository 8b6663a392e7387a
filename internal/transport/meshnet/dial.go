package meshnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/weaveworks/mesh"
)

const (
	dialConnect = 2 * time.Second  // a connection takes at most
	dialAnswer  = 10 * time.Second // mesh delays what it accepts when strangers throng
	dialHands   = 8                // dials that mesh does at a time
)

var (
	errNotBcache  = errors.New("what answers isn't a bcache node")
	errMeshSilent = errors.New("what accepts the connection says nothing")
)

// A dialer dials its targets. Every dial is decided here: mesh's own retries grow to six
// minutes, and it dials without a timeout, so that it is only given addresses that have
// just answered, and is told to forget them when it has tried.
type dialer struct {
	scope   *scope
	now     func() time.Time // the clock that handshakes compare
	router  *router
	peers   *peerTable
	targets *dialTargets
	sender  *sender

	hands chan struct{} // holds one for each dial of mesh's that is under way

	mu       sync.Mutex              // nothing else is locked under it
	attempts map[string]*dialAttempt // what mesh dials, by address
}

type dialAttempt struct {
	started time.Time // by the clock that handshakes compare
	done    chan error
}

// loop dials what is due.
func (d *dialer) loop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-d.targets.kick:
		case <-d.scope.Open.Done():
			return
		}
		due, wait := d.targets.takeDue(time.Now())
		for _, one := range due {
			d.scope.spawn(func() { d.dial(one.addr, one.configured) })
		}
		timer.Reset(wait)
	}
}

// dial tries one address once.
func (d *dialer) dial(addr netip.AddrPort, configured bool) {
	err := d.probe(addr)
	if err == nil {
		err = d.hand(addr)
	}
	d.targets.tried(addr, configured, err)
	d.complain(addr, err)
	at, why := linelog.Field("addr", addr), linelog.Field("err", err)
	if errors.Is(err, errNotBcache) {
		d.scope.log.Errorf(0, "can't connect to %s: %v", at, why)
	} else if err != nil {
		d.scope.log.Debugf(0, "can't connect to %s: %v", at, why)
	}
}

// complain tells people on both sides of a node that lives, since others relay to it, but that
// can't be dialled where it says to be.
func (d *dialer) complain(addr netip.AddrPort, err error) {
	if err == nil || errors.Is(err, errMeshHave) {
		return
	}
	peer, name, ok := d.targets.failing(addr)
	if !ok || !d.peers.relays(peer) || d.scope.Open.Err() != nil {
		return
	}
	d.scope.log.Errorf(peer, "node %x can't be reached at %s, which it advertises, only through others: "+
		"%v; is its AdvertiseAddr right?", peer, linelog.Field("addr", name), linelog.Field("err", err))
	it := lineItem{kind: itemMember, bytes: encodeNoWay(name, err.Error())}
	_ = d.sender.send(peer, it, laneFirst)
}

// probe connects and waits for the header that every mesh node sends first. Unlike
// mesh's own dial it has timeouts and ends with Close.
func (d *dialer) probe(addr netip.AddrPort) error {
	dialer := net.Dialer{Timeout: dialConnect, LocalAddr: localOf(d.router.listensOn())} // as mesh does
	conn, err := dialer.DialContext(d.scope.Open, "tcp", addr.String())
	if err != nil {
		return bareError(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetLinger(0)
	stop := context.AfterFunc(d.scope.Open, func() { conn.Close() })
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

// hand has mesh dial an address once, and waits for how it ends. Handshakes cost time of the
// processor: many at once would take each other's, until all take too long.
func (d *dialer) hand(addr netip.AddrPort) error {
	select {
	case d.hands <- struct{}{}:
		defer func() { <-d.hands }()
	case <-d.scope.Open.Done():
		return errMeshClosing
	}
	if d.targets.arrived(addr) {
		return errMeshHave
	}
	run, key := d.router.run.Load(), addr.String()
	a := &dialAttempt{started: d.now(), done: make(chan error, 1)}
	d.mu.Lock()
	d.attempts[key] = a
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		delete(d.attempts, key)
		d.mu.Unlock()
		run.forget(addr)
	}()

	if err := run.dial(d.scope.Open, addr); err != nil {
		return err
	}
	timeout := time.NewTimer(dialConnect + dialAnswer)
	defer timeout.Stop()
	select {
	case err := <-a.done:
		return err
	case <-timeout.C:
		return context.DeadlineExceeded
	case <-d.scope.Open.Done():
		return errMeshClosing
	}
}

// underWay returns the addresses that mesh dials now.
func (d *dialer) underWay() (aps []netip.AddrPort) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for addr := range d.attempts {
		if ap, err := netip.ParseAddrPort(addr); err == nil {
			aps = append(aps, ap)
		}
	}
	return aps
}

// began returns when the dial of an address began, or the earliest time if it is unknown.
func (d *dialer) began(addr string, now time.Time) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if a := d.attempts[addr]; a != nil {
		return a.started
	}
	return now.Add(-dialConnect - dialAnswer)
}

// met notes which node is at an address that mesh dialled.
func (d *dialer) met(addr string, peer uint64, err error) {
	if err == nil || errors.Is(err, errMeshHave) {
		d.targets.advertised(addr, peer)
	}
	d.ended(addr, err)
}

// ended tells how mesh's dial of an address went. It reports whether there was one.
func (d *dialer) ended(addr string, err error) bool {
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
