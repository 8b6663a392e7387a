package transporttest

import (
	"sync"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/transport/memnet"
	"github.com/iwanbk/bcache/transport"
)

// memEngine is the transport within one process.
func memEngine() Engine {
	return Engine{
		Packages: []string{"github.com/iwanbk/bcache/internal/transport/memnet"},
		Skip: map[string]string{
			"BulkIsPassed": "each of memnet's links keeps its order",
			"SameIDs":      "a memnet.Net knows nodes by their PeerIDs alone",
		},
		Network: func(t testing.TB) Network {
			net := memnet.New()
			net.Relink = 10 * time.Millisecond
			var mu sync.Mutex
			ids := map[transport.Transport]uint64{}
			return Network{
				New: func(s Spec) (transport.Transport, error) {
					tr := net.Transport(s.PeerID, s.Origin)
					mu.Lock()
					defer mu.Unlock()
					ids[tr] = s.PeerID
					return tr, nil
				},
				Kill: func(t transport.Transport) {
					mu.Lock()
					defer mu.Unlock()
					net.Kill(ids[t])
				},
				Freeze: func(t transport.Transport) (thaw func()) { // it says nothing of its own accord
					mu.Lock()
					defer mu.Unlock()
					return net.Hold(ids[t])
				},
			}
		},
	}
}

func TestMemnet(t *testing.T) { Run(t, memEngine()) }
