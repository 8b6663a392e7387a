package bcache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime/pprof"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weaveworks/mesh"
)

const (
	meshMaxPending = 64 << 20
	meshPortTries  = 20               // free ports that are tried for port 0
	meshRestFor    = 30 * time.Second // for so long a frame that was under way waits for another connection
	meshRests      = 16               // such frames, each way
)

// meshConfig describes a meshTransport.
type meshConfig struct {
	PeerID, Origin uint64 // PeerID is 1 to 2^48-1

	ListenAddr    string // host:port; port 0 picks a free one
	AdvertiseAddr string // "" is ListenAddr
	Peers         []string
	ClusterName   string
	Key           []byte        // the stretched secret; empty is open
	MaxClockSkew  time.Duration // nodes whose clocks differ by more are refused
	MaxConns      int
	MaxPending    int           // bytes that may wait for a node; 0 is meshMaxPending
	lineAge       time.Duration // 0 is lineAge
	Log           *lineLog
	Now           func() time.Time // the wall clock that handshakes compare; nil is time.Now

	// Resolve returns all addresses of a host in Peers, or of one that was learnt; nil asks
	// the system.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
}

// A meshTransport is the transport over weaveworks/mesh. mesh connects, encrypts and finds the ways by
// others; who is connected, who is dialled, how frames go and how everything ends is decided here.
//
//   - mesh_accept.go: how fast is accepted
//   - mesh_overlay.go: the handshake, and which connection lives
//   - mesh_end.go: how a connection ends
//   - mesh_topology.go: what nodes tell each other of who is connected
//   - mesh_watch.go: who joined, who left
//   - mesh_dial.go, mesh_book.go: whom to dial
//   - mesh_frames.go, mesh_line.go, mesh_relay.go: how frames go, and what waits
//   - mesh_close.go, meshguts.go: mesh's oddities: what it logs, and how to end what it can't end
type meshTransport struct {
	cfg   meshConfig
	log   *lineLog
	label string     // marks the goroutines that mesh starts for this transport
	scope *meshScope // every goroutine of ours, and every call between us and mesh

	starting sync.Mutex              // Start, against Close
	run      atomic.Pointer[meshRun] // nil before Start
	phase    atomic.Int32
	accepted chan struct{} // closed when mesh's accept loop has ended
	dialled  atomic.Bool   // to end it: the next connection does
	reaped   chan struct{} // closed when the actor of mesh's Peers has ended
	closing  sync.Once
	closeErr error

	wake      chan struct{} // to the watcher: look who is there
	count     meshCounters
	accepts   meshAccepts
	transfers atomic.Uint64 // numbers of pieces, drawn so far
	dials     meshDialer
	book      meshBook

	mu        sync.Mutex
	addr      string // listened on
	peers     map[uint64]*meshPeer
	relayed   map[uint64]meshHop     // nodes reached through others
	saidAlone bool                   // the watcher has said that no other node is reached
	rests     map[uint64]lineRest    // of connections that have ended
	pings     map[uint64]chan uint64 // by nonce; gets the origin that answers
}

// meshRun is what exists from Start on.
type meshRun struct {
	handler  transportHandler
	router   *mesh.Router
	guts     *meshGuts     // nil if mesh isn't as expected
	topology *meshTopology // nil then too
}

// A meshHop is the way to a node that isn't directly connected.
type meshHop struct {
	since time.Time // it is known
	hop   uint64    // the node that leads to it
}

type meshCounters struct {
	framesIn, framesOut, bytesIn, bytesOut, dropped, refusedSkew, refusedOther atomic.Uint64
}

func newMeshTransport(cfg meshConfig) (*meshTransport, error) {
	if cfg.PeerID == 0 || cfg.PeerID >= 1<<48 {
		return nil, fmt.Errorf("bcache: PeerID %d isn't within 1 to 2^48-1", cfg.PeerID)
	}
	if _, _, err := net.SplitHostPort(cfg.ListenAddr); err != nil {
		return nil, fmt.Errorf("bcache: ListenAddr: %w", err)
	}
	if len(cfg.Key) == 0 {
		cfg.Key = nil // to mesh an empty password is a password
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Resolve == nil {
		cfg.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if cfg.Log == nil {
		cfg.Log = newLineLog(nil, cfg.Now)
	}
	t := &meshTransport{
		cfg:      cfg,
		log:      cfg.Log,
		scope:    newMeshScope(cfg.Log),
		label:    strconv.FormatUint(rand.Uint64(), 16),
		accepted: make(chan struct{}),
		reaped:   make(chan struct{}),
		wake:     make(chan struct{}, 1),
		addr:     cfg.ListenAddr,
		peers:    make(map[uint64]*meshPeer),
		relayed:  make(map[uint64]meshHop),
		rests:    make(map[uint64]lineRest),
		pings:    make(map[uint64]chan uint64),
	}
	t.accepts.init()
	t.dials.init(t)
	t.book.init()
	return t, nil
}

// Start implements transport. After an error the transport can only be closed.
func (t *meshTransport) Start(h transportHandler) error {
	t.starting.Lock()
	defer t.starting.Unlock()
	if !t.scope.enter() {
		return ErrClosed
	}
	defer t.scope.leave()
	if t.run.Load() != nil {
		return errors.New("bcache: the transport was started before")
	}

	// The label comes with every goroutine that mesh starts from here: Close has no
	// other way to see that they are gone.
	started := make(chan error, 1)
	go func() {
		pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels(meshLabel, t.label)))
		started <- t.listen(h)
	}()
	if err := <-started; err != nil {
		t.scope.shut()
		t.scope.cancel()
		return fmt.Errorf("bcache: can't listen on %s: %w", t.cfg.ListenAddr, err)
	}
	t.scope.spawn(t.watch)
	if topology := t.run.Load().topology; topology != nil {
		t.scope.spawn(topology.loop)
	}
	t.scope.spawn(t.dials.loop)
	t.scope.spawn(t.dials.resolveLoop)
	t.log.Printf(0, "node %x listens on %s", t.cfg.PeerID, t.Addr())
	return nil
}

