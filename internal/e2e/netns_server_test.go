//go:build linux

package e2e_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/testkit"
)

// The server of the engine nats is killed, or frozen, while all nodes write: each goes on alone. When it
// is back all agree, and nothing that was deleted comes back.
func TestNetnsServer(t *testing.T) {
	t.Parallel()
	if *engine != nats {
		t.Skip("only the engine nats has a server: -engine nats")
	}
	t.Run("Killed", func(t *testing.T) {
		serverAway(t, func(c *netnsCluster) { c.nats.kill() },
			func(c *netnsCluster) { testkit.Ok(c.t, c.nats.start()) })
	})
	t.Run("Frozen", func(t *testing.T) {
		serverAway(t, func(c *netnsCluster) { c.nats.signal(syscall.SIGSTOP) },
			func(c *netnsCluster) { c.nats.signal(syscall.SIGCONT) })
	})
}

func serverAway(t *testing.T, harm, mend func(*netnsCluster)) {
	t.Parallel()
	const doomed, loaded, away = 200, 500, 15 * time.Second
	c := newNetnsCluster(t, ipv4, 3, func(*bcache.Config) {})
	c.prepare(doomed)
	x, z := c.nodes[0], c.nodes[2]
	for _, p := range c.nodes {
		p.must(nil, "load", "load-"+p.name+"-", loaded, 200, 10)
	}
	harm(c)
	start := time.Now()
	c.deletes(x, "doomed-", 0, doomed)
	c.sets(x, x.name+"-", 0, 500, "away")
	c.deletes(z, z.name+"-", 0, 500)
	for _, p := range c.nodes {
		testkit.Within(t, away, func() error {
			if direct, err := p.lists(); err != nil || len(direct) > 0 {
				return fmt.Errorf("%s is connected to %v, %v", p.name, direct, err)
			}
			return nil
		})
	}
	noticed := time.Since(start)
	for _, p := range c.nodes {
		c.stopLoad(p, "load-"+p.name+"-", loaded)
	}
	mend(c)
	outcome := c.agreed(time.Now())
	c.noneReturned(doomed)
	t.Logf("without a server all were alone after %.2f s; once it was back: %s", noticed.Seconds(), outcome)
}
