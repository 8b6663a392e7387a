package meshnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
)

// However long a configured address was away, it is dialled again within 3 seconds, and a
// learnt one within 2 minutes. Only an address of the node's own waits longer.
func TestMeshBackOff(t *testing.T) {
	now := time.Now()
	self := errors.New(self)
	tests := []struct {
		name        string
		errs        []error       // one after another; the last one for ever
		least, most time.Duration // 0 is what dials grow to
	}{
		{"refused", []error{errors.New("refused")}, 0, 0},
		{"once", []error{errors.New("refused"), nil}, 1, dialFirst},
		{"a connection that there is", []error{errMeshHave}, dialFirst, dialFirst},
		{"self, once", []error{self, errors.New("refused")}, 0, 0},
		{"self", []error{self}, dialSelf * 4 / 5, dialLearned},
		{"self, then another one", []error{self, self, self, nil, errors.New("refused")}, 0, 0},
	}
	for _, test := range tests {
		for _, configured := range []bool{true, false} {
			g, grown := &dialTarget{configured: configured}, dialLearned
			if configured {
				grown = dialMost
			}
			at, wait := now, time.Duration(0)
			for i := 0; at.Sub(now) < 24*time.Hour && i < 10_000; i++ {
				err := test.errs[min(i, len(test.errs)-1)]
				g.after(err, at)
				wait = g.next.Sub(at)
				if wait > grown && !g.own() {
					t.Fatalf("%s: %v until dial %d", test.name, wait, i)
				}
				at = g.next
			}
			least, most := test.least, test.most
			if most == 0 {
				least, most = grown*4/5, grown
			}
			if wait < least || wait > most {
				t.Errorf("%s: %v in the end", test.name, wait)
			}
		}
	}
}

// Dials grow rarer, and neither side keeps in step with the other.
func TestMeshBackOffGrows(t *testing.T) {
	now := time.Now()
	g := &dialTarget{configured: true}
	var waits []time.Duration
	for range 8 {
		g.after(errors.New("refused"), now)
		waits = append(waits, g.next.Sub(now))
	}
	delays := []time.Duration{dialFirst, 2 * dialFirst, 4 * dialFirst, 8 * dialFirst, dialMost, dialMost}
	for i, want := range delays {
		if waits[i] > want || waits[i] < want*4/5 {
			t.Errorf("dial %d waits for %v", i+1, waits[i])
		}
	}
	if waits[5] == waits[6] && waits[6] == waits[7] {
		t.Errorf("no jitter: %v", waits)
	}
}

// names is a resolver whose names change.
type names struct {
	mu    sync.Mutex
	addrs map[string][]netip.Addr
	asked map[string]int
}

func (n *names) set(host string, addrs ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.addrs == nil {
		n.addrs = make(map[string][]netip.Addr)
	}
	n.addrs[host] = nil
	for _, a := range addrs {
		n.addrs[host] = append(n.addrs[host], netip.MustParseAddr(a))
	}
}

// resolve fails for a host that was never set.
func (n *names) resolve(_ context.Context, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.asked == nil {
		n.asked = make(map[string]int)
	}
	n.asked[host]++
	addrs, ok := n.addrs[host]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return addrs, nil
}

func (n *names) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.asked)
}

