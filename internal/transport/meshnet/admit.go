package meshnet

import (
	"time"
)

const (
	// settled is the age of a connection from which on another one isn't a dial that crossed it.
	settled = 2 * time.Second

	// crossing is how long the other side may take to end one of two connections that crossed.
	crossing = 2 * time.Second
)

// A admission decides which connections live. Of two with one node only one does.
type admission struct {
	self    uint64 // PeerID
	scope   *scope
	peers   *peerTable
	router  *router
	asker   *asker
	ends    *ender
	book    *book
	targets *dialTargets
}

// admit decides whether a connection may live beside what is known of its node,
// and registers it. Connections of one node are admitted one by one.
func (a *admission) admit(c *meshConn) error {
	p, err := a.peers.beginAdmission(a.scope.Open, c.peer)
	if err != nil {
		return err
	}
	defer a.peers.endAdmission(c.peer, p)

	olds := a.peers.conns(c.peer)
	for _, old := range olds {
		if err := a.judge(c, old); err != nil {
			return err
		}
	}
	if len(olds) == 0 {
		if err := a.judgeRelayed(c); err != nil {
			return err
		}
	}
	// Registered before the old ones end: from now on it is what others are judged by.
	if err := a.peers.add(a.scope.Open, p, c); err != nil {
		return err
	}
	a.book.learn(c.peer, c.origin, c.addr, time.Now())
	a.targets.advertised(c.addr, c.peer)
	a.ends.replace(olds)
	return nil
}

// judge compares a new connection with one that the same PeerID has. Without it,
// nodes that dial each other would knock out each other's connections for long.
func (a *admission) judge(c, old *meshConn) error {
	if c.origin != old.origin {
		if origin, ok := a.asker.ask(c.peer, old); ok && origin != c.origin {
			return refusef("PeerID %x is in use by another node, at %s", c.peer, old.addr)
		}
		return nil
	}
	if !a.peers.settled(old) {
		return a.judgeCrossing(c, old)
	}
	if _, ok := a.asker.ask(c.peer, old); ok {
		return errMeshHave // it was dialled by another of its addresses
	}
	return nil // a network failure that only the other side has noticed yet
}

// judgeCrossing decides when both nodes have dialled at once. The two connections may come
// in another order here than there. So only the node with the smaller ID decides, and
// keeps what came first, which may be in use; the other one waits to see what that is.
func (a *admission) judgeCrossing(c, old *meshConn) error {
	if a.self < c.peer {
		return errMeshHave
	}
	wait := time.NewTimer(crossing)
	defer wait.Stop()
	select {
	case <-old.done:
		return nil
	case <-wait.C:
	case <-a.scope.Open.Done():
	}
	return errMeshHave
}

// judgeRelayed looks for another node with the same PeerID beyond other nodes.
func (a *admission) judgeRelayed(c *meshConn) error {
	if c.heard {
		return nil // the usual case: a node known by hearsay is now met
	}
	if !a.router.run.Load().routed(c.peer) {
		return nil
	}
	if origin, ok := a.book.originOf(c.peer); ok && origin == c.origin {
		return nil
	}
	if origin, ok := a.asker.ask(c.peer, nil); ok && origin != c.origin {
		return refusef("PeerID %x is in use by another node, beyond node %x", c.peer, a.self)
	}
	return nil
}
