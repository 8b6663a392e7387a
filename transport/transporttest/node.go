package transporttest

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache/transport"
)

// A node is a transport with its handler.
type node struct {
	transport.Transport
	s    *scene
	spec Spec
	h    *handler
	log  *log

	started bool
	dead    atomic.Bool // it is closed, or killed
}

// with is an option of a node.
type with func(*Spec)

func id(id uint64) with          { return func(s *Spec) { s.PeerID = id } }
func cluster(name string) with   { return func(s *Spec) { s.ClusterName = name } }
func pending(bytes int) with     { return func(s *Spec) { s.MaxPending = bytes } }
func at(addr string) with        { return func(s *Spec) { s.Addr = addr } }
func peers(addrs ...string) with { return func(s *Spec) { s.Peers = addrs } }

func (n *node) start() {
	n.s.Helper()
	n.h.set(started)
	n.started = true
	if err := n.s.runs(n.s.e.Within, func() error { return n.Start(n.spec.Node, n.h) }); err != nil {
		n.s.Fatalf("Start of node %x: %v", n.spec.PeerID, err)
	}
}

// shut closes a node. It may be called on any goroutine.
func (n *node) shut() {
	n.s.Helper()
	killed := n.dead.Swap(true)
	err := n.s.runs(n.s.e.Within, func() error {
		err := n.Close()
		n.h.set(closed)
		return err
	})
	if err != nil && !killed {
		n.s.Errorf("Close of node %x: %v", n.spec.PeerID, err)
	}
}

// kill has a node vanish.
func (n *node) kill() {
	n.dead.Store(true)
	n.s.net.Kill(n.Transport)
}

// next makes a frame of a node.
func (n *node) next(size int) frameID {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	n.s.labels++
	if size < headLen {
		return frameID{size: size}
	}
	return frameID{n.spec.PeerID, n.s.labels, size}
}

// arrived counts the frames of another node that have come.
func (n *node) arrived(from *node, ids []frameID) (count int) {
	for _, id := range ids {
		if n.h.got(from.spec.PeerID, id) > 0 {
			count++
		}
	}
	return count
}

// presence returns what a node says of another one by Everybody.
func (n *node) presence(of *node, within time.Duration) (transport.Presence, bool) {
	all := n.Everybody(within)
	i := slices.IndexFunc(all, func(p transport.Presence) bool { return p.ID == of.spec.PeerID })
	if i < 0 {
		return transport.Presence{}, false
	}
	return all[i], true
}

func (n *node) isMember(of *node) bool {
	return slices.ContainsFunc(n.Members(), func(m transport.Member) bool { return m.ID == of.spec.PeerID })
}

// useAll calls every method that may be called at any time.
func (n *node) useAll(peer uint64) error {
	n.Expects()
	n.Addr()
	n.Broadcast(n.next(100).frame())
	n.Supersede(peer)
	n.Disconnect(peer)
	n.Members()
	n.Everybody(time.Hour)
	n.Unreached()
	n.Stats()
	if err := n.Send(peer, n.next(100).frame(), false); err == nil {
		return errors.New("sending to nobody is no error")
	} else if err := mustBe(err, transport.ErrUnknownPeer, transport.ErrClosed); err != nil {
		return err
	}
	return nil
}
