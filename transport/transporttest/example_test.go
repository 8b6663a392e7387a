package transporttest_test

import (
	"cmp"
	"net"
	"testing"

	"github.com/iwanbk/bcache/transport"
	"github.com/iwanbk/bcache/transport/transporttest"
)

// An engine over TCP. Its nodes listen at an address, and are told of others.
func ExampleRun() {
	var newTransport func(listen string, peers []string) (transport.Transport, error) // your engine's

	testKit := func(t *testing.T) { // func TestKit(t *testing.T)
		transporttest.Run(t, transporttest.Engine{
			Packages: []string{"example.com/engine"},
			Network: func(t testing.TB) transporttest.Network {
				return transporttest.Network{
					New: func(s transporttest.Spec) (transport.Transport, error) {
						return newTransport(cmp.Or(s.Addr, "127.0.0.1:0"), s.Peers)
					},
					FreeAddr: func() string {
						l, err := net.Listen("tcp", "127.0.0.1:0")
						if err != nil {
							t.Fatal(err)
						}
						defer l.Close()
						return l.Addr().String()
					},
					Dial: func(tr transport.Transport) (net.Conn, error) { return net.Dial("tcp", tr.Addr()) },
				}
			},
		})
	}
	_ = testKit
}
