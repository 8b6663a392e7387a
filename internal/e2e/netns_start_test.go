//go:build linux

package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/testkit"
	"golang.org/x/sync/errgroup"
)

// Nodes that start at once, none of which has anything, become ready, and then agree on
// what each writes.
func TestNetnsStart(t *testing.T) {
	t.Parallel()
	t.Run("AllAtOnce", func(t *testing.T) {
		t.Parallel()
		c := newNetnsCluster(t, ipv4, restarted, func(*bcache.Config) {})
		startTogether(c, func(int) {})
	})
	// As behind a name that leads only to nodes that are ready.
	t.Run("OnlyReadyNodesAnswer", func(t *testing.T) {
		if *engine == nats {
			t.Skip("over nats no node is dialled by another one")
		}
		t.Parallel()
		c := newNetnsCluster(t, ipv4, restarted, func(*bcache.Config) {})
		for _, h := range c.hosts {
			h.hide()
		}
		startTogether(c, func(i int) { c.hosts[i].heal() })
	})
	t.Run("NobodyAnswers", func(t *testing.T) {
		t.Parallel()
		c := newNetnsCluster(t, ipv4, 1, func(*bcache.Config) {})
		c.seeks(c.nodes[0], 100, 101)
		startTogether(c, func(int) {})
	})
}

// startTogether starts all nodes at once, tells when each is ready, has it write at once,
// and waits until all agree.
func startTogether(c *netnsCluster, ready func(i int)) {
	c.t.Helper()
	var g errgroup.Group
	for _, p := range c.nodes {
		g.Go(p.start)
	}
	testkit.Ok(c.t, g.Wait())
	start := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	when := make([]time.Duration, len(c.nodes))
	for left := len(c.nodes); left > 0; <-tick.C {
		for i, p := range c.nodes {
			if when[i] > 0 {
				continue
			}
			if err := p.ask(nil, "ready"); err == nil {
				when[i] = time.Since(start)
				left--
				c.sets(p, p.name+"-", 0, 200, "v")
				ready(i)
			} else if time.Since(start) > mostReady {
				c.t.Fatalf("after %v: %v", time.Since(start), err)
			}
		}
	}
	outcome := c.agreed(time.Now())
	var each []string
	for _, d := range when {
		each = append(each, fmt.Sprintf("%.2f", d.Seconds()))
	}
	c.t.Logf("%d nodes: ready after %s s; what each then wrote: %s", len(c.nodes), strings.Join(each, ", "), outcome)
}
