package meshnet

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"reflect"
	"runtime"
	"time"
	"unsafe"

	"github.com/weaveworks/mesh"
)

// guts reaches what mesh doesn't export. mesh is frozen since 2019 and go.mod pins
// it; nevertheless every field is checked before it is touched, and without them
// the transport works, except that Close leaves goroutines parked, and that
// IPv6 literals can't be dialled.
type guts struct {
	local  reflect.Value // localPeer.actionChan: chan<- func()
	maker  reflect.Value // connectionMaker.actionChan: chan<- func() bool
	routes reflect.Value // routes.action: chan<- func()
	direct reflect.Value // connectionMaker.directPeers: map[string]*net.TCPAddr
	gc     *time.Timer   // Peers.timer
	accept limiter       // Router.acceptLimiter

	topology reflect.Value // Router.topologyGossip: Gossip, a *gossipChannel
	gossiper reflect.Value // its gossiper: Gossiper, the router
}

var (
	errMeshLayout = errors.New("unexpected layout")
	errMeshBusy   = errors.New("an actor of mesh doesn't answer")
)

func openMeshGuts(r *mesh.Router) (g *guts, err error) {
	defer func() {
		if p := recover(); p != nil {
			g, err = nil, fmt.Errorf("%w: %v", errMeshLayout, p)
		}
	}()
	g = &guts{}
	var gc reflect.Value
	for _, f := range []struct {
		to    *reflect.Value
		owner any
		name  string
		want  reflect.Type
	}{
		{&g.local, r.Ourself, "actionChan", reflect.TypeFor[chan<- func()]()},
		{&g.maker, r.ConnectionMaker, "actionChan", reflect.TypeFor[chan<- func() bool]()},
		{&g.routes, r.Routes, "action", reflect.TypeFor[chan<- func()]()},
		{&g.direct, r.ConnectionMaker, "directPeers", reflect.TypeFor[map[string]*net.TCPAddr]()},
		{&gc, r.Peers, "timer", reflect.TypeFor[*time.Timer]()},
		{&g.topology, r, "topologyGossip", reflect.TypeFor[mesh.Gossip]()},
	} {
		if *f.to, err = field(f.owner, f.name, f.want); err != nil {
			return nil, err
		}
	}
	if g.gc = gc.Interface().(*time.Timer); g.gc == nil {
		return nil, fmt.Errorf("%w: Peers.timer is nil", errMeshLayout)
	}
	channel, ok := g.topology.Interface().(topologyChannel)
	if !ok {
		return nil, fmt.Errorf("%w: the topology's channel has no SendDown", errMeshLayout)
	}
	if g.gossiper, err = field(channel, "gossiper", reflect.TypeFor[mesh.Gossiper]()); err != nil {
		return nil, err
	}
	if own, ok := g.gossiper.Interface().(*mesh.Router); !ok || own != r {
		return nil, fmt.Errorf("%w: the gossiper of the topology isn't the router", errMeshLayout)
	}
	if err := g.accept.open(r); err != nil {
		return nil, err
	}
	// Only connections have this one; the zero of the struct shows whether it is there.
	_, err = field(new(mesh.LocalConnection), "tcpConn", reflect.TypeFor[*net.TCPConn]())
	if err != nil {
		return nil, err
	}
	return g, nil
}

// field returns a field, exported or not, of the struct that owner points to.
// Its type must be want, but for names: a channel of a named func type passes as a
// channel of that func.
func field(owner any, name string, want reflect.Type) (reflect.Value, error) {
	p := reflect.ValueOf(owner)
	if p.Kind() != reflect.Pointer || p.IsNil() || p.Elem().Kind() != reflect.Struct {
		return reflect.Value{}, fmt.Errorf("%w: %T isn't a struct", errMeshLayout, owner)
	}
	f, ok := p.Elem().Type().FieldByName(name)
	if !ok || len(f.Index) != 1 || !sameMeshType(f.Type, want) {
		return reflect.Value{}, fmt.Errorf("%w: %T has no %s %s", errMeshLayout, owner, name, want)
	}
	return reflect.NewAt(f.Type, unsafe.Add(p.UnsafePointer(), f.Offset)).Elem(), nil
}

func sameMeshType(have, want reflect.Type) bool {
	if have.Kind() != want.Kind() {
		return false
	}
	if have.Kind() == reflect.Chan {
		return have.ChanDir() == want.ChanDir() && want.Elem().ConvertibleTo(have.Elem())
	}
	return want.ConvertibleTo(have)
}

// channel is the channel over which routers tell each other of the topology.
func (g *guts) channel() topologyChannel { return g.topology.Interface().(topologyChannel) }

