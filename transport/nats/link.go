package nats

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/transport/lanes"
	"github.com/iwanbk/bcache/transport"
)

const (
	flushLimit = 5 * time.Second // for the server to have read the subscriptions
	endLimit   = time.Second     // for nats.go to end its goroutines
	polite     = 200 * time.Millisecond

	// A message of a subscription that waits for the handler counts by its bytes, of which there may be
	// Node.MaxPending, and by itself.
	maxWaiting = 256 << 10
)

// A link is the connection to the servers. nats.go connects again by itself; if it gives up, open is
// called again.
type link struct {
	servers []string // host:port, for people
	secure  bool     // TLS is asked for
	options nats.Options
	dialer  *dialer
	log     transport.Logger
	wake    func() // something has changed; it doesn't wait

	subscriptions []subscription // in this order
	pending       int            // bytes of each that may wait for the handler

	conn    atomic.Pointer[nats.Conn] // nil: open has failed, or wasn't called
	state   atomic.Int32              // as nats.go has told last; its own methods wait for writes
	tls     atomic.Bool               // the last connection is encrypted
	losses  atomic.Uint64             // how often it was disconnected
	slow    atomic.Bool               // messages were dropped here
	running sync.WaitGroup            // goroutines of nats.go that call the transport

	mu      sync.Mutex
	failing error // why there is no connection; nil: there is one
	since   time.Time
	watched []watched
	dropped uint64 // messages of what was watched before
}

// The states of a link.
const (
	down   = iota // nats.go tries to connect
	up            // it has connected
	closed        // it has given up, or wasn't called
)

type subscription struct {
	subject string
	handle  nats.MsgHandler
}

// newLink prepares a link.
func newLink(cfg *Config, o nats.Options, d *dialer, log transport.Logger, wake func()) *link {
	l := &link{secure: o.Secure, options: o, dialer: d, log: log, wake: wake}
	l.state.Store(closed)
	for _, s := range cfg.Servers {
		l.servers = append(l.servers, hostOf(s))
		l.secure = l.secure || strings.HasPrefix(s, "tls:") || strings.HasPrefix(s, "wss:")
	}
	l.options.CustomDialer = d
	l.options.ConnectedCB = l.connectedBy(o.ConnectedCB)
	l.options.ReconnectedCB = l.connectedBy(o.ReconnectedCB)
	l.options.DisconnectedErrCB = func(c *nats.Conn, err error) {
		l.lost(down, err)
		if o.DisconnectedErrCB != nil {
			o.DisconnectedErrCB(c, err)
		}
	}
	l.options.ReconnectErrCB = func(c *nats.Conn, err error) {
		l.failed(err)
		l.log.Errorf(0, "can't connect to NATS: %v", linelog.Field("err", err))
		if o.ReconnectErrCB != nil {
			o.ReconnectErrCB(c, err)
		}
	}
	l.options.AsyncErrorCB = func(c *nats.Conn, s *nats.Subscription, err error) {
		l.wrong(err)
		if o.AsyncErrorCB != nil {
			o.AsyncErrorCB(c, s, err)
		}
	}
	l.options.ClosedCB = func(c *nats.Conn) {
		if o.ClosedCB != nil {
			o.ClosedCB(c)
		}
		l.lost(closed, c.LastError())
		l.running.Done()
	}
	return l
}

func (l *link) connectedBy(then nats.ConnHandler) nats.ConnHandler {
	return func(c *nats.Conn) {
		l.failed(nil)
		l.log.Printf(0, "connected to NATS at %s", linelog.Field("addr", c.ConnectedAddr()))
		l.tls.Store(l.secure || c.TLSRequired())
		l.state.Store(up)
		l.wake()
		if then != nil {
			then(c)
		}
	}
}

// lost handles that the connection has ended: on purpose, if err is nil.
func (l *link) lost(state int32, err error) {
	if err != nil && l.dialer.ctx.Err() == nil {
		l.failed(err)
		l.log.Errorf(0, "disconnected from NATS: %v", linelog.Field("err", err))
	}
	l.state.Store(state)
	l.losses.Add(1)
	l.wake()
}

// failed notes why there is no connection.
func (l *link) failed(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failing == nil {
		l.since = time.Now()
	}
	l.failing = why
}

// wrong handles what a server complains about, and that this node doesn't take what comes.
func (l *link) wrong(err error) {
	if errors.Is(err, nats.ErrSlowConsumer) {
		l.slow.Store(true)
		l.wake()
		l.log.Errorf(0, "this node is too slow for what comes from NATS: some was dropped, and it joins again")
		return
	}
	if l.state.Load() != up { // of credentials nats.go says it only here
		l.failed(err)
		l.log.Errorf(0, "can't connect to NATS: %v", linelog.Field("err", err))
		return
	}
	l.log.Errorf(0, "NATS complains: %v", linelog.Field("err", err))
}

