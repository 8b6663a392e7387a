package meshnet

import (
	"context"
	"sync"
	"time"

	"github.com/weaveworks/mesh"
)

const (
	polite = 100 * time.Millisecond // for a connection to end, before it is cut
	ends   = time.Second            // and after that, before it is given up
)

// A ender ends connections. mesh never gives up a peer that has stopped reading as long as
// there is something to write to it.
type ender struct {
	scope  *scope
	peers  *peerTable
	router *router
}

// disconnect ends the connections to a node, and doesn't wait for it.
func (e *ender) disconnect(peer uint64) {
	for _, c := range e.peers.conns(peer) {
		if c.end(errMeshDisconnect) {
			e.scope.spawn(func() { e.await(c) })
		}
	}
}

// replace ends connections that another one takes the place of, and waits for it: of two
// connections that mesh knows, it would end one by the toss of a coin.
func (e *ender) replace(olds []*meshConn) {
	for _, old := range olds {
		old.end(errMeshReplaced)
		e.await(old)
	}
}

// await waits until mesh has forgotten a connection that it was asked to end. One whose
// goroutine is blocked in a write doesn't listen, and is cut.
func (e *ender) await(c *meshConn) {
	wait := time.NewTimer(polite)
	defer wait.Stop()
	for range 2 {
		select {
		case <-c.done:
			return
		case <-e.scope.Open.Done():
			return
		case <-wait.C:
			e.router.run.Load().hangUp(c)
			wait.Reset(ends)
		}
	}
}

// drain waits a little until nothing waits to be sent any more.
func (e *ender) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	_ = until(ctx, func() bool {
		lines, _ := e.peers.lines()
		for _, l := range lines {
			if !l.idle() {
				return false
			}
		}
		return true
	})
}

// sayClosing tells all peers that this node closes, and those that they lead to, and waits a little until
// the peers have hung up: what is under way to them would be lost if this side did.
func (e *ender) sayClosing(ctx context.Context) *sync.WaitGroup {
	var wg sync.WaitGroup
	_, beyond := e.peers.lines()
	for _, c := range e.peers.usable() { // a write to a node that doesn't read ends with its connection
		wg.Go(func() {
			if far := beyond[c.peer]; len(far) > 0 { // past the line, which ends, and before the peer hangs up
				m := relayMessage{
					source: e.peers.self, left: relayHops, targets: far, kind: itemMember, item: encodeGone(),
				}
				_ = c.control(lineTag, encodeLineWhole(itemRelay, encodeRelay(&m)))
			}
			_ = c.control(mesh.ProtocolOverlayControlMsg, encodeClosing())
		})
	}
	ctx, cancel := context.WithTimeout(ctx, farewell)
	defer cancel()
	_ = until(ctx, func() bool { return e.peers.count() == 0 })
	return &wg
}

// endAll ends all connections and reports whether none is left.
func (e *ender) endAll(run *meshRun) bool {
	left := e.peers.allConns()
	for _, c := range left {
		c.end(errMeshClosing)
		run.hangUp(c)
	}
	return len(left) == 0
}
