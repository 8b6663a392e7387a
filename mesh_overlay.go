package bcache

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/weaveworks/mesh"
)

// What the handshake says, in mesh's map of features. mesh sends it encrypted if there is a key.
const (
	featureCluster = "bcache.cluster"
	featureAddr    = "bcache.addr"   // as advertised; the host may be unspecified
	featureWire    = "bcache.wire"   // wireVersion
	featureOrigin  = "bcache.origin" // hexadecimal
	featureClock   = "bcache.clock"  // Unix milliseconds
)

const (
	meshSettled  = 2 * time.Second       // a connection's age from which on another one isn't a dial that crossed it
	meshCrossing = 2 * time.Second       // for the other side to end one of two connections that crossed
	meshFarewell = 50 * time.Millisecond // for a refusal to leave; mesh throws away what is unsent
)

var (
	errMeshClosing    = errors.New("the node is closing")
	errMeshReplaced   = errors.New("another connection to the node took over")
	errMeshDisconnect = errors.New("this node disconnects")
	errMeshGone       = errors.New("the other node closes")
	errMeshHave       = errors.New("there is a connection to the node")
)

// A meshRefusal is an error that people on both sides want to know of.
type meshRefusal struct {
	reason string // true for both sides
	skew   bool
}

func (r *meshRefusal) Error() string { return r.reason }

func refusef(format string, v ...any) error { return &meshRefusal{reason: fmt.Sprintf(format, v...)} }

// AddFeaturesTo implements mesh.Overlay. mesh calls it first of all on each
// connection, on the connection's goroutine.
func (t *meshTransport) AddFeaturesTo(f map[string]string) {
	if t.phase.Load() != meshRunning {
		runtime.Goexit() // mesh's deferred calls close the connection
	}
	f[featureCluster] = t.cfg.ClusterName
	f[featureAddr] = t.advertised()
	f[featureWire] = strconv.Itoa(wireVersion)
	f[featureOrigin] = strconv.FormatUint(t.cfg.Origin, 16)
	f[featureClock] = strconv.FormatInt(t.cfg.Now().UnixMilli(), 10)
}

// PrepareConnection implements mesh.Overlay: it decides about a connection, on
// the connection's own goroutine.
func (t *meshTransport) PrepareConnection(p mesh.OverlayConnectionParams) (mesh.OverlayConnection, error) {
	if !t.scope.enter() {
		return nil, errMeshClosing
	}
	defer t.scope.leave()
	t.accepts.end(p.RemoteAddr.String())

	c, err := t.greet(p)
	if err == nil {
		err = t.admit(c)
	}
	if p.Outbound {
		t.dials.met(p.RemoteAddr.String(), uint64(p.RemotePeer.Name), err)
	}
	var r *meshRefusal
	switch {
	case err == nil:
		return c, nil
	case errors.As(err, &r):
		t.refuse(p, r)
	}
	return nil, err
}

// refuse tells both sides why.
func (t *meshTransport) refuse(p mesh.OverlayConnectionParams, r *meshRefusal) {
	if r.skew {
		t.count.refusedSkew.Add(1)
	} else {
		t.count.refusedOther.Add(1)
	}
	peer := uint64(p.RemotePeer.Name)
	t.log.Errorf(peer, "node %x (%s) is refused: %s", peer, p.RemoteAddr, r.reason)
	if p.SendControlMessage(mesh.ProtocolOverlayControlMsg, encodeRefused(r.reason)) == nil {
		t.scope.pause(meshFarewell)
	}
}

// greet reads what the other side says of itself.
func (t *meshTransport) greet(p mesh.OverlayConnectionParams) (*meshConn, error) {
	now := t.cfg.Now()
	self, peer, f := t.cfg.PeerID, uint64(p.RemotePeer.Name), p.Features
	wire, ok := f[featureWire]
	if !ok || peer == 0 {
		return nil, refusef("it isn't a bcache node")
	}
	if v, err := strconv.Atoi(wire); err != nil || v != wireVersion {
		return nil, refusef("wire versions differ: %.20q at node %x, \"%d\" at node %x", wire, peer, wireVersion, self)
	}
	if name := f[featureCluster]; name != t.cfg.ClusterName {
		return nil, refusef("cluster names differ: %.100q at node %x, %.100q at node %x", name, peer, t.cfg.ClusterName, self)
	}
	origin, err := strconv.ParseUint(f[featureOrigin], 16, 64)
	millis, err2 := strconv.ParseInt(f[featureClock], 10, 64)
	if err := errors.Join(err, err2); err != nil {
		return nil, refusef("its handshake is malformed: %.100q", err.Error())
	}
	if origin == 0 || origin == t.cfg.Origin {
		return nil, refusef("node %x and node %x have the same origin, or one has none", peer, self)
	}
	began := now
	if p.Outbound {
		began = t.dials.began(p.RemoteAddr.String(), now)
	}
	clock := time.UnixMilli(millis)
	if clockDiffers(clock, began, now, p.Outbound, t.cfg.MaxClockSkew) {
		const layout = "2006-01-02T15:04:05.000Z07:00"
		return nil, &meshRefusal{skew: true, reason: fmt.Sprintf("clocks differ by more than %v: %s at node %x, %s at node %x",
			t.cfg.MaxClockSkew, clock.UTC().Format(layout), peer, now.UTC().Format(layout), self)}
	}
	remote := p.RemoteAddr.AddrPort()
	_, routed := t.run.Load().router.Routes.UnicastAll(p.RemotePeer.Name)
	heard := t.heardOf(p)
	c := &meshConn{
		t: t, peer: peer, origin: origin,
		addr:   completeAddr(f[featureAddr], remote.Addr()),
		remote: p.RemoteAddr.String(), outbound: p.Outbound, encrypted: p.SessionKey != nil, since: now,
		heard: heard, known: heard && routed,
		control: p.SendControlMessage,
		errs:    make(chan error, 1), done: make(chan struct{}),
	}
	most := cmp.Or(t.cfg.MaxPending, meshMaxPending)
	c.line = newMeshLine(c.write, t.scope.spawn, c.done, &t.count, &t.transfers, most)
	c.line.age = cmp.Or(t.cfg.lineAge, lineAge)
	return c, nil
}

