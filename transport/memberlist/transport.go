package memberlist

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/transport/engine"
	"github.com/iwanbk/bcache/transport"
)

// A Transport is a node's place in the network. It belongs to one node, and implements transport.Transport.
// All methods may be called at any time, at the same time.
type Transport struct {
	cfg    Config
	keys   *keyring
	life   *life
	roster *roster
	count  engine.Counters

	through func(net.Conn) net.Conn // see greeter

	starting sync.Mutex // Start, against Close
	closing  sync.Once
	closed   atomic.Bool
	closeErr error
	run      atomic.Pointer[running]
}

var _ transport.Transport = (*Transport)(nil)

// New returns the place in the network that a Config describes, for Config.Transport of package bcache,
// which starts and closes it. An error wraps [ErrConfig].
func New(cfg Config) (*Transport, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	t := &Transport{cfg: cfg, keys: newKeyring(cfg.Keys), life: newLife(), roster: newRoster(cfg.MaxConns)}
	t.cfg.Keys = nil // the ring has them
	return t, nil
}

// Start implements transport.Transport. After an error the transport can only be closed.
func (t *Transport) Start(n transport.Node, h transport.Handler) error {
	t.starting.Lock()
	defer t.starting.Unlock()
	if t.closed.Load() {
		return transport.ErrClosed
	}
	if t.run.Load() != nil {
		return errors.New("bcache: the transport was started before")
	}
	r, err := t.start(n, h)
	if err != nil {
		return err
	}
	t.run.Store(r)
	n.Log.Printf(0, "node %x listens on %s", n.PeerID, linelog.Field("addr", t.Addr()))
	if told := r.greeter.addr; told != t.Addr() {
		n.Log.Printf(0, "node %x advertises %s", n.PeerID, linelog.Field("addr", told))
	}
	return nil
}

// Expects implements transport.Transport.
func (t *Transport) Expects() bool { return len(t.cfg.Join) > 0 || t.cfg.Discover != nil }

// Addr is the address that the node listens on, with its real port; "" before Start. What it advertises may be
// another one, see Config.AdvertiseAddr.
func (t *Transport) Addr() string {
	if r := t.run.Load(); r != nil {
		return r.listener.Addr().String()
	}
	return ""
}

// Broadcast implements transport.Transport.
func (t *Transport) Broadcast(frame []byte) {
	if len(frame) == 0 || len(frame) > transport.MaxFrame {
		t.count.Dropped.Add(1)
		return
	}
	now := time.Now()
	for _, l := range t.roster.all() {
		_ = l.queue.Broadcast(now, frame)
	}
}

// Send implements transport.Transport.
func (t *Transport) Send(peer uint64, frame []byte, bulk bool) error {
	if t.closed.Load() {
		return transport.ErrClosed
	}
	l := t.roster.link(peer)
	switch {
	case l == nil || len(frame) == 0:
		return transport.ErrUnknownPeer
	case len(frame) > transport.MaxFrame:
		t.count.Dropped.Add(1)
		return transport.ErrQueueFull
	}
	return l.queue.Send(time.Now(), frame, bulk)
}

// Supersede implements transport.Transport.
func (t *Transport) Supersede(peer uint64) {
	if l := t.roster.link(peer); l != nil {
		l.queue.Supersede()
	}
}

// Disconnect implements transport.Transport.
func (t *Transport) Disconnect(peer uint64) {
	if l := t.roster.link(peer); l != nil {
		l.end(errDisconnect)
	}
}

// Members implements transport.Transport. All members are direct.
func (t *Transport) Members() []transport.Member { return t.roster.listed() }

// Everybody implements transport.Transport. Those that memberlist knows of, and that aren't connected, are
// there.
func (t *Transport) Everybody(within time.Duration) []transport.Presence {
	return t.roster.everybody(within)
}

// Unreached implements transport.Transport.
func (t *Transport) Unreached() []transport.DialFailure {
	r := t.run.Load()
	if r == nil {
		return nil
	}
	now := time.Now()
	return append(r.joiner.unreached(now), r.dialer.unreached(now)...)
}

// Stats implements transport.Transport.
func (t *Transport) Stats() transport.Stats {
	s := t.count.Stats()
	s.DroppedFrames += t.roster.droppedFrames()
	return s
}

// Close implements transport.Transport. An error says that something is left.
func (t *Transport) Close() error {
	t.closing.Do(func() { t.closeErr = t.shutdown() })
	return t.closeErr
}
