package meshnet

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/transport"
	"github.com/iwanbk/bcache/transport/transporttest"
)

// A kitNet is a network between the nodes of the conformance kit. Each dials each by a proxy of its own,
// to which a name leads that it alone resolves so. So all that a node says and hears can be cut and
// stopped.
type kitNet struct {
	t testing.TB

	mu    sync.Mutex
	nodes []*kitNode
	pairs map[[2]int]*proxy // from a node to another one, by their place in nodes
	ended bool
}

// A kitNode is a node on a kitNet.
type kitNode struct {
	*Transport
	addr   string // host:port at which it listens
	name   string // host:port at which it says that it is
	killed bool
	frozen bool
}

// kitLog logs to the kit.
type kitLog struct{ to transport.Logger }

func (l kitLog) Errorf(format string, v ...any) { l.to.Errorf(0, format, v...) }
func (l kitLog) Printf(format string, v ...any) { l.to.Printf(0, format, v...) }
func (l kitLog) Debugf(format string, v ...any) { l.to.Debugf(0, format, v...) }

func newKitNet(t testing.TB) *kitNet {
	n := &kitNet{t: t, pairs: map[[2]int]*proxy{}}
	t.Cleanup(n.end)
	return n
}

// loopbacks reports whether all of 127.0.0.0/8 is this machine, as it is on Linux.
func loopbacks() bool {
	l, err := net.Listen("tcp", "127.1.1.2:0")
	if err == nil {
		l.Close()
	}
	return err == nil
}

// make makes a node.
func (n *kitNet) make(s transporttest.Spec) (transport.Transport, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	one := &kitNode{addr: cmp.Or(s.Addr, testkit.FreeAddr(n.t))}
	_, port, _ := net.SplitHostPort(one.addr)
	self := len(n.nodes)
	one.name = net.JoinHostPort(fmt.Sprintf("n%d.kit", self), port)
	cfg := Config{
		PeerID: s.PeerID, Origin: s.Origin, ListenAddr: one.addr, ClusterName: s.ClusterName,
		MaxClockSkew: s.MaxClockSkew, MaxConns: 256, MaxPending: s.MaxPending, Now: s.Now,
		Log: linelog.New(kitLog{s.Log}, time.Now),
	}
	if loopbacks() {
		cfg.AdvertiseAddr = one.name
		cfg.Resolve = func(_ context.Context, host string) ([]netip.Addr, error) {
			return n.resolve(self, host)
		}
	}
	for _, addr := range s.Peers {
		i := slices.IndexFunc(n.nodes, func(o *kitNode) bool { return o.addr == addr && !o.killed })
		if i >= 0 && loopbacks() {
			addr = n.nodes[i].name
		}
		cfg.Peers = append(cfg.Peers, addr)
	}
	t, err := New(cfg)
	if err != nil {
		return nil, err
	}
	one.Transport = t
	n.nodes = append(n.nodes, one)
	return t, nil
}

// resolve returns the address of the proxy by which a node dials another one.
func (n *kitNet) resolve(from int, host string) ([]netip.Addr, error) {
	var to int
	if _, err := fmt.Sscanf(host, "n%d.kit", &to); err != nil {
		ip, err := netip.ParseAddr(host)
		return []netip.Addr{ip}, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	ip := netip.AddrFrom4([4]byte{127, 1, byte(from), byte(to)})
	if to == from {
		ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	} else if n.pairs[[2]int{from, to}] == nil {
		addr := n.nodes[to].addr
		l, err := net.Listen("tcp", strings.Replace(addr, "127.0.0.1", ip.String(), 1))
		if err != nil {
			return nil, err
		}
		n.pairs[[2]int{from, to}] = newProxy(l, addr)
		n.adjust()
	}
	return []netip.Addr{ip}, nil
}

// adjust has the proxies of nodes that were killed cut, those of nodes that are frozen stop, and all
// others carry. n.mu is held.
func (n *kitNet) adjust() {
	for pair, p := range n.pairs {
		a, b := n.nodes[pair[0]], n.nodes[pair[1]]
		p.refuse(n.ended || a.killed || b.killed)
		if (a.frozen || b.frozen) && !n.ended {
			p.stop()
		} else {
			p.resume()
		}
	}
}

// set alters what is to become of a node.
func (n *kitNet) set(t transport.Transport, f func(*kitNode)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, one := range n.nodes {
		if one.Transport == t {
			f(one)
		}
	}
	n.adjust()
}

func (n *kitNet) kill(t transport.Transport) {
	n.set(t, func(one *kitNode) { one.killed = true })
	_ = t.Close() // nobody hears it, and its port is free
}

func (n *kitNet) freeze(t transport.Transport) (thaw func()) {
	n.set(t, func(one *kitNode) { one.frozen = true })
	return func() { n.set(t, func(one *kitNode) { one.frozen = false }) }
}

func (n *kitNet) end() {
	n.mu.Lock()
	n.ended = true
	n.adjust()
	n.mu.Unlock()
	for _, p := range n.pairs {
		p.end()
	}
}

// The transport keeps the contract.
func TestMeshKit(t *testing.T) {
	testkit.SkipIfMeshRaces(t)
	transporttest.Run(t, transporttest.Engine{
		Packages: []string{
			"github.com/iwanbk/bcache/internal/transport/meshnet", "github.com/weaveworks/mesh",
		},
		Network: func(t testing.TB) transporttest.Network {
			n := newKitNet(t)
			net := transporttest.Network{
				New:      n.make,
				FreeAddr: func() string { return testkit.FreeAddr(t) },
				Dial: func(t transport.Transport) (net.Conn, error) {
					return net.Dial("tcp", t.Addr())
				},
			}
			if loopbacks() {
				net.Kill, net.Freeze = n.kill, n.freeze
			}
			return net
		},
	})
}
