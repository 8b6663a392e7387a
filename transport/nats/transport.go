package nats

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/signal"
	"github.com/iwanbk/bcache/internal/transport/engine"
	"github.com/iwanbk/bcache/transport"
)

// farewell is how long Close waits for what is queued.
const farewell = 300 * time.Millisecond

// A Transport connects a node with the others of its cluster through NATS. It implements
// [transport.Transport]; set it as Config.Transport of package bcache. It belongs to one node.
//
// It is made of these parts:
//
//   - link, dialer: the connection to the servers
//   - presence: this node's sessions, and what the handler is told
//   - roster, departures: who is there, and who was
//   - publisher: what waits to be published
//   - receiver, assembly: what comes in
//   - upcalls: calls of the handler, within the scope that is the life of it all
type Transport struct {
	cfg     Config
	options nats.Options
	scope   *engine.Scope
	count   *counters

	starting sync.Mutex // Start, against Close
	closing  sync.Once
	closeErr error
	started  bool
	run      atomic.Pointer[run] // nil before Start, or if it has failed
}

// A run is what Start has made.
type run struct {
	link     *link
	roster   *roster
	pub      *publisher
	presence *presence

	publishing sync.WaitGroup
	ended      context.CancelFunc // ends the publisher
}

// New returns a Transport that isn't started: bcache.New does that. The error wraps [ErrConfig].
func New(cfg Config) (*Transport, error) {
	cfg, err := cfg.checked()
	if err != nil {
		return nil, err
	}
	o, err := cfg.options()
	if err != nil {
		return nil, err
	}
	return &Transport{cfg: cfg, options: o, scope: engine.NewScope(), count: &counters{}}, nil
}

// Start implements [transport.Transport]. It fails if a server refuses the node's credentials, or if one
// of the two refuses the other's certificate. That no server is reached is no error: the node tries
// again for as long as it lives.
func (t *Transport) Start(n transport.Node, h transport.Handler) error {
	t.starting.Lock()
	defer t.starting.Unlock()
	switch {
	case t.scope.Open.Err() != nil:
		return transport.ErrClosed
	case t.started:
		return errors.New("bcache: the transport was started before")
	}
	t.started = true
	r := t.prepare(n, h)
	r.presence.begin(time.Now(), false) // what comes from now on belongs to a session
	if err := r.link.open(false); err != nil {
		if !fatal(err) && t.scope.Open.Err() == nil {
			n.Log.Errorf(0, "can't connect to NATS: %v", linelog.Field("err", err))
			err = r.link.open(true)
		}
		if err != nil {
			_ = r.link.close()
			return fmt.Errorf("bcache: can't connect to NATS: %w", err)
		}
	}
	t.run.Store(r)
	ctx, cancel := context.WithCancel(context.Background())
	r.ended = cancel
	r.publishing.Go(func() { r.pub.run(ctx) })
	go r.presence.run(t.scope.Open)
	return nil
}

// prepare makes the parts.
func (t *Transport) prepare(n transport.Node, h transport.Handler) *run {
	self := life{n.PeerID, n.Origin}
	names := subjectsOf(t.cfg.Subject, n.ClusterName)
	d := newDialer(t.scope.Open, &t.options)
	wake := make(chan struct{}, 1)
	l := newLink(&t.cfg, t.options, d, n.Log, func() { signal.Notify(wake) })
	pub := newPublisher(self, t.count)
	pub.publish, pub.most = l.publish, l.most
	showCard := func(b []byte) []byte { return card{t.cfg.Name, l.tls.Load()}.append(b) }
	one := func() int { return 1 }
	r := &roster{
		self: self, byID: map[uint64]*peer{}, gone: departures{},
		now: n.Now, log: n.Log, count: t.count, budget: &budget{most: n.MaxPending},
		outlet:  func(to life) *outlet { return pub.outlet(names.of(to), n.MaxPending, one) },
		close:   pub.close,
		changed: func() { signal.Notify(wake) },
		say: func(to life, k kind) {
			subject, body := names.of(to), showCard
			if to == (life{}) {
				subject = names.who
			}
			if k != ask && k != welcome {
				body = nil
			}
			pub.say(subject, k, body)
		},
	}
	u := &upcalls{scope: t.scope, log: n.Log, to: h}
	in := &receiver{roster: r, upcalls: u, log: n.Log, count: t.count}
	l.pending = n.MaxPending
	l.subscriptions = []subscription{{names.of(self), in.node}, {names.all, in.all}, {names.who, in.who}}
	joined := func() int { return int(r.direct.Load()) }
	return &run{link: l, roster: r, pub: pub, presence: &presence{
		link: l, roster: r, pub: pub, upcalls: u, log: n.Log, who: names.who, card: showCard,
		wake: wake, over: make(chan struct{}),
		outlet: func() *outlet { return pub.outlet(names.all, n.MaxPending, joined) },
	}}
}

