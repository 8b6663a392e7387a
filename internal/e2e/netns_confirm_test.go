//go:build linux

package e2e_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/testkit"
)

// gone is for how long a node that went without a goodbye is waited for.
const gone = 10 * time.Second

// While a node is cut off, frozen or killed, Confirm on another one names that node and nobody else.
// Afterwards it returns nil, and that node has what was written.
func TestNetnsConfirm(t *testing.T) {
	t.Parallel()
	t.Run("Cut", func(t *testing.T) {
		confirms(t, func(c *netnsCluster) { c.hosts[2].cut() }, func(c *netnsCluster) { c.hosts[2].heal() })
	})
	t.Run("Refused", func(t *testing.T) {
		confirms(t, func(c *netnsCluster) { c.hosts[2].refuse() }, func(c *netnsCluster) { c.hosts[2].heal() })
	})
	t.Run("Frozen", func(t *testing.T) {
		confirms(t, func(c *netnsCluster) { c.nodes[2].signal(syscall.SIGSTOP) },
			func(c *netnsCluster) { c.nodes[2].signal(syscall.SIGCONT) })
	})
	t.Run("Killed", func(t *testing.T) {
		confirms(t, func(c *netnsCluster) { c.nodes[2].kill() },
			func(c *netnsCluster) { testkit.Ok(c.t, c.nodes[2].start()) })
	})
}

func confirms(t *testing.T, harm, mend func(*netnsCluster)) {
	t.Parallel()
	c := newNetnsCluster(t, ipv4, 3, func(*bcache.Config) {})
	c.start()
	x, y, z := c.nodes[0], c.nodes[1], c.nodes[2]
	c.sets(x, "key-", 0, 1000, "old")
	x.must(nil, "confirm", 10_000)
	for _, p := range c.nodes {
		if n := c.held(p, "key-", 1000); n != 1000 {
			t.Errorf("confirmed, and %s holds %d keys", p.name, n)
		}
	}

	harm(c)
	c.sets(x, "key-", 0, 1000, "new")
	names := func(within time.Duration) {
		t.Helper()
		err := x.ask(nil, "confirm", within.Milliseconds())
		if err == nil || !strings.Contains(err.Error(), "node 3 ") || strings.Contains(err.Error(), "node 2 ") {
			t.Fatalf("Confirm = %v", err)
		}
		t.Log(err)
	}
	names(500 * time.Millisecond)
	names(4 * time.Second)
	value := func(p *process) string {
		var v got
		p.must(&v, "get", "key-999")
		return v.Value
	}
	if v := value(y); v != "new" {
		t.Errorf("%s has %q", y.name, v)
	}

	mend(c)
	start := time.Now()
	x.must(nil, "confirm", 15_000)
	took := time.Since(start)
	testkit.Within(t, mostReady, func() error { // one that was killed has just begun
		if v := value(z); v != "new" {
			return fmt.Errorf("confirmed after %v, and %s has %q", took, z.name, v)
		}
		return nil
	})
	if took > gone+time.Second {
		t.Errorf("confirmed only after %v", took)
	}
	t.Logf("confirmed %v after it was mended", took)
}

// A node that was killed, and doesn't come back, is waited for until it can't serve any more what it had.
func TestNetnsConfirmOfTheDead(t *testing.T) {
	t.Parallel()
	c := newNetnsCluster(t, ipv4, 3, func(*bcache.Config) {})
	c.start()
	x, y, z := c.nodes[0], c.nodes[1], c.nodes[2]
	z.kill()
	c.sets(x, "key-", 0, 100, "v")
	start := time.Now()
	x.must(nil, "confirm", 19_000)
	if took := time.Since(start); took < gone-2*time.Second || took > gone+unnoticed() {
		t.Errorf("confirmed after %v", took)
	}
	testkit.Ok(t, y.close()) // in order
	c.sets(x, "key-", 0, 100, "w")
	x.must(nil, "confirm", 1_000)
}
