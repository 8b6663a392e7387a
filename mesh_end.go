package bcache

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/weaveworks/mesh"
)

const (
	meshPolite = 100 * time.Millisecond // for a connection to end, before it is cut
	meshEnds   = time.Second            // and after that, before it is given up
)

// Disconnect implements transport. mesh never gives up a peer that has stopped reading
// as long as there is something to write to it.
func (t *meshTransport) Disconnect(peer uint64) {
	t.mu.Lock()
	var conns []*meshConn
	if p := t.peers[peer]; p != nil {
		conns = slices.Clone(p.conns)
	}
	t.mu.Unlock()
	for _, c := range conns {
		if c.end(errMeshDisconnect) {
			t.scope.spawn(func() { t.awaitEnd(c) })
		}
	}
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

// broke notes why the connection with the other end at remote has ended.
func (t *meshTransport) broke(remote, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.peers {
		for _, c := range p.conns {
			if c.remote == remote && c.ended == "" {
				c.ended = why
			}
		}
	}
}

// farewell says, for people, how a node left.
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

// sayClosing tells all peers that this node closes, and waits a little until they have hung
// up: what is under way to them would be lost if this side did.
func (t *meshTransport) sayClosing(ctx context.Context) *sync.WaitGroup {
	var wg sync.WaitGroup
	t.mu.Lock()
	for _, p := range t.peers {
		for _, c := range p.conns {
			if c.usable() { // a write to a node that doesn't read ends with its connection
				wg.Go(func() { _ = c.control(mesh.ProtocolOverlayControlMsg, encodeClosing()) })
			}
		}
	}
	t.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, meshFarewell)
	defer cancel()
	_ = t.until(ctx, func() bool { return t.numConns() == 0 })
	return &wg
}

// awaitEnd waits until mesh has forgotten a connection that it was asked to end. One whose
// goroutine is blocked in a write doesn't listen, and is cut.
func (t *meshTransport) awaitEnd(c *meshConn) {
	wait := time.NewTimer(meshPolite)
	defer wait.Stop()
	for range 2 {
		select {
		case <-c.done:
			return
		case <-t.scope.ctx.Done():
			return
		case <-wait.C:
			t.run.Load().hangUp(c)
			wait.Reset(meshEnds)
		}
	}
}

// hangUp cuts a connection, unless mesh has another one with the node by now.
func (r *meshRun) hangUp(c *meshConn) {
	if r.guts == nil {
		return
	}
	conn, _ := r.router.Ourself.ConnectionTo(mesh.PeerName(c.peer))
	if lc, ok := conn.(*mesh.LocalConnection); ok && lc.OverlayConn == c {
		r.guts.hangUp(lc)
	}
}

// drop forgets a connection that has ended, and what was queued for it, but for a frame that was
// under way. It reports whether both sides had wanted the connection.
func (t *meshTransport) drop(c *meshConn) (lived bool) {
	rest, some := c.line.rest()
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.peers[c.peer]; p != nil {
		p.conns = slices.DeleteFunc(p.conns, func(o *meshConn) bool { return o == c })
		if p.idle() {
			delete(t.peers, c.peer)
		}
	}
	if rest.origin = c.origin; some {
		t.keepRest(c.peer, rest)
	}
	close(c.done)
	return c.usable()
}

// keepRest keeps what a connection has left, for a while. t.mu is held.
func (t *meshTransport) keepRest(peer uint64, rest lineRest) {
	t.rests[peer] = rest
	t.dropRests(rest.at)
	for len(t.rests) > meshRests {
		oldest := peer
		for id, r := range t.rests {
			if r.at.Before(t.rests[oldest].at) {
				oldest = id
			}
		}
		delete(t.rests, oldest)
	}
}

// dropRests forgets what nobody has taken over in time. t.mu is held.
func (t *meshTransport) dropRests(now time.Time) {
	for id, r := range t.rests {
		if now.Sub(r.at) >= meshRestFor {
			delete(t.rests, id)
		}
	}
}

// inherit gives a connection what an earlier one with the same life of its node has left.
func (t *meshTransport) inherit(c *meshConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dropRests(time.Now())
	r, ok := t.rests[c.peer]
	delete(t.rests, c.peer)
	if ok && r.origin == c.origin {
		c.line.inherit(r)
	}
}
