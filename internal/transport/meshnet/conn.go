package meshnet

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/weaveworks/mesh"
)

var (
	errMeshClosing    = errors.New("the node is closing")
	errMeshReplaced   = errors.New("another connection to the node took over")
	errMeshDisconnect = errors.New("this node disconnects")
	errMeshGone       = errors.New("the other node closes")
	errMeshHave       = errors.New("there is a connection to the node")
)

// A meshConn is our side of a connection, from the moment that it is admitted.
type meshConn struct {
	greeting
	hub     *connHub
	control func(tag byte, msg []byte) error
	line    *meshLine
	errs    chan error             // what is sent here ends the connection
	done    chan struct{}          // closed when it has ended
	refused atomic.Pointer[string] // why the other side refuses this node, if it said so
	closing atomic.Bool            // the other side said that it closes

	// Under peerTable.mu:
	admitted   time.Time // by time.Now
	ended      string    // why it did, for people
	introduced bool      // mesh has added it: the other side is told of the topology, or not
	confirmed  bool      // mesh has added it on our side
	ready      time.Time // since the other side has confirmed it too; by time.Now
}

// A greeting is what is known of a connection when the handshake is over.
type greeting struct {
	peer, origin        uint64
	addr                string // advertised, complete; "" if it is none
	remote              string // the address of the TCP connection's other end
	outbound, encrypted bool
	heard               bool // this life of the node, and no other, is what mesh has heard of
	known               bool // and there is a way to it by others
	since               time.Time
}

// A connHub is what connections act on.
type connHub struct {
	scope    *scope
	peers    *peerTable
	rests    *lineRests
	book     *book
	targets  *dialTargets
	watcher  *watcher
	receiver *meshReceiver
}

// usable reports whether both sides have confirmed the connection. It is under peerTable.mu.
func (c *meshConn) usable() bool { return c.confirmed && !c.ready.IsZero() }

// Confirm implements mesh.OverlayConnection: mesh has taken the connection. The other
// side may be about to refuse it, so it is told, and ours waits for the same.
func (c *meshConn) Confirm() {
	if rest, ok := c.hub.rests.take(c.peer, c.origin); ok {
		c.line.inherit(rest)
	}
	c.hub.peers.confirm(c)
	c.hub.watcher.poke()
	// If it fails, the connection fails.
	_ = c.control(mesh.ProtocolOverlayControlMsg, encodeReady(c.line.has()))
}

// ControlMessage implements mesh.OverlayConnection.
func (c *meshConn) ControlMessage(tag byte, msg []byte) {
	if !c.hub.scope.Enter() {
		return
	}
	defer c.hub.scope.Leave()
	if tag == lineTag {
		c.hub.receiver.message(c, msg)
		return
	}
	m, err := decodeControl(msg)
	switch {
	case err != nil:
		c.hub.scope.log.Debugf(c.peer, "node %x (%s) sent a malformed control message: %v",
			c.peer, linelog.Field("addr", c.addr), linelog.Field("err", err))
	case m.kind == controlReady:
		c.line.resume(m.transfer, m.has)
		c.hub.peers.ready(c)
		c.hub.watcher.poke()
	case m.kind == controlClosing:
		c.hub.book.forget(c.peer, c.origin) // first: its end is logged as soon as it is known to close
		c.closing.Store(true)
		c.end(errMeshGone)
	case m.kind == controlRefused:
		reason := m.reason
		c.refused.Store(&reason)
		c.hub.scope.log.Errorf(c.peer, "node %x (%s) refuses this node: %s",
			c.peer, linelog.Field("addr", c.addr), linelog.Field("reason", reason))
	}
}

// Stop implements mesh.OverlayConnection.
func (c *meshConn) Stop() {
	lived := c.drop()
	c.hub.targets.lost(c.peer, lived, c.refused.Load())
	c.hub.watcher.poke()
}

// drop forgets the connection, which has ended, and what was queued for it, but for a frame that was
// under way. It reports whether both sides had wanted the connection.
func (c *meshConn) drop() (lived bool) {
	if rest, some := c.line.rest(); some {
		rest.origin = c.origin
		c.hub.rests.keep(c.peer, rest)
	}
	return c.hub.peers.drop(c)
}

// EstablishedChannel implements mesh.OverlayConnection. It never fires: mesh would
// write a field that its other goroutines read, and gossip doesn't need it.
func (c *meshConn) EstablishedChannel() <-chan struct{} { return nil }

// ErrorChannel implements mesh.OverlayConnection.
func (c *meshConn) ErrorChannel() <-chan error { return c.errs }

// Attrs implements mesh.OverlayConnection.
func (c *meshConn) Attrs() map[string]interface{} { return nil }

// write sends a message of the line.
func (c *meshConn) write(msg []byte) error {
	err := c.control(lineTag, msg)
	if err != nil {
		c.end(err)
	}
	return err
}

// end asks mesh to end the connection. It reports whether nobody else had asked.
func (c *meshConn) end(err error) bool {
	select {
	case c.errs <- err:
		return true
	default:
		return false
	}
}

// farewell says, for people, how a node left. It is under peerTable.mu.
func (c *meshConn) farewell() string {
	switch {
	case c.closing.Load():
		return "it closed"
	case c.ended == errMeshDisconnect.Error():
		return "this node cut the connection"
	case c.ended == errMeshReplaced.Error():
		return c.ended
	default:
		return "the connection broke: " + c.ended
	}
}
