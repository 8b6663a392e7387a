package memberlist

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	hashi "github.com/hashicorp/memberlist"
)

var errNoLink = errors.New("there is no link")

// A carrier is memberlist's network. Packets go over the links: one for a node without a link is lost, and
// that says something of the node. But of one that is new it says nothing: its pings are answered
// here for a while. Otherwise, while a large cluster starts, all would suspect all, and tell all of it. A stream
// has a connection of its own.
type carrier struct {
	life       *life
	roster     *roster
	dial       func(ctx context.Context, addr string) (net.Conn, error)
	advertised netip.AddrPort

	packets chan *hashi.Packet // not buffered: what was taken was dealt with when the next one is
	streams chan net.Conn

	mu      sync.RWMutex
	stopped bool
	pings   pingLog
}

func newCarrier(l *life, r *roster, dial func(context.Context, string) (net.Conn, error)) *carrier {
	return &carrier{
		life: l, roster: r, dial: dial,
		packets: make(chan *hashi.Packet), streams: make(chan net.Conn),
	}
}

// FinalAdvertiseAddr implements memberlist's Transport.
func (c *carrier) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return c.advertised.Addr().AsSlice(), int(c.advertised.Port()), nil
}

// WriteToAddress implements memberlist's NodeAwareTransport.
func (c *carrier) WriteToAddress(b []byte, to hashi.Address) (time.Time, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.stopped {
		return time.Time{}, errClosing // not a failure of the other side
	}
	c.pings.note(b) // also one that is lost: others are asked then, and their answers waited for
	if id, origin := parseName(to.Name); id != 0 {
		if l := c.roster.link(id); l != nil && l.peer.origin == origin {
			l.control(msgPacket, b)
			return time.Now(), nil
		}
		if seq, ok := pingOf(b); ok && c.roster.awaited(to.Name) {
			c.life.spawn(func() { c.arrived(encodeAnswer(ackType, seq), &net.TCPAddr{}) })
			return time.Now(), nil
		}
	}
	// It is of a kind that has memberlist ask others at once.
	return time.Time{}, &net.OpError{Op: "dial", Net: "tcp", Err: errNoLink}
}

// WriteTo implements memberlist's Transport.
func (c *carrier) WriteTo(b []byte, addr string) (time.Time, error) {
	return c.WriteToAddress(b, hashi.Address{Addr: addr})
}

// arrived takes a packet that has come by a link. Its bytes change afterwards.
func (c *carrier) arrived(b []byte, from net.Addr) {
	select {
	case c.packets <- &hashi.Packet{Buf: bytes.Clone(b), From: from, Timestamp: time.Now()}:
	case <-c.life.ctx.Done():
	}
}

// accepted takes a stream that another node has begun.
func (c *carrier) accepted(conn net.Conn) {
	select {
	case c.streams <- conn:
	case <-c.life.open.Done():
		_ = conn.Close()
	}
}

// DialAddressTimeout implements memberlist's NodeAwareTransport.
func (c *carrier) DialAddressTimeout(to hashi.Address, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(c.life.open, timeout)
	defer cancel()
	return c.dial(ctx, to.Addr)
}

// DialTimeout implements memberlist's Transport.
func (c *carrier) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return c.DialAddressTimeout(hashi.Address{Addr: addr}, timeout)
}

// PacketCh and StreamCh implement memberlist's Transport.
func (c *carrier) PacketCh() <-chan *hashi.Packet { return c.packets }
func (c *carrier) StreamCh() <-chan net.Conn      { return c.streams }

// Shutdown implements memberlist's Transport. memberlist calls it while it still takes packets: so all
// pings that it may wait for are answered here, in the name of those who haven't. Otherwise its goroutines
// would last for up to a probeInterval.
func (c *carrier) Shutdown() error {
	c.mu.Lock()
	c.stopped = true
	acks := c.pings.answers()
	c.mu.Unlock()
	limit := time.NewTimer(drainLimit)
	defer limit.Stop()
	for _, b := range append(acks, nothing) {
		select {
		case c.packets <- &hashi.Packet{Buf: b, From: &net.TCPAddr{}, Timestamp: time.Now()}:
		case <-limit.C:
			return errors.New("bcache: memberlist takes no packets")
		}
	}
	return nil
}

// A stream is a connection of memberlist's.
type stream struct {
	net.Conn
	raw  net.Conn
	life *life
}

func (s *stream) Close() error {
	s.life.letGo(s.raw)
	return nil
}