// Expects implements [transport.Transport]: there may always be others, unless Config says that this node
// is the First. Nobody else can tell it so; it takes itself for that after bcache's Config.SyncTimeout.
func (t *Transport) Expects() bool { return !t.cfg.First }

// Addr implements [transport.Transport]: it is the node's Name, as nobody connects to it.
func (t *Transport) Addr() string { return t.cfg.Name }

// enter returns what runs, or nil. If it isn't nil, leave must be called.
func (t *Transport) enter() *run {
	r := t.run.Load()
	if r == nil || !t.scope.Enter() {
		return nil
	}
	return r
}

// Broadcast implements [transport.Transport].
func (t *Transport) Broadcast(frame []byte) {
	r := t.enter()
	if r == nil {
		return
	}
	defer t.scope.Leave()
	switch {
	case r.roster.direct.Load() == 0:
	case !sound(frame):
		t.count.Dropped.Add(1)
	default:
		r.pub.broadcast(frame)
	}
}

// Send implements [transport.Transport].
func (t *Transport) Send(peer uint64, frame []byte, bulk bool) error {
	r := t.enter()
	if r == nil {
		return transport.ErrClosed
	}
	defer t.scope.Leave()
	q := r.roster.queue(peer)
	switch {
	case q == nil:
		return transport.ErrUnknownPeer
	case !sound(frame):
		t.count.Dropped.Add(1)
		return transport.ErrQueueFull
	}
	return q.Send(time.Now(), frame, bulk)
}

func sound(frame []byte) bool { return len(frame) > 0 && len(frame) <= transport.MaxFrame }

// Supersede implements [transport.Transport]: what is broadcast waits for all others, so nothing is
// dropped.
func (t *Transport) Supersede(uint64) {}

// Disconnect implements [transport.Transport]. The node is joined again after half a second, or longer
// if it is disconnected again and again.
func (t *Transport) Disconnect(peer uint64) {
	if r := t.enter(); r != nil {
		defer t.scope.Leave()
		r.roster.disconnect(time.Now(), peer)
	}
}

// Members implements [transport.Transport]. One is Encrypted if its connection to NATS is, and this
// node's.
func (t *Transport) Members() []transport.Member {
	r := t.enter()
	if r == nil {
		return nil
	}
	defer t.scope.Leave()
	return r.roster.members(r.link.tls.Load())
}

// Everybody implements [transport.Transport].
func (t *Transport) Everybody(within time.Duration) []transport.Presence {
	r := t.enter()
	if r == nil {
		return nil
	}
	defer t.scope.Leave()
	return r.roster.everybody(time.Now(), within)
}

// Unreached implements [transport.Transport]: it lists the Servers while none is reached.
func (t *Transport) Unreached() []transport.DialFailure {
	r := t.enter()
	if r == nil {
		return nil
	}
	defer t.scope.Leave()
	return r.link.unreached()
}

// Stats implements [transport.Transport]. What nats.go drops, as this node is too slow for it, is counted
// in DroppedFrames too.
func (t *Transport) Stats() transport.Stats {
	if r := t.run.Load(); r != nil {
		return t.count.stats(r.roster.dropped() + r.link.drops())
	}
	return t.count.stats(0)
}

// Close implements [transport.Transport]. An error says what didn't end.
func (t *Transport) Close() error {
	t.closing.Do(func() { t.closeErr = t.shut() })
	return t.closeErr
}

// shut ends everything: first calls of the handler, last the connection.
func (t *Transport) shut() error {
	t.scope.Cancel() // a dial that is under way, too
	t.starting.Lock()
	defer t.starting.Unlock()
	t.scope.Shut()
	t.scope.Wait()
	r := t.run.Load()
	if r == nil {
		return nil
	}
	<-r.presence.over
	ended := r.pub.finish(r.presence.who, bye)
	limit := time.NewTimer(farewell)
	defer limit.Stop()
	select {
	case <-ended:
	case <-limit.C:
	}
	err := r.link.close()
	r.ended()
	r.publishing.Wait()
	return err
}