// intercept puts a topology between a router and its topology channel. It may only be
// called before the router starts.
func (g *guts) intercept(ctx context.Context, m *topology) error {
	g.topology.Set(reflect.ValueOf(m))
	g.gossiper.Set(reflect.ValueOf(m))
	return g.send(ctx, g.local, func() {}) // so that its goroutine sees what was set
}

// A limiter reaches mesh's limit of how fast it accepts. It compares wall clocks: where the
// clock is set back by an hour, mesh accepts nobody for an hour, and the goroutine that does
// it can't be ended either.
type limiter struct {
	next   *time.Time     // tokenBucket.earliestUnspentToken
	refill *time.Duration // tokenBucket.refillDuration
}

func (l *limiter) open(r *mesh.Router) error {
	owner, ok := reflect.TypeFor[mesh.Router]().FieldByName("acceptLimiter")
	if !ok || len(owner.Index) != 1 || owner.Type.Kind() != reflect.Pointer {
		return fmt.Errorf("%w: no acceptLimiter", errMeshLayout)
	}
	limiter := reflect.NewAt(owner.Type, unsafe.Add(unsafe.Pointer(r), owner.Offset)).Elem().Interface()
	next, err := field(limiter, "earliestUnspentToken", reflect.TypeFor[time.Time]())
	if err != nil {
		return err
	}
	refill, err := field(limiter, "refillDuration", reflect.TypeFor[time.Duration]())
	if err != nil {
		return err
	}
	l.next, l.refill = next.Addr().Interface().(*time.Time), refill.Addr().Interface().(*time.Duration)
	return nil
}

// disable lets mesh accept without a pause, whatever the clock does: it believes that it hasn't
// accepted anything for 292 years. It may only be called before the router starts.
func (l limiter) disable() { *l.next, *l.refill = time.Time{}, math.MaxInt64 }

// send has an actor of mesh run f.
func (g *guts) send(ctx context.Context, actor reflect.Value, f any) error {
	chosen, _, _ := reflect.Select([]reflect.SelectCase{
		{Dir: reflect.SelectSend, Chan: actor, Send: reflect.ValueOf(f).Convert(actor.Type().Elem())},
		{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(ctx.Done())},
	})
	if chosen != 0 {
		return errMeshBusy
	}
	return nil
}

// dial has mesh connect to an address, which may be IPv6: mesh's own
// InitiateConnections takes no such literal. Forgetting key stops it.
func (g *guts) dial(ctx context.Context, key string, addr *net.TCPAddr) error {
	return g.send(ctx, g.maker, func() bool {
		g.direct.SetMapIndex(reflect.ValueOf(key), reflect.ValueOf(addr))
		return true
	})
}

// hangUp closes a connection under mesh's feet: one whose goroutine is blocked in a
// write doesn't listen to anything else.
func (g *guts) hangUp(c mesh.Connection) {
	lc, ok := c.(*mesh.LocalConnection)
	if !ok || lc == nil {
		return
	}
	if f, err := field(lc, "tcpConn", reflect.TypeFor[*net.TCPConn]()); err == nil {
		if tcp, ok := f.Interface().(*net.TCPConn); ok && tcp != nil {
			_ = tcp.Close()
		}
	}
}

// stop ends the four actors of a router that has no connection left. The order
// matters: each of them calls those that come later. reaped is closed when the
// callback of Peers.OnGC has ended its goroutine.
func (g *guts) stop(ctx context.Context, r *mesh.Router, reaped <-chan struct{}) error {
	if err := g.end(ctx, g.local, func(f func()) any { return f }); err != nil {
		return err
	}
	// The actor of Peers only listens to its timer. It calls back for each node
	// that it forgets: give it one.
	if _, err := r.OnGossip(strayPeer()); err != nil {
		return err
	}
	g.gc.Reset(0)
	select {
	case <-reaped:
	case <-ctx.Done():
		return errMeshBusy
	}
	if err := g.end(ctx, g.routes, func(f func()) any { return f }); err != nil {
		return err
	}
	return g.end(ctx, g.maker, func(f func()) any { return func() bool { f(); return false } })
}

// end ends one actor.
func (g *guts) end(ctx context.Context, actor reflect.Value, as func(func()) any) error {
	done := make(chan struct{})
	err := g.send(ctx, actor, as(func() {
		close(done)
		runtime.Goexit()
	}))
	if err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errMeshBusy
	}
}

// strayPeer encodes a topology update that names a node which nobody is connected to.
func strayPeer() []byte {
	name := make([]byte, mesh.NameSize)
	for i := range name {
		name[i] = byte(rand.Uint32())
	}
	var b bytes.Buffer
	e := gob.NewEncoder(&b)
	_ = e.Encode(struct {
		NameByte []byte
		UID      uint64
	}{name, 1}) // a Buffer doesn't fail
	_ = e.Encode([]struct{ NameByte []byte }{})
	return b.Bytes()
}
