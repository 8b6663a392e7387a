package memberlist

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"github.com/iwanbk/bcache/transport"
)

// greetLimit is how long it may take two nodes to know who the other is.
const greetLimit = 5 * time.Second

// refuseLimit is for how long a refusal may take to be heard.
const refuseLimit = 500 * time.Millisecond

// A greeter has two nodes introduce themselves on a new connection.
type greeter struct {
	node      *transport.Node
	addr      string // the one to advertise
	keys      *keyring
	armour    *armour // nil: in the clear
	life      *life
	strangers *strangers
	room      func(id uint64) bool    // for a link with a node
	through   func(net.Conn) net.Conn // a test's: connections lead through it; nil in production
}

// A session is a connection whose other side is known to belong to the cluster.
type session struct {
	raw      net.Conn // what is closed
	conn     net.Conn // what is read and written
	meter    *measured
	channel  channel
	peer     hello
	key      []byte // that the other side has proved itself with
	shown    []byte // that this side has proved itself with in the handshake
	outbound bool
}

// free lifts the limits for strangers.
func (s *session) free() {
	s.meter.left = -1
	_ = s.raw.SetDeadline(time.Time{})
}

func (s *session) encrypted() bool { return s.channel.exported != nil }

// dial connects to a node.
func (g *greeter) dial(ctx context.Context, addr string, kind byte) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, greetLimit)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if g.through != nil {
		raw = g.through(raw)
	}
	return g.greet(ctx, raw, func(s *session) error {
		if err := g.encrypt(ctx, s); err != nil {
			return err
		}
		began := time.Now()
		if err := g.introduce(s, kind); err != nil {
			return err
		}
		if err := g.meet(s); err != nil {
			return err
		}
		if s.peer.kind = kind; g.late(s, time.Since(began)) {
			return refusedClock
		}
		return nil
	}, true)
}

// arrived counts who has just connected among the strangers. It comes before accept, and in the order of the
// connections: so no more of them are open than may be, however slowly they are heard out.
func (g *greeter) arrived(raw net.Conn) net.Conn {
	if g.through != nil {
		raw = g.through(raw)
	}
	g.strangers.add(raw)
	return raw
}

// accept hears out who has connected.
func (g *greeter) accept(ctx context.Context, raw net.Conn) (*session, error) {
	defer g.strangers.remove(raw)
	ctx, cancel := context.WithTimeout(ctx, greetLimit)
	defer cancel()
	return g.greet(ctx, raw, func(s *session) error {
		first := &peeked{Conn: s.conn}
		s.conn = first
		if b, err := first.peek(); err != nil {
			return err
		} else if (b == msgHello) != (g.armour == nil) {
			s.conn = s.meter // it can be told in the clear only
			if b == msgHello {
				return refusedClear
			}
			return refusedCrypt
		}
		if err := g.encrypt(ctx, s); err != nil {
			return err
		}
		if err := g.meet(s); err != nil {
			return err
		}
		if g.late(s, 0) {
			return refusedClock
		}
		return g.introduce(s, s.peer.kind)
	}, false)
}

// greet makes a session of a connection, in bounded time and bytes. After an error it is closed, and the
// other side was told what it is if that is for it.
func (g *greeter) greet(
	ctx context.Context, raw net.Conn, talk func(*session) error, outbound bool,
) (*session, error) {
	if !g.life.hold(raw) {
		_ = raw.Close()
		return nil, transport.ErrClosed
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	_ = raw.SetDeadline(time.Now().Add(greetLimit))
	meter := &measured{Conn: raw, left: maxStrangerBytes}
	s := &session{raw: raw, conn: meter, meter: meter, outbound: outbound}
	if err := talk(s); err != nil {
		g.refuse(s, err)
		g.life.letGo(raw)
		return nil, translate(err, outbound)
	}
	return s, nil
}

// refuse tells the other side if it is this side that refuses.
func (g *greeter) refuse(s *session, err error) {
	var r refusal
	if errors.As(err, &r) {
		_ = s.raw.SetDeadline(time.Now().Add(refuseLimit))
		_, _ = s.conn.Write(message(msgRefusal, []byte{byte(r)}))
		// If something that has come isn't read, the system may tell the other side of an error instead.
		if half, ok := s.raw.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
		_, _ = io.Copy(io.Discard, s.meter)
	}
}

// encrypt encrypts a session, if this node does.
func (g *greeter) encrypt(ctx context.Context, s *session) error {
	if g.armour == nil {
		return nil
	}
	conn, ch, err := g.armour.wrap(ctx, s.conn, s.outbound)
	if err != nil {
		return err
	}
	s.conn, s.channel = conn, ch
	return nil
}

// introduce tells the other side who this node is.
func (g *greeter) introduce(s *session, kind byte) error {
	h := hello{
		kind: kind, id: g.node.PeerID, origin: g.node.Origin, clock: g.node.Now(),
		cluster: g.node.ClusterName, addr: g.addr,
	}
	s.shown = g.keys.first()
	body := h.encode(func(said []byte) []byte { return s.channel.prove(s.shown, said) })
	_, err := s.conn.Write(message(msgHello, body))
	return err
}

// meet takes the introduction of the other side.
func (g *greeter) meet(s *session) error {
	typ, body, err := readMessage(s.conn)
	if err != nil {
		return err
	}
	if typ == msgRefusal && len(body) == 1 {
		return refused{refusal(body[0])}
	}
	if typ != msgHello {
		return errMessage
	}
	if s.peer, err = decodeHello(body); err != nil {
		return err
	}
	if g.keys.some() {
		if s.key = g.keys.check(s.channel, s.peer.said, s.peer.proof); s.key == nil {
			return refusedKeys
		}
	}
	switch {
	case s.peer.cluster != g.node.ClusterName:
		return refusedCluster
	case s.peer.origin == g.node.Origin:
		return refusedSelf
	case s.peer.id == g.node.PeerID:
		return refusedInUse
	case !s.outbound && s.peer.kind == kindLink && !g.room(s.peer.id): // before the other side takes it
		return refusedFull
	case g.armour != nil && g.armour.certs != nil:
		state := s.conn.(*tls.Conn).ConnectionState()
		if !g.armour.certs.named(state.PeerCertificates[0], s.peer.id) {
			return refusedName
		}
	}
	s.peer.said, s.peer.proof = nil, nil
	return nil
}

// late reports whether the clocks differ too much. took is how long ago the other side may have looked at
// its clock.
func (g *greeter) late(s *session, took time.Duration) bool {
	if g.node.MaxClockSkew <= 0 {
		return false
	}
	const resolution = time.Millisecond
	ahead := s.peer.clock.Sub(g.node.Now())
	return ahead > g.node.MaxClockSkew || s.outbound && -ahead-took > g.node.MaxClockSkew+resolution
}

// A peeked is a connection of which the first byte was looked at.
type peeked struct {
	net.Conn
	first [1]byte
	has   bool
}

func (p *peeked) peek() (byte, error) {
	_, err := p.Conn.Read(p.first[:])
	p.has = err == nil
	return p.first[0], err
}

func (p *peeked) Read(b []byte) (int, error) {
	if p.has && len(b) > 0 {
		p.has = false
		return copy(b, p.first[:]), nil
	}
	return p.Conn.Read(b)
}
