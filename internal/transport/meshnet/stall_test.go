package meshnet

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/weaveworks/mesh"
)

// Close in the middle of a handshake that the other side doesn't go on with.
func TestMeshCloseInHandshake(t *testing.T) {
	leaks(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var mu sync.Mutex
	var conns []net.Conn
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte(mesh.Protocol + "\x01\x02")) // and nothing more
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
		}
	}()
	a := start(t, 0xa, meshPeers(l.Addr().String()))
	wait(t, "mesh dials", func() bool { return len(a.dials.underWay()) == 1 })
	wait(t, "the probe and the dial", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(conns) == 2
	})
	begin := time.Now()
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	t.Logf("Close took %v", time.Since(begin))
	for _, c := range conns {
		c.Close()
	}
}
