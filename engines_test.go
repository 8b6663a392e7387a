package bcache

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
	"github.com/iwanbk/bcache/transport"
)

// placed starts a node that has nothing but a Transport.
func placed(t *testing.T, net *memnet.Net, id uint64) *Bcache {
	t.Helper()
	b, err := New(Config{PeerID: id, MaxKeys: 1000, Transport: net.Place()})
	testkit.Must(t, err)
	t.Cleanup(func() { b.Close() })
	return b
}

// A node with a Transport is a node like any other.
func TestConfigTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		a := placed(t, net, 1)
		testkit.Must(t, a.Ready()) // the first one, by what its Transport says
		testkit.Must(t, a.Set("k", "v", 60))
		b := placed(t, net, 2)
		if err := b.Ready(); !errors.Is(err, ErrNotSynced) {
			t.Errorf("Ready says %v before the node knows what the other one has", err)
		}
		testkit.Must(t, b.WaitSynced(context.Background()))
		get(t, b, "k", "v")
		testkit.Must(t, b.Delete("k"))
		testkit.Must(t, b.Confirm(context.Background()))
		miss(t, a, "k")
		if m := a.Members(); len(m) != 1 || m[0].ID != 2 || !m[0].Direct || a.Addr() != "mem" {
			t.Errorf("at %q, members are %+v", a.Addr(), m)
		}
		testkit.Must(t, a.Close())
		if got := net.Node(1); got != nil {
			t.Error("Close leaves the Transport open")
		}
	})
}

// failing is a Transport that can't start.
type failing struct {
	transport.Transport
	closed bool
}

var errFailing = errors.New("no network today")

func (f *failing) Start(transport.Node, transport.Handler) error { return errFailing }
func (f *failing) Close() error                                  { f.closed = true; return nil }

// What a Transport's Start says is what New says, and nothing is left.
func TestTransportThatFails(t *testing.T) {
	f := &failing{Transport: memnet.New().Place()}
	if _, err := New(Config{MaxKeys: 1, Transport: f}); !errors.Is(err, errFailing) || !f.closed {
		t.Errorf("New returns %v; closed: %v", err, f.closed)
	}
	taken := &failing{Transport: memnet.New().Place()}
	if _, err := New(Config{MaxKeys: 1, ListenAddr: "203.0.113.1:1", Transport: taken}); err == nil || !taken.closed {
		t.Errorf("New returns %v; closed: %v", err, taken.closed)
	}
	kept := &failing{Transport: memnet.New().Place()}
	if _, err := New(Config{Transport: kept}); !errors.Is(err, ErrConfig) || kept.closed {
		t.Errorf("New returns %v; closed: %v", err, kept.closed)
	}
}

// A cluster moves from one engine to another while it is written to: nobody ever serves what is stale, and
// nothing is lost. One node after the other restarts with both, and then with the new one.
func TestMoveEngines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, young := memnet.New(), memnet.New()
		onOld := func(id uint64) *Bcache { return memNode(t, old, id, 0) }
		onBoth := func(id uint64) *Bcache {
			return memNode(t, old, id, 0, func(c *Config) { c.Peers, c.Transport = []string{"mem:1"}, young.Place() })
		}
		onYoung := func(id uint64) *Bcache { return placed(t, young, id) }

		nodes := []*Bcache{onOld(1), onOld(2), onOld(3), onOld(4)}
		synctest.Wait()
		want := map[string]string{}
		writes := 0
		write := func() {
			t.Helper()
			for range 20 {
				writes++
				key, val := fmt.Sprint("k", writes%150), fmt.Sprint(writes)
				testkit.Must(t, nodes[writes%len(nodes)].Set(key, val, 3600))
				want[key] = val
				synctest.Wait()
				for i, b := range nodes {
					if got, ok := b.Get(key); ok && got != val {
						t.Fatalf("node %d serves %q of %s, after %q was written", i+1, got, key, val)
					}
				}
			}
		}
		roll := func(to func(id uint64) *Bcache) {
			t.Helper()
			for i := range nodes {
				write()
				testkit.Must(t, nodes[i].Close())
				nodes[i] = to(uint64(i + 1))
				synctest.Wait() // it has joined
				write()
				testkit.Must(t, nodes[i].WaitSynced(context.Background()))
				testkit.Advance(time.Second)
				synctest.Wait()
				for n, b := range nodes {
					for key, val := range want {
						if got, ok := b.Get(key); !ok || got != val {
							t.Fatalf("node %d has %q of %s, want %q", n+1, got, key, val)
						}
					}
				}
			}
		}
		roll(onBoth)
		roll(onYoung)
		for i, b := range nodes {
			if m := b.Members(); len(m) != 3 {
				t.Errorf("node %d has the members %v", i+1, m)
			}
		}
	})
}