// listen makes a router and has it listen.
func (t *meshTransport) listen(h transportHandler) error {
	addr, err := t.resolveListen()
	if err != nil {
		return err
	}
	host := ""
	if addr.IP != nil {
		host = (&net.IPAddr{IP: addr.IP, Zone: addr.Zone}).String()
	}
	router, err := mesh.NewRouter(mesh.Config{
		Host:               host,
		Port:               addr.Port,
		Password:           t.cfg.Key,
		ConnLimit:          0, // admit counts, and can say so to the other side
		ProtocolMinVersion: 2, // below, strangers can crash mesh
	}, mesh.PeerName(t.cfg.PeerID), "", t, meshLogger{t})
	if err != nil {
		return err
	}
	run := &meshRun{handler: h, router: router}
	var odd error
	if run.guts, odd = openMeshGuts(router); odd != nil {
		t.log.Errorf(0, "mesh isn't as expected, Close will leave goroutines behind: %v", odd)
	} else {
		run.guts.accept.disable()
		if run.topology, err = run.guts.intercept(t, router); err != nil {
			return err
		}
	}
	router.Peers.OnGC(func(*mesh.Peer) { t.reapPeers() })
	router.Routes.OnChange(t.poke) // it must not call into mesh
	t.run.Store(run)
	for try := 1; err == nil; try++ {
		port := addr.Port
		if port == 0 {
			if port, err = freePort(host); err != nil {
				break
			}
		}
		t.setAddr(net.JoinHostPort(host, strconv.Itoa(port)))
		router.Port = port
		if err = startRouter(router); err == nil {
			return nil
		}
		if addr.Port == 0 && try < meshPortTries {
			err = nil // somebody was faster
		}
	}
	t.stopActors(run)
	return err
}

// resolveListen turns ListenAddr into an address; its IP is nil for "all".
func (t *meshTransport) resolveListen() (*net.TCPAddr, error) {
	host, service, err := net.SplitHostPort(t.cfg.ListenAddr)
	if err != nil {
		return nil, err
	}
	port, err := net.DefaultResolver.LookupPort(t.scope.ctx, "tcp", service)
	if err != nil || host == "" {
		return &net.TCPAddr{Port: port}, err
	}
	ips, err := net.DefaultResolver.LookupIPAddr(t.scope.ctx, host)
	if err != nil {
		return nil, err
	}
	ip := ips[0]
	for _, other := range ips { // "localhost" is rather 127.0.0.1 than ::1, as for net.Listen
		if other.IP.To4() != nil {
			ip = other
			break
		}
	}
	return &net.TCPAddr{IP: ip.IP, Zone: ip.Zone, Port: port}, nil
}

// startRouter has mesh listen, which panics where others return an error.
func startRouter(r *mesh.Router) (err error) {
	defer func() {
		if p := recover(); p != nil {
			var ok bool
			if err, ok = p.(error); !ok {
				err = fmt.Errorf("%v", p)
			}
		}
	}()
	r.Start()
	return nil
}

func freePort(host string) (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Addr implements transport.
func (t *meshTransport) Addr() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.addr
}

func (t *meshTransport) setAddr(addr string) {
	t.mu.Lock()
	t.addr = addr
	t.mu.Unlock()
}

// Members implements transport.
func (t *meshTransport) Members() []Member {
	t.mu.Lock()
	defer t.mu.Unlock()
	var ms []Member
	for id, p := range t.peers {
		if !p.told { // before, the handler may not send it what is written
			continue
		}
		m := Member{ID: id, Since: p.joined.since, Direct: true}
		if c := p.current(); c != nil {
			m.Addr, m.Inbound, m.Encrypted = c.addr, !c.outbound, c.encrypted
		}
		ms = append(ms, m)
	}
	for id, way := range t.relayed {
		ms = append(ms, Member{ID: id, Since: way.since, Addr: t.book.addrOf(id)})
	}
	slices.SortFunc(ms, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return ms
}

// Stats implements transport.
func (t *meshTransport) Stats() transportStats {
	c := &t.count
	return transportStats{
		framesIn: c.framesIn.Load(), framesOut: c.framesOut.Load(),
		bytesIn: c.bytesIn.Load(), bytesOut: c.bytesOut.Load(),
		droppedFrames: c.dropped.Load(),
		refusedSkew:   c.refusedSkew.Load(), refusedOther: c.refusedOther.Load(),
	}
}

// deliver hands a frame to the handler, on the goroutine of mesh that received it.
func (t *meshTransport) deliver(from uint64, frame []byte) {
	if from == t.cfg.PeerID || !t.scope.enter() {
		return
	}
	defer t.scope.leave()
	defer t.scope.recovered("Receive")
	t.count.framesIn.Add(1)
	t.count.bytesIn.Add(uint64(len(frame)))
	t.run.Load().handler.Receive(from, frame)
}

// poke wakes the watcher.
func (t *meshTransport) poke() { notify(t.wake) }