// targets resolves once and returns what is dialled then; n was not started.
func targets(n *testNode, known map[string][]netip.AddrPort) string {
	n.resolver.resolve(known)
	var all []string
	for ap := range n.targets.byAddr {
		all = append(all, ap.String())
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// A name stands for all its addresses, which come and go. While it stands for none, those
// that it stood for are still dialled.
func TestMeshNamesComeAndGo(t *testing.T) {
	var names names
	n := meshMake(t, 0xa, func(c *Config) {
		c.Resolve = names.resolve
		c.Peers = []string{"nodes:7000", "10.0.0.9:7000"}
	})
	known := make(map[string][]netip.AddrPort)
	const literal = " 10.0.0.9:7000"
	steps := []struct {
		what  string
		addrs []string
		want  string
	}{
		{"two", []string{"10.0.0.1", "10.0.0.2"}, "10.0.0.1:7000 10.0.0.2:7000" + literal},
		{"one went, one came", []string{"10.0.0.2", "10.0.0.3"}, "10.0.0.2:7000 10.0.0.3:7000" + literal},
		{"nothing", nil, "10.0.0.2:7000 10.0.0.3:7000" + literal},
		{"IPv6 too", []string{"10.0.0.4", "::ffff:10.0.0.5", "2001:db8::1"},
			"10.0.0.4:7000 10.0.0.5:7000" + literal + " [2001:db8::1]:7000"},
	}
	if got := targets(n, known); got != strings.TrimSpace(literal) {
		t.Errorf("no such host: %s", got)
	}
	for _, step := range steps {
		names.set("nodes", step.addrs...)
		if got := targets(n, known); got != step.want {
			t.Errorf("%s: %s", step.what, got)
		}
	}
	names.mu.Lock()
	delete(names.addrs, "nodes")
	names.mu.Unlock()
	if got, want := targets(n, known), steps[3].want; got != want {
		t.Errorf("no such host any more: %s", got)
	}
}

// The name of a peer that is there isn't asked for, and of the others only so many.
func TestMeshLearntNames(t *testing.T) {
	var names names
	n := meshMake(t, 0xa, func(c *Config) { c.Resolve = names.resolve })
	n.book.learn(1, 1, "here:7000", time.Now())
	n.peers.byID[1] = &meshPeer{conns: []*meshConn{{}}}
	known := make(map[string][]netip.AddrPort)
	targets(n, known)
	if names.count() != 0 {
		t.Errorf("asked for %v", names.asked)
	}
	const many = 3 * dialNames
	for id := uint64(2); id < 2+many; id++ {
		n.book.learn(id, 1, fmt.Sprintf("away-%d:7000", id), time.Now())
	}
	targets(n, known)
	if names.count() != dialNames {
		t.Errorf("asked for %d names", names.count())
	}
	for range 100 {
		targets(n, known)
	}
	if names.count() != many {
		t.Errorf("%d of %d names were asked for", names.count(), many)
	}
}

// Who was learnt is forgotten after two hours, who is configured never is.
func TestMeshForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var names names
		names.set("node", "10.0.0.2")
		n := meshMake(t, 0xa, func(c *Config) {
			c.Resolve = names.resolve
			c.Peers = []string{"10.0.0.1:7000", "node:7000"}
		})
		n.book.learn(2, 2, "10.0.0.7:7000", time.Now())
		known := make(map[string][]netip.AddrPort)
		const configured = "10.0.0.1:7000 10.0.0.2:7000"
		for range 3 {
			if got := targets(n, known); got != configured+" 10.0.0.7:7000" {
				t.Errorf("before: %s", got)
			}
			testkit.Advance(meshForget/2 - time.Second)
		}
		if got := targets(n, known); got != configured {
			t.Errorf("after: %s", got)
		}
		testkit.Advance(1000 * time.Hour)
		delete(names.addrs, "node")
		if got := targets(n, known); got != configured {
			t.Errorf("after weeks: %s", got)
		}
	})
}

// An address where nobody answers any more may have another node next, though the one
// that was there is connected by another way.
func TestMeshAddressIsTakenOver(t *testing.T) {
	n := meshMake(t, 0xa, meshPeers("10.0.0.1:7000"))
	targets(n, make(map[string][]netip.AddrPort))
	n.targets.mu.Lock()
	g := n.targets.byAddr[netip.MustParseAddrPort("10.0.0.1:7000")]
	n.targets.mu.Unlock()
	for _, connected := range []bool{true, false} {
		g.peer = 0xb
		if connected {
			n.peers.byID[0xb] = &meshPeer{conns: []*meshConn{{}}}
		} else {
			delete(n.peers.byID, 0xb)
		}
		n.targets.tried(netip.MustParseAddrPort("10.0.0.1:7000"), true, errors.New("refused"))
		if (g.peer == 0xb) != connected {
			t.Errorf("connected %v: it is still taken for node %x's", connected, g.peer)
		}
	}
}

// Of nodes that came and went without a word few dials are left, soon none; those that others
// say are there are dialled again within seconds; and who says that it closes is forgotten at
// once, unless another life of it is known.
func TestMeshDeadAreRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := meshMake(t, 0xa, nil)
		const dead = 150
		for id := uint64(1); id <= dead; id++ {
			n.book.learn(id, id, fmt.Sprintf("10.0.0.%d:7000", id), time.Now())
		}
		known := make(map[string][]netip.AddrPort)
		dials := 0
		pass := func(d time.Duration) int { // dials that fail
			before := dials
			for end := time.Now().Add(d); time.Now().Before(end); testkit.Advance(time.Second) {
				n.resolver.resolve(known)
				n.targets.mu.Lock()
				for _, g := range n.targets.byAddr {
					if !time.Now().Before(g.next) {
						g.after(errors.New("refused"), time.Now())
						dials++
					}
				}
				n.targets.mu.Unlock()
			}
			return dials - before
		}
		pass(10 * time.Minute)
		if rate := float64(pass(10*time.Minute)) / 600; rate > 2 {
			t.Errorf("%.1f dials/s to %d dead nodes", rate, dead)
		}
		n.book.learn(7, 7, "10.0.0.7:7000", time.Now())
		n.targets.heardOf(7)
		n.targets.mu.Lock()
		g := n.targets.byAddr[netip.MustParseAddrPort("10.0.0.7:7000")]
		if wait := time.Until(g.next); wait > dialHeard {
			t.Errorf("who is there is dialled after %v", wait)
		}
		n.targets.mu.Unlock()
		n.book.forget(8, 8)
		n.book.forget(9, 8) // that life is known to be over already
		n.resolver.resolve(known)
		if n.targets.byAddr[netip.MustParseAddrPort("10.0.0.8:7000")] != nil {
			t.Error("who said that it closes is dialled")
		}
		if n.targets.byAddr[netip.MustParseAddrPort("10.0.0.9:7000")] == nil {
			t.Error("a newer life was forgotten")
		}
		pass(meshForget)
		if left := pass(time.Minute); left > 0 {
			t.Errorf("%d dials a minute are left", left)
		}
	})
}
