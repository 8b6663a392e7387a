package meshnet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime/pprof"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/weaveworks/mesh"
)

const (
	label     = "bcache-mesh"
	portTries = 20 // free ports that are tried for port 0
)

const (
	running int32 = iota
	ending        // nothing new begins
	dead          // mesh's actors end
)

// A router is mesh's Router with what that lacks: a start that returns an error, and an end.
type router struct {
	cfg   *Config
	scope *scope
	peers *peerTable
	label string // marks the goroutines that mesh starts for this transport

	run      atomic.Pointer[meshRun] // nil before start
	phase    atomic.Int32
	accepted chan struct{} // closed when mesh's accept loop has ended
	dialled  atomic.Bool   // to end it: the next connection does
	reaped   chan struct{} // closed when the actor of mesh's Peers has ended

	mu   sync.Mutex // nothing else is locked under it
	addr string     // listened on
}

func newMeshRouter(cfg *Config, scope *scope, peers *peerTable) *router {
	return &router{
		cfg: cfg, scope: scope, peers: peers,
		label:    strconv.FormatUint(rand.Uint64(), 16),
		accepted: make(chan struct{}),
		reaped:   make(chan struct{}),
		addr:     cfg.ListenAddr,
	}
}

// start has mesh listen. changed is called when routes change; it must not call into mesh.
func (r *router) start(overlay mesh.Overlay, logger mesh.Logger, changed func()) error {
	// The label comes with every goroutine that mesh starts from here: Close has no
	// other way to see that they are gone.
	started := make(chan error, 1)
	go func() {
		pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels(label, r.label)))
		started <- r.listen(overlay, logger, changed)
	}()
	return <-started
}

// listen makes a router and has it listen.
func (r *router) listen(overlay mesh.Overlay, logger mesh.Logger, changed func()) error {
	addr, err := resolveListen(r.scope.Open, r.cfg.ListenAddr)
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
		Password:           r.cfg.Key,
		ConnLimit:          0, // admission counts, and can say so to the other side
		ProtocolMinVersion: 2, // below, strangers can crash mesh
	}, mesh.PeerName(r.cfg.PeerID), "", overlay, logger)
	if err != nil {
		return err
	}
	run := &meshRun{router: router}
	if err := r.open(run); err != nil {
		return err
	}
	router.Peers.OnGC(func(*mesh.Peer) { r.reapPeers() })
	router.Routes.OnChange(changed)
	r.run.Store(run)
	if err := r.bind(router, host, addr.Port); err != nil {
		r.stopActors(run)
		return err
	}
	return nil
}

// open reaches into a router that hasn't started.
func (r *router) open(run *meshRun) error {
	guts, err := openMeshGuts(run.router)
	if err != nil {
		r.scope.log.Errorf(0, "mesh isn't as expected, Close will leave goroutines behind: %v",
			linelog.Field("err", err))
		return nil
	}
	guts.accept.disable()
	run.guts = guts
	run.topology = newMeshTopology(r.scope, r.peers, run, run.router, guts.channel())
	return guts.intercept(r.scope.Open, run.topology)
}

// bind starts a router on a port, 0 for a free one.
func (r *router) bind(router *mesh.Router, host string, port int) error {
	for try := 1; ; try++ {
		router.Port = port
		if port == 0 {
			var err error
			if router.Port, err = freePort(host); err != nil {
				return err
			}
		}
		r.setAddr(net.JoinHostPort(host, strconv.Itoa(router.Port)))
		err := startRouter(router)
		if err == nil || port != 0 || try == portTries { // otherwise somebody was faster
			return err
		}
	}
}

// resolveListen turns a ListenAddr into an address; its IP is nil for "all".
func resolveListen(ctx context.Context, listen string) (*net.TCPAddr, error) {
	host, service, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "tcp", service)
	if err != nil || host == "" {
		return &net.TCPAddr{Port: port}, err
	}
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, host)
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

// listensOn is the address that is listened on.
func (r *router) listensOn() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.addr
}

func (r *router) setAddr(addr string) {
	r.mu.Lock()
	r.addr = addr
	r.mu.Unlock()
}

// advertised is the address that others get; its host may be unspecified.
func (r *router) advertised() string {
	listen := r.listensOn()
	if r.cfg.AdvertiseAddr == "" {
		return listen
	}
	return withPort(r.cfg.AdvertiseAddr, listen)
}
