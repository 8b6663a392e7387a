package bcache

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/weaveworks/mesh"
)

const (
	meshAskFor   = 2 * time.Second        // how long a node may take to show that it lives
	meshAskEvery = 250 * time.Millisecond // questions may be lost
)

// A meshPeer is a node with a connection to this one.
type meshPeer struct {
	conns     []*meshConn   // admitted and not ended, oldest first
	admitting chan struct{} // not nil while a connection is being admitted; closed then

	joined *meshConn // the connection that the handler knows of, or is about to be told of
	told   bool      // the handler knows
}

// current is the connection that carries the traffic, or nil.
func (p *meshPeer) current() *meshConn {
	for _, c := range slices.Backward(p.conns) {
		if c.usable() {
			return c
		}
	}
	return nil
}

func (p *meshPeer) idle() bool { return len(p.conns) == 0 && p.admitting == nil && p.joined == nil }

// admit decides whether a connection may live beside what is known of its node,
// and registers it. Connections of one node are admitted one by one.
func (t *meshTransport) admit(c *meshConn) error {
	p, err := t.beginAdmission(c.peer)
	if err != nil {
		return err
	}
	defer t.endAdmission(c.peer, p)

	t.mu.Lock()
	olds := slices.Clone(p.conns)
	t.mu.Unlock()
	for _, old := range olds {
		if err := t.judge(c, old); err != nil {
			return err
		}
	}
	if len(olds) == 0 {
		if err := t.judgeRelayed(c); err != nil {
			return err
		}
	}

	// Registered before the old ones end: from now on it is what others are judged by.
	t.mu.Lock()
	if t.scope.ctx.Err() != nil {
		t.mu.Unlock()
		return errMeshClosing
	}
	if max := t.cfg.MaxConns; max > 0 && len(p.conns) == 0 && t.numConnsLocked() >= max {
		t.mu.Unlock()
		return refusef("MaxConns is reached: node %x has %d connections already", t.cfg.PeerID, max)
	}
	c.admitted = time.Now()
	p.conns = append(p.conns, c)
	t.mu.Unlock()
	t.book.learn(c.peer, c.origin, c.addr, time.Now())
	t.dials.advertised(c.addr, c.peer)
	// Of two connections that mesh knows, it would end one by the toss of a coin.
	for _, old := range olds {
		old.end(errMeshReplaced)
		t.awaitEnd(old)
	}
	return nil
}

func (t *meshTransport) beginAdmission(peer uint64) (*meshPeer, error) {
	for {
		t.mu.Lock()
		p := t.peers[peer]
		if p == nil {
			p = &meshPeer{}
			t.peers[peer] = p
		}
		before := p.admitting
		if before == nil {
			p.admitting = make(chan struct{})
			t.mu.Unlock()
			return p, nil
		}
		t.mu.Unlock()
		select {
		case <-before:
		case <-t.scope.ctx.Done():
			return nil, errMeshClosing
		}
	}
}

func (t *meshTransport) endAdmission(peer uint64, p *meshPeer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(p.admitting)
	p.admitting = nil
	if p.idle() {
		delete(t.peers, peer)
	}
}

// judge compares a new connection with one that the same PeerID has. Without it,
// nodes that dial each other would knock out each other's connections for long.
func (t *meshTransport) judge(c, old *meshConn) error {
	if c.origin != old.origin {
		if origin, ok := t.ask(c.peer, old); ok && origin != c.origin {
			return refusef("PeerID %x is in use by another node, at %s", c.peer, old.addr)
		}
		return nil
	}
	t.mu.Lock()
	settled := time.Since(old.admitted) > meshAskFor+meshSettled || !old.ready.IsZero() && time.Since(old.ready) > meshSettled
	t.mu.Unlock()
	if !settled {
		return t.judgeCrossing(c, old)
	}
	if _, ok := t.ask(c.peer, old); ok {
		return errMeshHave // it was dialled by another of its addresses
	}
	return nil // a network failure that only the other side has noticed yet
}

// judgeCrossing decides when both nodes have dialled at once. The two connections may come
// in another order here than there. So only the node with the smaller ID decides, and
// keeps what came first, which may be in use; the other one waits to see what that is.
func (t *meshTransport) judgeCrossing(c, old *meshConn) error {
	if t.cfg.PeerID < c.peer {
		return errMeshHave
	}
	wait := time.NewTimer(meshCrossing)
	defer wait.Stop()
	select {
	case <-old.done:
		return nil
	case <-wait.C:
	case <-t.scope.ctx.Done():
	}
	return errMeshHave
}

// judgeRelayed looks for another node with the same PeerID beyond other nodes.
func (t *meshTransport) judgeRelayed(c *meshConn) error {
	if c.heard {
		return nil // the usual case: a node known by hearsay is now met
	}
	if _, routed := t.run.Load().router.Routes.UnicastAll(mesh.PeerName(c.peer)); !routed {
		return nil
	}
	if origin, ok := t.book.originOf(c.peer); ok && origin == c.origin {
		return nil
	}
	if origin, ok := t.ask(c.peer, nil); ok && origin != c.origin {
		return refusef("PeerID %x is in use by another node, beyond node %x", c.peer, t.cfg.PeerID)
	}
	return nil
}

// ask asks a PeerID which life has it now: over the given connection, or, if
// that is nil, over other nodes. It gives up when the way there is gone.
func (t *meshTransport) ask(peer uint64, over *meshConn) (origin uint64, ok bool) {
	nonce, answer := rand.Uint64(), make(chan uint64, 1)
	t.mu.Lock()
	t.pings[nonce] = answer
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		delete(t.pings, nonce)
		t.mu.Unlock()
	}()

	var gone <-chan struct{}
	if over != nil {
		gone = over.done
	}
	timeout, again := time.NewTimer(meshAskFor), time.NewTicker(meshAskEvery)
	defer timeout.Stop()
	defer again.Stop()
	for {
		it := lineItem{kind: itemMember, bytes: encodeMeshPing(nonce)}
		if over != nil {
			_ = over.line.push(it, laneFirst)
		} else if t.send(peer, it, laneFirst) != nil {
			return 0, false
		}
		select {
		case origin = <-answer:
			return origin, true
		case <-again.C:
		case <-gone:
			return 0, false
		case <-timeout.C:
			return 0, false
		case <-t.scope.ctx.Done():
			return 0, false
		}
	}
}

// connected reports whether there is a connection to a node.
func (t *meshTransport) connected(peer uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.peers[peer]
	return p != nil && len(p.conns) > 0
}

// relays reports whether a node is reached through others.
func (t *meshTransport) relays(peer uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.relayed[peer]
	return ok
}

func (t *meshTransport) numConns() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.numConnsLocked()
}

// numConnsLocked counts the nodes that there is a connection with. t.mu is held.
func (t *meshTransport) numConnsLocked() int {
	n := 0
	for _, p := range t.peers {
		if len(p.conns) > 0 {
			n++
		}
	}
	return n
}
