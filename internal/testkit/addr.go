package testkit

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

// Ports that no system gives to a connection that is made or to a listener that leaves the choice to it:
// those begin at 32768 or later. So nobody takes one between FreeAddr and the test's own listener.
const firstPort, lastPort = 10_000, 32_000

var given sync.Map // ports that FreeAddr has returned

// FreeAddr returns an address of this machine to listen at, each time another one.
func FreeAddr(t testing.TB) string {
	t.Helper()
	var errs []error
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		if _, twice := given.LoadOrStore(port, true); twice {
			continue
		}
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		l, err := net.Listen("tcp", addr)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		Ok(t, l.Close())
		return addr
	}
	t.Fatal(errors.Join(errs...))
	return ""
}
