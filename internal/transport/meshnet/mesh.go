package meshnet

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/transport/engine"
	"github.com/iwanbk/bcache/transport"
)

// A Transport is the transport over weaveworks/mesh. mesh connects, encrypts and finds the ways by
// others; who is connected, who is dialled, how frames go and how everything ends is decided here, by
// the parts that New puts together:
//
//   - scope: the life of it all, which Close ends
//   - router, meshRun, guts: mesh's router, and what it lacks
//   - overlay, admission, asker: the handshake, and which connection lives
//   - meshConn, ender, lineRests: a connection, how it ends, and what it leaves
//   - peerTable: who is connected, and who is reached by whom
//   - watcher, upcalls: who joined, who left
//   - discovery, book: where others are
//   - dialTargets, resolver, dialer: whom to dial
//   - sender, meshReceiver, meshLine: how frames go, and what waits
//   - topology, logger, accepts: what mesh says, logs and accepts, held within bounds
//
// Locks but starting are held for a moment, over nothing that waits. Where two are held, this is their
// order: that of dialTargets, that of peerTable, then that of book or mesh's own; a meshLine's comes
// before that of scope.
type Transport struct {
	cfg   *Config
	scope *scope // every goroutine of ours, and every call between us and mesh

	starting sync.Mutex // Start, against Close
	closing  sync.Once
	closeErr error

	router   *router
	overlay  *overlay
	logger   *logger
	peers    *peerTable
	book     *book
	targets  *dialTargets
	resolver *resolver
	dials    *dialer
	watcher  *watcher
	upcalls  *engine.Upcalls
	sender   *sender
	ends     *ender
	count    *engine.Counters
}

func New(cfg Config) (*Transport, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	self := cfg.PeerID
	scope, count := newMeshScope(cfg.Log), new(engine.Counters)
	upcalls := &engine.Upcalls{Open: scope.Open, Log: cfg.Log}
	accepts, book, rests := newMeshAccepts(), newMeshBook(), newLineRests()
	peers := newPeerTable(self, cfg.MaxConns, cfg.Now)
	router := newMeshRouter(&cfg, scope, peers)
	ends := &ender{scope: scope, peers: peers, router: router}
	sender := &sender{self: self, peers: peers, count: count}
	asker := newMeshAsker(scope, sender)

	targets := newDialTargets(self, cfg.Peers, peers)
	resolver := &resolver{
		cfg: &cfg, scope: scope, router: router, peers: peers, book: book, targets: targets,
		look: make(chan struct{}, 1),
	}
	dials := &dialer{
		scope: scope, now: cfg.Now, router: router, peers: peers, targets: targets, sender: sender,
		hands: make(chan struct{}, dialHands), attempts: make(map[string]*dialAttempt),
	}
	discovery := &discovery{
		self: self, origin: cfg.Origin, scope: scope, peers: peers, book: book,
		sender: sender, asker: asker, targets: targets, resolver: resolver,
	}
	watcher := &watcher{
		scope: scope, router: router, peers: peers, book: book, rests: rests,
		upcalls: upcalls, discovery: discovery, targets: targets,
		wake: make(chan struct{}, 1),
	}
	receiver := &meshReceiver{
		self: self, scope: scope, upcalls: upcalls, sender: sender, discovery: discovery,
		count: count,
	}
	admission := &admission{
		self: self, scope: scope, peers: peers, router: router, asker: asker, ends: ends,
		book: book, targets: targets,
	}
	hub := &connHub{
		scope: scope, peers: peers, rests: rests, book: book, targets: targets,
		watcher: watcher, receiver: receiver,
	}
	return &Transport{
		cfg: &cfg, scope: scope, router: router, peers: peers, book: book,
		overlay: &overlay{
			cfg: &cfg, scope: scope, router: router, accepts: accepts, dials: dials,
			admission: admission, hub: hub, count: count,
		},
		logger: &logger{
			self: self, secret: cfg.Key != nil, scope: scope, router: router, peers: peers,
			accepts: accepts, dials: dials, count: count,
		},
		targets: targets, resolver: resolver, dials: dials, watcher: watcher, upcalls: upcalls,
		sender: sender, ends: ends, count: count,
	}, nil
}

// Start implements transport.Transport. After an error the transport can only be closed.
func (t *Transport) Start(_ transport.Node, h transport.Handler) error {
	t.starting.Lock()
	defer t.starting.Unlock()
	if !t.scope.Enter() {
		return transport.ErrClosed
	}
	defer t.scope.Leave()
	if t.router.run.Load() != nil {
		return errors.New("bcache: the transport was started before")
	}

	t.upcalls.To = h
	if err := t.router.start(t.overlay, t.logger, t.watcher.poke); err != nil {
		t.upcalls.To = nil
		t.scope.Shut()
		t.scope.Cancel()
		return fmt.Errorf("bcache: can't listen on %s: %w", t.cfg.ListenAddr, err)
	}
	t.scope.spawn(t.watcher.loop)
	if topology := t.router.run.Load().topology; topology != nil {
		t.scope.spawn(topology.loop)
	}
	t.scope.spawn(t.dials.loop)
	t.scope.spawn(t.resolver.loop)
	t.scope.log.Printf(0, "node %x listens on %s", t.cfg.PeerID, linelog.Field("addr", t.Addr()))
	return nil
}

// Expects implements transport.Transport.
func (t *Transport) Expects() bool { return len(t.cfg.Peers) > 0 }

// Addr implements transport.Transport.
func (t *Transport) Addr() string { return t.router.listensOn() }

// Broadcast implements transport.Transport.
func (t *Transport) Broadcast(frame []byte) {
	if t.scope.Enter() {
		defer t.scope.Leave()
		t.sender.broadcast(frame)
	}
}

// Send implements transport.Transport.
func (t *Transport) Send(peer uint64, frame []byte, bulk bool) error {
	if !t.scope.Enter() {
		return transport.ErrClosed
	}
	defer t.scope.Leave()
	lane := laneFirst
	if bulk {
		lane = laneBulk
	}
	return t.sender.send(peer, lineItem{kind: itemFrame, bytes: frame, own: true}, lane)
}

// Supersede implements transport.Transport.
func (t *Transport) Supersede(peer uint64) {
	if l := t.peers.lineTo(peer); l != nil {
		l.supersede()
	}
}

// Disconnect implements transport.Transport.
func (t *Transport) Disconnect(peer uint64) { t.ends.disconnect(peer) }

// Members implements transport.Transport.
func (t *Transport) Members() []transport.Member { return t.peers.members(t.book.addrOf) }

// Everybody implements transport.Transport.
func (t *Transport) Everybody(within time.Duration) []transport.Presence {
	return t.peers.everybody(within, t.book.addrOf)
}

// Unreached implements transport.Transport.
func (t *Transport) Unreached() []transport.DialFailure { return t.targets.unreached(time.Now()) }

// Stats implements transport.Transport.
func (t *Transport) Stats() transport.Stats { return t.count.Stats() }