// open connects and subscribes. If no server is reached it goes on in the background, if retry is set.
func (l *link) open(retry bool) error {
	o := l.options
	o.RetryOnFailedConnect = retry
	l.running.Add(1) // see ClosedCB
	l.state.Store(down)
	stop := context.AfterFunc(l.dialer.ctx, l.dialer.cut) // the server may be silent, which ctx doesn't end
	c, err := o.Connect()
	stop()
	if err != nil {
		l.running.Done()
		l.state.Store(closed)
		l.failed(err)
		return err
	}
	var subs []*nats.Subscription
	for _, s := range l.subscriptions {
		sub, err := c.Subscribe(s.subject, s.handle)
		if err != nil {
			c.Close()
			return err
		}
		l.running.Add(1)
		sub.SetClosedHandler(func(string) { l.running.Done() })
		_ = sub.SetPendingLimits(maxWaiting, l.pending)
		subs = append(subs, sub)
	}
	l.watch(subs)
	l.conn.Store(c)
	return nil
}

// fatal reports whether a node that starts can't be right: its credentials, or certificates.
func fatal(err error) bool {
	for _, f := range []error{
		nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired,
		nats.ErrTLS, nats.ErrSecureConnRequired, nats.ErrSecureConnWanted, nats.ErrNkeysNotSupported,
		nats.ErrNkeyAndUser, nats.ErrNkeyButNoSigCB, nats.ErrTokenAlreadySet, os.ErrNotExist, os.ErrPermission,
	} {
		if errors.Is(err, f) {
			return true
		}
	}
	var alert *net.OpError // of TLS: the server refuses this node's certificate
	return errors.As(err, &alert) && alert.Op == "remote error"
}

// flush waits until the server has read the subscriptions, and says whether it takes them.
func (l *link) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, flushLimit)
	defer cancel()
	c := l.conn.Load()
	if err := c.FlushWithContext(ctx); err != nil {
		return err
	}
	if err := c.LastError(); errors.Is(err, nats.ErrPermissionViolation) {
		return err
	}
	return nil
}

// again has the link connect anew.
func (l *link) again() {
	if c := l.conn.Load(); c != nil {
		_ = c.ForceReconnect()
	}
}

func (l *link) publish(subject string, message []byte) error {
	c := l.conn.Load()
	if c == nil {
		return nats.ErrConnectionClosed
	}
	return c.Publish(subject, message)
}

// most is how many bytes a message may have.
func (l *link) most() int {
	if c := l.conn.Load(); c != nil {
		if n := c.MaxPayload(); n > 0 {
			return int(min(n, 2*lanes.PieceSize))
		}
	}
	return lanes.PieceSize
}

// unreached lists the servers, if none is reached.
func (l *link) unreached() (list []transport.DialFailure) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failing == nil {
		return nil
	}
	for _, s := range l.servers {
		list = append(list, transport.DialFailure{
			Addr: s, Configured: true, Err: l.failing, Lasting: time.Since(l.since),
		})
	}
	return list
}

// A watched subscription is one that is open.
type watched struct {
	*nats.Subscription
	dropped uint64 // messages, as this node was too slow for them
}

// watch has drops count those of other subscriptions from now on.
func (l *link) watch(subs []*nats.Subscription) {
	before := l.drops()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropped, l.watched = before, nil
	for _, s := range subs {
		l.watched = append(l.watched, watched{Subscription: s})
	}
}

// drops is how many messages nats.go has dropped.
func (l *link) drops() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.dropped
	for i := range l.watched {
		w := &l.watched[i]
		if n, err := w.Dropped(); err == nil { // of one that is closed it says nothing
			w.dropped = uint64(n)
		}
		all += w.dropped
	}
	return all
}

// close ends the connection. What was published is sent if that takes a moment only.
func (l *link) close() error {
	defer l.dialer.cut()
	c := l.conn.Load()
	if c == nil {
		return nil
	}
	cut := time.AfterFunc(polite, l.dialer.cut) // nats.go may be in the middle of a write, or of a dial
	defer cut.Stop()
	if c.IsConnected() {
		_ = c.FlushTimeout(polite)
	}
	l.drops() // they can't be counted later
	c.Close()
	ended := make(chan struct{})
	go func() {
		l.running.Wait()
		close(ended)
	}()
	limit := time.NewTimer(endLimit)
	defer limit.Stop()
	select {
	case <-ended:
		return nil
	case <-limit.C:
		return fmt.Errorf("bcache: a handler of nats.go still runs after %v", endLimit)
	}
}
