package testkit

import (
	"net"
	"testing"
	"time"
)

// Within waits until cond returns nil.
func Within(t testing.TB, d time.Duration, cond func() error) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for timeout := time.After(d); ; {
		err := cond()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("after %v: %v", d, err)
		}
	}
}

func Ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func FreeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	Ok(t, err)
	defer l.Close()
	return l.Addr().String()
}
