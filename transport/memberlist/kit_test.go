package memberlist

import (
	"cmp"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/transport"
	"github.com/iwanbk/bcache/transport/transporttest"
)

// The engine keeps the contract: in the clear, and with keys, which is with TLS.
func TestKit(t *testing.T) {
	t.Run("Clear", func(t *testing.T) { kit(t, nil) })
	t.Run("Keys", func(t *testing.T) { kit(t, [][]byte{[]byte("0123456789abcdef")}) })
}

func kit(t *testing.T, keys [][]byte) {
	transporttest.Run(t, transporttest.Engine{
		Network: func(t testing.TB) transporttest.Network {
			n := &network{gates: map[transport.Transport]*gate{}}
			return transporttest.Network{
				New: func(s transporttest.Spec) (transport.Transport, error) {
					tr, err := New(Config{BindAddr: cmp.Or(s.Addr, "127.0.0.1:0"), Join: s.Peers, Keys: keys})
					if err != nil {
						return nil, err
					}
					tr.through = n.gate(tr).through
					return tr, nil
				},
				FreeAddr: func() string { return testkit.FreeAddr(t) },
				Kill:     func(t transport.Transport) { kill(t.(*Transport)) },
				Freeze:   func(t transport.Transport) func() { return n.gate(t).freeze() },
				Dial:     func(t transport.Transport) (net.Conn, error) { return net.Dial("tcp", t.Addr()) },
			}
		},
		Packages: []string{
			"github.com/iwanbk/bcache/transport/memberlist", "github.com/hashicorp/memberlist",
		},
		LeftWithin:      20 * time.Second, // Left comes at once; gone is who memberlist has given up
		StrangersWithin: 2 * greetLimit,
	})
}

// A network has a gate for each node, so that it can be frozen.
type network struct {
	mu    sync.Mutex
	gates map[transport.Transport]*gate
}

func (n *network) gate(t transport.Transport) *gate {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.gates[t] == nil {
		n.gates[t] = &gate{open: make(chan struct{})}
		close(n.gates[t].open)
	}
	return n.gates[t]
}