// write sends a message of the line.
func (c *meshConn) write(msg []byte) error {
	err := c.control(lineTag, msg)
	if err != nil {
		c.end(err)
	}
	return err
}

// heardOf tells whether what mesh has heard of a node by others is about the life of it
// that is connecting. mesh has its own name for a life.
func (t *meshTransport) heardOf(p mesh.OverlayConnectionParams) bool {
	peers := t.run.Load().router.Peers
	peers.RLock()
	defer peers.RUnlock()
	return p.Features["UID"] == strconv.FormatUint(uint64(p.RemotePeer.UID), 10)
}

// clockDiffers tells whether another node's clock provably differs from ours by more
// than bound. It was read after we began to dial and before now, by our clock
// (compare RFC 5905, section 8). That interval can be seconds long, because mesh delays
// what it accepts when strangers throng. A reading of a node that dialled us may be
// older still, so only being ahead is proof; the other side sees the rest.
func clockDiffers(clock, began, now time.Time, outbound bool, bound time.Duration) bool {
	const resolution = time.Millisecond
	if clock.Sub(now) > bound {
		return true
	}
	return outbound && began.Sub(clock) > bound+resolution
}

// Diagnostics implements mesh.Overlay.
func (t *meshTransport) Diagnostics() interface{} { return nil }

// Stop implements mesh.Overlay.
func (t *meshTransport) Stop() {}

// A meshConn is our side of a connection, from the moment that it is admitted.
type meshConn struct {
	t                   *meshTransport
	peer, origin        uint64
	addr                string // advertised, complete; "" if it is none
	outbound, encrypted bool
	heard               bool // this life of the node, and no other, is what mesh has heard of
	known               bool // and there is a way to it by others
	since               time.Time
	control             func(tag byte, msg []byte) error
	line                *meshLine
	errs                chan error             // what is sent here ends the connection
	done                chan struct{}          // closed when it has ended
	refused             atomic.Pointer[string] // why the other side refuses this node, if it said so
	closing             atomic.Bool            // the other side said that it closes
	remote              string                 // the address of the TCP connection's other end

	// Under meshTransport.mu:
	admitted   time.Time // by time.Now
	ended      string    // why it did, for people
	introduced bool      // mesh has added it: the other side is told of the topology, or not
	confirmed  bool      // mesh has added it on our side
	ready      time.Time // since the other side has confirmed it too; by time.Now
}

// usable reports whether both sides have confirmed the connection.
func (c *meshConn) usable() bool { return c.confirmed && !c.ready.IsZero() }

// Confirm implements mesh.OverlayConnection: mesh has taken the connection. The other
// side may be about to refuse it, so it is told, and ours waits for the same.
func (c *meshConn) Confirm() {
	c.t.inherit(c)
	c.t.mu.Lock()
	c.confirmed = true
	c.t.mu.Unlock()
	c.t.poke()
	_ = c.control(mesh.ProtocolOverlayControlMsg, encodeReady(c.line.has())) // if it fails, the connection fails
}

// ControlMessage implements mesh.OverlayConnection.
func (c *meshConn) ControlMessage(tag byte, msg []byte) {
	if !c.t.scope.enter() {
		return
	}
	defer c.t.scope.leave()
	if tag == lineTag {
		c.t.receiveLine(c, msg)
		return
	}
	m, err := decodeControl(msg)
	kind, reason := m.kind, m.reason
	switch {
	case err != nil:
		c.t.log.Debugf(c.peer, "node %x (%s) sent a malformed control message: %v", c.peer, c.addr, err)
	case kind == controlReady:
		c.line.resume(m.transfer, m.has)
		c.t.mu.Lock()
		if c.ready.IsZero() {
			c.ready = time.Now()
		}
		c.t.mu.Unlock()
		c.t.poke()
	case kind == controlClosing:
		c.closing.Store(true)
		c.t.book.forget(c.peer, c.origin)
		c.end(errMeshGone)
	case kind == controlRefused:
		c.refused.Store(&reason)
		c.t.log.Errorf(c.peer, "node %x (%s) refuses this node: %s", c.peer, c.addr, reason)
	}
}

// Stop implements mesh.OverlayConnection.
func (c *meshConn) Stop() {
	lived := c.t.drop(c)
	c.t.dials.lost(c.peer, lived, c.refused.Load())
	c.t.poke()
}

// EstablishedChannel implements mesh.OverlayConnection. It never fires: mesh would
// write a field that its other goroutines read, and gossip doesn't need it.
func (c *meshConn) EstablishedChannel() <-chan struct{} { return nil }

// ErrorChannel implements mesh.OverlayConnection.
func (c *meshConn) ErrorChannel() <-chan error { return c.errs }

// Attrs implements mesh.OverlayConnection.
func (c *meshConn) Attrs() map[string]interface{} { return nil }

// advertised is the address that others get; its host may be unspecified.
func (t *meshTransport) advertised() string {
	addr := t.Addr()
	if t.cfg.AdvertiseAddr == "" {
		return addr
	}
	return withPort(t.cfg.AdvertiseAddr, addr)
}
