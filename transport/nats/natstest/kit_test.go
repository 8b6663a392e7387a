package natstest

import (
	"sync"
	"testing"
	"time"

	"github.com/iwanbk/bcache/transport"
	"github.com/iwanbk/bcache/transport/nats"
	"github.com/iwanbk/bcache/transport/transporttest"
)

// The transport keeps the contract.
func TestKit(t *testing.T) {
	transporttest.Run(t, transporttest.Engine{
		Network:    kitNetwork,
		Packages:   []string{"github.com/iwanbk/bcache/transport/nats", "github.com/nats-io/nats.go"},
		Within:     time.Minute, // as tests may share a processor with others
		LeftWithin: 10 * time.Second,
	})
}

func kitNetwork(t testing.TB) transporttest.Network {
	s := newServer(t)
	var mu sync.Mutex
	by := map[transport.Transport]*wires{}
	of := func(t transport.Transport) *wires {
		mu.Lock()
		defer mu.Unlock()
		return by[t]
	}
	return transporttest.Network{
		New: func(transporttest.Spec) (transport.Transport, error) {
			w := newWires()
			t, err := nats.New(with(nats.Config{Servers: []string{s.ClientURL()}}, w))
			if err != nil {
				return nil, err
			}
			mu.Lock()
			by[t] = w
			mu.Unlock()
			return t, nil
		},
		Kill: func(t transport.Transport) { of(t).kill() },
		Freeze: func(t transport.Transport) (thaw func()) {
			of(t).freeze(true)
			return func() { of(t).freeze(false) }
		},
	}
}
