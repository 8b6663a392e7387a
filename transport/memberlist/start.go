package memberlist

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/transport/engine"
	"github.com/iwanbk/bcache/transport"
)

const (
	acceptPause = 50 * time.Millisecond // after an error: out of file descriptors

	// farewell is how long Close lets what waits leave.
	farewell = 300 * time.Millisecond
)

// A running is what a transport has once it was started.
type running struct {
	node     transport.Node
	listener net.Listener
	greeter  *greeter
	hub      *hub
	joiner   *joiner
	dialer   *dialer
}

// start begins everything. t.starting is held.
func (t *Transport) start(n transport.Node, h transport.Handler) (*running, error) {
	r := &running{node: n}
	t.roster.own(n.PeerID)
	node := &r.node
	var c *certs
	if t.cfg.TLS != nil {
		c = newCerts(*t.cfg.TLS, func(err error) {
			n.Log.Errorf(0, "the certificate can't be read again: %v", linelog.Field("err", err))
		})
		if _, err := c.now(); err != nil {
			return nil, fmt.Errorf("bcache: TLS: %w", err)
		}
	}
	armour, err := newArmour(c, t.keys.some())
	if err != nil {
		return nil, fmt.Errorf("bcache: %w", err)
	}
	r.listener, err = (&net.ListenConfig{}).Listen(t.life.open, "tcp", t.cfg.BindAddr)
	if err != nil {
		return nil, fmt.Errorf("bcache: can't listen on %s: %w", t.cfg.BindAddr, err)
	}
	bound, err := netip.ParseAddrPort(r.listener.Addr().String())
	if err != nil {
		_ = r.listener.Close()
		return nil, fmt.Errorf("bcache: can't listen on %s: %w", t.cfg.BindAddr, err)
	}
	addr, ip := advertise(t.life.open, t.cfg.Resolver, t.cfg.AdvertiseAddr, bound)
	r.greeter = &greeter{
		node: node, addr: addr, keys: t.keys, armour: armour, life: t.life,
		strangers: &strangers{most: t.cfg.MaxStrangers}, through: t.through, room: t.roster.roomFor,
	}
	r.dialer = &dialer{
		node: node, life: t.life, roster: t.roster, hands: someHands,
		poked: make(chan struct{}, 1), tries: make(map[[2]uint64]*try), spots: make(spots),
		dial: func(m member) error { return r.link(t.life.open, t.cfg.Resolver, m) },
	}
	r.hub = &hub{
		node: node, life: t.life, keys: t.keys, count: &t.count, roster: t.roster, over: r.dialer.over,
		up: &engine.Upcalls{Open: t.life.open, Log: n.Log, To: h},
	}
	r.joiner = &joiner{cfg: &t.cfg, node: node, life: t.life, roster: t.roster, seen: make(map[string]*attempt)}
	net := newCarrier(t.life, t.roster, r.stream)
	if r.hub.gossip, err = startGossip(node, addr, ip, t.roster, net, r.dialer.poke); err != nil {
		_ = r.listener.Close()
		return nil, fmt.Errorf("bcache: memberlist: %w", err)
	}
	r.joiner.join = r.hub.gossip.join
	t.life.spawn(r.accept)
	t.life.spawn(r.dialer.loop)
	if t.Expects() {
		t.life.spawn(r.joiner.loop)
	}
	return r, nil
}

// accept takes connections, until the listener is closed.
func (r *running) accept() {
	life := r.hub.life
	for life.open.Err() == nil {
		raw, err := r.listener.Accept()
		if err != nil {
			life.pause(acceptPause)
			continue
		}
		raw = r.greeter.arrived(raw)
		if !life.spawn(func() { r.accepted(raw) }) {
			_ = raw.Close()
		}
	}
}

// accepted finds out who has connected, and what for.
func (r *running) accepted(raw net.Conn) {
	life := r.hub.life
	s, err := r.greeter.accept(life.open, raw)
	if err == nil && s.peer.kind == kindStream {
		s.free()
		r.hub.gossip.net.accepted(&stream{s.conn, s.raw, life})
		return
	}
	if err == nil {
		if err = r.hub.settle(s); err != nil {
			life.letGo(s.raw)
		}
	}
	r.complain(raw.RemoteAddr().String(), err)
}

// link connects to a member. Another node that answers at its address is welcome, and isn't it.
func (r *running) link(ctx context.Context, resolver Resolver, m member) error {
	all, err := lookup(ctx, resolver, m.addr)
	if err != nil {
		return err
	}
	for _, ip := range all[:min(len(all), 3)] {
		var s *session
		if s, err = r.dial(ctx, ip.String(), kindLink); err != nil {
			continue
		}
		if err = r.hub.settle(s); err != nil {
			r.hub.life.letGo(s.raw)
			r.complain(ip.String(), err)
		}
		if s.peer.id != m.id {
			err = answered{fmt.Errorf("node %x answers there", s.peer.id)}
		}
		if err == nil {
			return nil
		}
	}
	return err
}

// stream begins a stream of memberlist's.
func (r *running) stream(ctx context.Context, addr string) (net.Conn, error) {
	s, err := r.dial(ctx, addr, kindStream)
	if err != nil {
		return nil, err
	}
	s.free()
	return &stream{s.conn, s.raw, r.hub.life}, nil
}

func (r *running) dial(ctx context.Context, addr string, kind byte) (*session, error) {
	s, err := r.greeter.dial(ctx, addr, kind)
	var peer uint64
	if err == nil {
		peer = s.peer.id
	}
	r.joiner.answered(addr, peer, err)
	r.complain(addr, err)
	return s, err
}

// complain logs why there is no connection, unless the transport closes.
func (r *running) complain(addr string, err error) {
	if err != nil && r.hub.life.open.Err() == nil {
		complain(r.node.Log, r.hub.count, addr, err)
	}
}

// shutdown ends everything. What waits for the neighbours leaves first, if they take it.
func (t *Transport) shutdown() error {
	t.closed.Store(true)
	t.life.closing()
	t.starting.Lock() // Start may be under way
	r := t.run.Load()
	t.starting.Unlock()
	if r == nil {
		t.life.end()
		return nil
	}
	err := r.listener.Close()
	links := t.roster.close()
	r.hub.gossip.leave(links, t.life.spawn)
	for _, l := range links {
		l.sayBye()
	}
	limit := time.NewTimer(farewell)
	defer limit.Stop()
	for _, l := range links {
		select {
		case <-l.done: // the other side has hung up: it has everything
			continue
		case <-limit.C:
		}
		break
	}
	r.hub.gossip.shutdown()
	t.life.end()
	if left := r.hub.gossip.wait(); left != nil {
		err = left
	}
	r.node.Log.Printf(0, "node %x has stopped listening on %s", r.node.PeerID,
		linelog.Field("addr", t.Addr()))
	return err
}
