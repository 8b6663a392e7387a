package meshnet

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/transport/engine"
	"github.com/iwanbk/bcache/internal/wire"
	"github.com/weaveworks/mesh"
)

// What the handshake says, in mesh's map of features. mesh sends it encrypted if there is a key.
const (
	featureCluster = "bcache.cluster"
	featureAddr    = "bcache.addr"   // as advertised; the host may be unspecified
	featureWire    = "bcache.wire"   // Version
	featureOrigin  = "bcache.origin" // hexadecimal
	featureClock   = "bcache.clock"  // Unix milliseconds
)

const farewell = 50 * time.Millisecond // for a refusal to leave; mesh throws away what is unsent

// A refusal is an error that people on both sides want to know of.
type refusal struct {
	reason string // true for both sides
	skew   bool
}

func (r *refusal) Error() string { return r.reason }

func refusef(format string, v ...any) error { return &refusal{reason: fmt.Sprintf(format, v...)} }

// A overlay is what mesh calls for each connection: it says what this node is, and decides
// whether the other one is let in.
type overlay struct {
	cfg       *Config
	scope     *scope
	router    *router
	accepts   *accepts
	dials     *dialer
	admission *admission
	hub       *connHub // of the connections
	count     *engine.Counters
	transfers atomic.Uint64 // numbers of pieces, drawn so far
}

// AddFeaturesTo implements mesh.Overlay. mesh calls it first of all on each
// connection, on the connection's goroutine.
func (o *overlay) AddFeaturesTo(f map[string]string) {
	if o.router.phase.Load() != running {
		runtime.Goexit() // mesh's deferred calls close the connection
	}
	f[featureCluster] = o.cfg.ClusterName
	f[featureAddr] = o.router.advertised()
	f[featureWire] = strconv.Itoa(wire.Version)
	f[featureOrigin] = strconv.FormatUint(o.cfg.Origin, 16)
	f[featureClock] = strconv.FormatInt(o.cfg.Now().UnixMilli(), 10)
}

// PrepareConnection implements mesh.Overlay: it decides about a connection, on
// the connection's own goroutine.
func (o *overlay) PrepareConnection(p mesh.OverlayConnectionParams) (mesh.OverlayConnection, error) {
	if !o.scope.Enter() {
		return nil, errMeshClosing
	}
	defer o.scope.Leave()
	o.accepts.end(p.RemoteAddr.String())

	var c *meshConn
	g, err := o.greet(p)
	if err == nil {
		c = o.connect(p, g)
		err = o.admission.admit(c)
	}
	if p.Outbound {
		o.dials.met(p.RemoteAddr.String(), uint64(p.RemotePeer.Name), err)
	}
	var r *refusal
	switch {
	case err == nil:
		return c, nil
	case errors.As(err, &r):
		o.refuse(p, r)
	}
	return nil, err
}

// refuse tells both sides why.
func (o *overlay) refuse(p mesh.OverlayConnectionParams, r *refusal) {
	if r.skew {
		o.count.RefusedSkew.Add(1)
	} else {
		o.count.RefusedOther.Add(1)
	}
	peer := uint64(p.RemotePeer.Name)
	o.scope.log.Errorf(peer, "node %x (%s) is refused: %s",
		peer, linelog.Field("addr", p.RemoteAddr), linelog.Field("reason", r.reason))
	if p.SendControlMessage(mesh.ProtocolOverlayControlMsg, encodeRefused(r.reason)) == nil {
		o.scope.pause(farewell)
	}
}

// greet reads what the other side says of itself.
func (o *overlay) greet(p mesh.OverlayConnectionParams) (g greeting, err error) {
	now := o.cfg.Now()
	self, peer, f := o.cfg.PeerID, uint64(p.RemotePeer.Name), p.Features
	version, ok := f[featureWire]
	if !ok || peer == 0 {
		return g, refusef("it isn't a bcache node")
	}
	if v, err := strconv.Atoi(version); err != nil || v != wire.Version {
		return g, refusef("wire versions differ: %.20q at node %x, \"%d\" at node %x",
			version, peer, wire.Version, self)
	}
	if name := f[featureCluster]; name != o.cfg.ClusterName {
		return g, refusef("cluster names differ: %.100q at node %x, %.100q at node %x",
			name, peer, o.cfg.ClusterName, self)
	}
	origin, err := strconv.ParseUint(f[featureOrigin], 16, 64)
	millis, err2 := strconv.ParseInt(f[featureClock], 10, 64)
	if err := errors.Join(err, err2); err != nil {
		return g, refusef("its handshake is malformed: %.100q", err.Error())
	}
	if origin == 0 || origin == o.cfg.Origin {
		return g, refusef("node %x and node %x have the same origin, or one has none", peer, self)
	}
	began := now
	if p.Outbound {
		began = o.dials.began(p.RemoteAddr.String(), now)
	}
	clock := time.UnixMilli(millis)
	if clockDiffers(clock, began, now, p.Outbound, o.cfg.MaxClockSkew) {
		const layout = "2006-01-02T15:04:05.000Z07:00"
		return g, &refusal{skew: true, reason: fmt.Sprintf(
			"clocks differ by more than %v: %s at node %x, %s at node %x",
			o.cfg.MaxClockSkew, clock.UTC().Format(layout), peer, now.UTC().Format(layout), self)}
	}
	run := o.router.run.Load()
	routed := run.routed(peer)
	heard := run.heardOf(p)
	return greeting{
		peer: peer, origin: origin,
		addr:     completeAddr(f[featureAddr], p.RemoteAddr.AddrPort().Addr()),
		remote:   p.RemoteAddr.String(),
		outbound: p.Outbound, encrypted: p.SessionKey != nil,
		heard: heard, known: heard && routed, since: now,
	}, nil
}

// connect makes our side of a connection.
func (o *overlay) connect(p mesh.OverlayConnectionParams, g greeting) *meshConn {
	c := &meshConn{
		greeting: g, hub: o.hub, control: p.SendControlMessage,
		errs: make(chan error, 1), done: make(chan struct{}),
	}
	most := cmp.Or(o.cfg.MaxPending, maxPending)
	c.line = newMeshLine(c.write, o.scope.spawn, c.done, o.count, &o.transfers, most)
	c.line.queue.age = cmp.Or(o.cfg.lineAge, lineAge)
	return c
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
func (o *overlay) Diagnostics() interface{} { return nil }

// Stop implements mesh.Overlay.
func (o *overlay) Stop() {}
