package memberlist

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
)

// A names is a resolver of a test.
type names struct {
	mu    sync.Mutex
	hosts map[string][]netip.Addr
	srv   map[string][]*net.SRV
}

var errNoSuchName = errors.New("no such name")

func (n *names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if ips, ok := n.hosts[host]; ok {
		return ips, nil
	}
	return nil, errNoSuchName
}

func (n *names) LookupSRV(_ context.Context, _, _, name string) (string, []*net.SRV, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if all, ok := n.srv[name]; ok {
		return name, all, nil
	}
	return "", nil, errNoSuchName
}

func portOf(t *testing.T, addr string) uint16 {
	t.Helper()
	ap, err := netip.ParseAddrPort(addr)
	testkit.Must(t, err)
	return ap.Port()
}

var loopback = netip.MustParseAddr("127.0.0.1")

// Names are looked up again and again: those of hosts, and those of services.
func TestNames(t *testing.T) {
	host := start(t, 1, Config{})
	port := portOf(t, host.Addr())
	r := &names{hosts: map[string][]netip.Addr{}, srv: map[string][]*net.SRV{}}
	byName := "cache.test:" + strconv.Itoa(int(port))
	const service = "srv+_bcache._tcp.test"
	a := start(t, 2, Config{Join: []string{byName}, Resolver: r})
	b := start(t, 3, Config{Join: []string{service}, Resolver: r})
	for p, addr := range map[*place]string{a: byName, b: service} {
		until(t, "the name is unreached", func() bool {
			f := p.Unreached()
			return len(f) == 1 && f[0].Addr == addr && errors.Is(f[0].Err, errNoSuchName) && !f[0].IP.IsValid()
		})
	}
	r.mu.Lock()
	r.hosts["cache.test"] = []netip.Addr{loopback}
	r.srv["_bcache._tcp.test"] = []*net.SRV{{Target: "gone.test.", Port: 1}, {Target: "cache.test.", Port: port}}
	r.mu.Unlock()
	until(t, "all join", func() bool { return full([]*place{host, a, b}) })
	until(t, "nothing is unreached", func() bool { return len(a.Unreached())+len(b.Unreached()) == 0 })
}

func TestIPv6(t *testing.T) {
	host := bare(t, 1, Config{BindAddr: "[::1]:0"})
	if err := host.Start(host.node(1), host.Handler); err != nil {
		t.Skipf("this machine has no IPv6: %v", err)
	}
	t.Cleanup(func() { host.Close() })
	guest := start(t, 2, Config{BindAddr: "[::1]:0", Join: []string{host.Addr()}})
	until(t, "they join", func() bool { return full([]*place{host, guest}) })
}

// What Discover returns is joined, and what it returned last while it fails. The node itself does no harm.
func TestDiscover(t *testing.T) {
	host := start(t, 1, Config{})
	var mu sync.Mutex
	var found []string
	calls := 0
	guest := start(t, 2, Config{Discover: func(context.Context) ([]string, error) {
		mu.Lock()
		defer mu.Unlock()
		switch calls++; calls {
		case 1:
			return nil, errors.New("not yet")
		case 2:
			panic("what is that")
		}
		return found, nil
	}})
	until(t, "errors are logged", func() bool {
		return guest.log.has("E Discover: not yet") && guest.log.has("E Discover: panic: what is that")
	})
	mu.Lock()
	found = []string{host.Addr(), guest.Addr(), "127.0.0.1:1", "nonsense"}
	mu.Unlock()
	until(t, "they join", func() bool { return full([]*place{host, guest}) })
	until(t, "the rest is unreached", func() bool {
		f := guest.Unreached()
		return len(f) == 2 && f[0].Addr == "127.0.0.1:1" && f[1].Addr == "nonsense"
	})
}

// A seed that comes back at its address is found again, and so are those that only it knew.
func TestSeedComesBack(t *testing.T) {
	addr := testkit.FreeAddr(t)
	seed := start(t, 1, Config{BindAddr: addr})
	a := start(t, 2, Config{Join: []string{addr}})
	until(t, "they join", func() bool { return full([]*place{seed, a}) })
	testkit.Must(t, seed.Close())
	until(t, "it has left", func() bool { return a.Count("-1") == 1 })
	until(t, "after a goodbye there is nobody", func() bool { return len(a.Everybody(time.Hour)) == 0 })
	until(t, "it is unreached", func() bool { return len(a.Unreached()) == 1 })
	again := bare(t, 1, Config{BindAddr: addr})
	testkit.Must(t, again.Start(again.node(77), again.Handler))
	t.Cleanup(func() { again.Close() })
	until(t, "they join", func() bool { return full([]*place{again, a}) && len(a.Unreached()) == 0 })
}

