package meshnet

import (
	"net"
	"strings"
	"testing"
	"time"
)

// lines returns what Unreached lists, a line each.
func lines(n *testNode) string {
	var lines []string
	for _, f := range n.Unreached() {
		lines = append(lines, f.String())
	}
	return strings.Join(lines, "\n")
}

// What can't be reached is listed with the reason, what can isn't, and neither are addresses
// of the node itself.
func TestMeshUnreached(t *testing.T) {
	leaks(t)
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	go func() {
		for {
			c, err := other.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("SSH-2.0-Other\r\n"))
			c.Close()
		}
	}()
	var names names
	names.set("node", "127.0.0.1", "127.0.0.2")
	names.set("nobody")
	a := start(t, 0xa, nil)
	stranger := start(t, 0xe, func(c *Config) { c.ClusterName = "other" })
	_, port, _ := net.SplitHostPort(a.Addr())
	refuses := freeAddr(t)
	own := freeAddr(t)
	b := start(t, 0xb, func(c *Config) {
		c.ListenAddr = own
		c.Resolve = names.resolve
		c.Peers = []string{own, "node:" + port, "nobody:1", "unknown:1", refuses,
			other.Addr().String(), stranger.Addr()}
	})
	linked(t, a, b)
	want := []string{
		"node:" + port + " (127.0.0.2:" + port + "): connect: connection refused",
		"nobody:1: the name stands for no address",
		"unknown:1: lookup unknown: no such host",
		refuses + ": connect: connection refused",
		other.Addr().String() + ": what answers isn't a bcache node",
		stranger.Addr() + ": cluster names differ: \"other\" at node e, \"\" at node b",
	}
	wait(t, "all that fail are listed", func() bool { return len(b.Unreached()) == len(want) })
	wait(t, "with their reasons", func() bool {
		got := lines(b)
		for _, line := range want {
			if !strings.Contains(got, line) {
				return false
			}
		}
		return true
	})
	for _, f := range b.Unreached() {
		if !f.Configured || f.Lasting <= 0 {
			t.Errorf("%+v", f)
		}
	}
	if got := a.Unreached(); len(got) != 0 {
		t.Errorf("who reaches everybody lists %v", got)
	}

	// What a peer told of is dialled as well.
	a.book.learn(0xf, 0xf, refuses, time.Now())
	a.resolver.resolveNow()
	wait(t, "a learnt address is listed by a", func() bool {
		return strings.HasPrefix(lines(a), refuses+": ")
	})
	if a.Unreached()[0].Configured {
		t.Error("what was learnt counts as configured")
	}
	closeAll(t, a, b, stranger)
}
