package both

import (
	"sync"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/transport/memnet"
	"github.com/iwanbk/bcache/transport"
	"github.com/iwanbk/bcache/transport/transporttest"
)

// Two transports that keep the contract keep it as one.
func TestBothKit(t *testing.T) {
	transporttest.Run(t, transporttest.Engine{
		Packages: []string{"github.com/iwanbk/bcache/internal/transport"},
		Skip: map[string]string{
			"BulkIsPassed": "each of memnet's links keeps its order",
			"SameIDs":      "a memnet.Net knows nodes by their PeerIDs alone",
		},
		Network: func(testing.TB) transporttest.Network {
			nets := []*memnet.Net{memnet.New(), memnet.New()}
			for _, n := range nets {
				n.Relink = 10 * time.Millisecond
			}
			var ids sync.Map // PeerIDs, by transport
			id := func(t transport.Transport) uint64 {
				id, _ := ids.Load(t)
				return id.(uint64)
			}
			return transporttest.Network{
				New: func(s transporttest.Spec) (transport.Transport, error) {
					t := New(nets[0].Transport(s.PeerID, s.Origin), nets[1].Transport(s.PeerID, s.Origin))
					ids.Store(t, s.PeerID)
					return t, nil
				},
				Kill: func(t transport.Transport) {
					nets[0].Kill(id(t))
					nets[1].Kill(id(t))
				},
				Freeze: func(t transport.Transport) (thaw func()) {
					first, second := nets[0].Hold(id(t)), nets[1].Hold(id(t))
					return func() { first(); second() }
				},
			}
		},
	})
}