// All nodes of a cluster may know each other from the start: of two connections one survives.
func TestAllDialAll(t *testing.T) {
	var addrs []string
	for range 6 {
		addrs = append(addrs, testkit.FreeAddr(t))
	}
	var all []*place
	for i, addr := range addrs {
		all = append(all, start(t, uint64(i+1), Config{BindAddr: addr, Join: addrs}))
	}
	until(t, "all join", func() bool { return full(all) })
	until(t, "nothing is unreached", func() bool {
		for _, p := range all {
			if len(p.Unreached()) > 0 {
				return false
			}
		}
		return true
	})
}

// Clocks that differ too much, and IDs that are taken, are refused, and logged on both sides.
func TestRefusedNodes(t *testing.T) {
	host := start(t, 1, Config{})
	late := bare(t, 2, Config{Join: []string{host.Addr()}})
	n := late.node(5)
	n.Now = func() time.Time { return time.Now().Add(time.Hour) }
	testkit.Must(t, late.Start(n, late.Handler))
	t.Cleanup(func() { late.Close() })
	until(t, "both log the clock", func() bool {
		return host.log.has("E ", "its clock differs") && late.log.has("E ", "this node's clock differs")
	})
	if host.Stats().RefusedSkew == 0 {
		t.Error("it isn't counted")
	}
	twin := bare(t, 1, Config{Join: []string{host.Addr()}})
	testkit.Must(t, twin.Start(twin.node(6), twin.Handler))
	t.Cleanup(func() { twin.Close() })
	until(t, "both log the ID", func() bool {
		return host.log.has("E ", "uses its PeerID") && twin.log.has("E ", "uses this node's PeerID")
	})
}

// Two other nodes of one ID: the one that is there stays.
func TestTwins(t *testing.T) {
	host := start(t, 1, Config{})
	one := start(t, 2, Config{Join: []string{host.Addr()}})
	until(t, "one joins", func() bool { return full([]*place{host, one}) })
	two := bare(t, 2, Config{Join: []string{host.Addr()}})
	testkit.Must(t, two.Start(two.node(99), two.Handler))
	t.Cleanup(func() { two.Close() })
	until(t, "the other one is told", func() bool { return two.log.has("E ", "another node uses this node's PeerID") })
	if host.Count("+") != 1 || host.Count("-") != 0 {
		t.Errorf("the host was told %v", host.Events)
	}
}

func TestMaxConns(t *testing.T) {
	host := start(t, 1, Config{MaxConns: 1})
	one := start(t, 2, Config{Join: []string{host.Addr()}})
	until(t, "one joins", func() bool { return full([]*place{host, one}) })
	two := start(t, 3, Config{Join: []string{host.Addr()}})
	until(t, "both log it", func() bool {
		return host.log.has("E ", "MaxConns is reached") && two.log.has("E ", "its MaxConns is reached")
	})
	until(t, "the others join", func() bool { return len(one.Members()) == 2 })
	if n := two.Count("+1"); n > 0 {
		t.Errorf("the one that is refused was told of it %d times", n)
	}
	until(t, "the one that would dial says why not", func() bool {
		return host.log.has("E MaxConns is reached: ", "no connection with node 3 ("+two.Addr()+"), one of 1")
	})
	if all := host.Unreached(); len(all) != 1 || all[0].Addr != two.Addr() || all[0].Err != refusedFull {
		t.Errorf("unreached are %v", all)
	}
	testkit.Must(t, one.Close())
	until(t, "there is room", func() bool { return full([]*place{host, two}) && len(host.Unreached()) == 0 })
}

// A node listens on one address, and others know it by another one.
func TestAdvertisedAddress(t *testing.T) {
	r := &names{hosts: map[string][]netip.Addr{"cache.test": {loopback}}}
	host := start(t, 1, Config{AdvertiseAddr: "cache.test:0", Resolver: r})
	guest := start(t, 2, Config{Join: []string{host.Addr()}, Resolver: r})
	until(t, "they join", func() bool { return full([]*place{host, guest}) })
	port := portOf(t, host.Addr())
	own, told := netip.AddrPortFrom(loopback, port).String(), fmt.Sprint("cache.test:", port)
	if host.Addr() != own || !host.log.has("listens on "+own) || !host.log.has("advertises "+told) {
		t.Errorf("it is at %s, and logs %s", host.Addr(), host.log)
	}
	if m := guest.Members(); m[0].Addr != told {
		t.Errorf("it is known as %+v", m)
	}
}

// The same where the one without room is dialled by one that decides.
func TestMaxConnsOfTheOneThatFollows(t *testing.T) {
	host := start(t, 9, Config{MaxConns: 1})
	one := start(t, 1, Config{Join: []string{host.Addr()}})
	until(t, "one joins", func() bool { return full([]*place{host, one}) })
	two := start(t, 2, Config{Join: []string{host.Addr()}})
	until(t, "both log it", func() bool {
		return host.log.has("E ", "MaxConns is reached") && two.log.has("E ", "its MaxConns is reached")
	})
	if n := two.Count("+9"); n > 0 {
		t.Errorf("the one that is refused was told of it %d times", n)
	}
}
