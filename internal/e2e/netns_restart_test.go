//go:build linux

package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/e2e/nodeprocess"
	"github.com/iwanbk/bcache/internal/testkit"
	"golang.org/x/sync/errgroup"
)

const restarted = 5 // nodes

// Five nodes are restarted one after the other, each as soon as the one before is ready.
// At no time is a key without expiry missing on all nodes that are ready.
func TestNetnsRollingRestart(t *testing.T) {
	const keys, loaded = 1000, 200
	c := newNetnsCluster(t, ipv4, restarted, func(*bcache.Config) {})
	c.start()
	c.sets(c.nodes[0], "key-", 0, keys, "v")
	_, err := c.agree(time.Now(), mostAgree)
	testkit.Ok(t, err)
	begin := func(p *process) {
		p.must(nil, "probe", "key-", keys)
		p.must(nil, "load", "load-"+p.name+"-", loaded, 100, 10)
	}
	for _, p := range c.nodes {
		begin(p)
	}
	probed := make([][]nodeprocess.ProbeRun, restarted)
	collect := func(i int) {
		var runs []nodeprocess.ProbeRun
		c.nodes[i].must(&runs, "probed", "key-")
		if len(runs) == 0 {
			t.Errorf("%s didn't probe", c.nodes[i].name)
		}
		probed[i] = append(probed[i], runs...)
	}

	// Some rounds before the first one goes, and after the last one is back.
	steady := func() { testkit.Ok(t, throughout(time.Second, func() error { return c.nodes[0].ask(nil, "ready") })) }
	steady()
	var ready []string
	start := time.Now()
	for i, p := range c.nodes {
		c.stopLoad(p, "load-"+p.name+"-", loaded)
		collect(i)
		testkit.Ok(t, p.close())
		testkit.Ok(t, p.start())
		listening := time.Now()
		begin(p)
		testkit.Within(t, mostReady, func() error { return p.ask(nil, "ready") })
		ready = append(ready, fmt.Sprintf("%.2f", time.Since(listening).Seconds()))
	}
	took := time.Since(start)
	steady()
	for _, p := range c.nodes {
		c.stopLoad(p, "load-"+p.name+"-", loaded)
	}
	for i := range c.nodes {
		collect(i)
	}
	s := summarise(probed, keys)
	t.Logf("%d nodes restarted under load in %.1f s, ready after %s s: %d rounds of probes, %d of them incomplete, "+
		"%d misses of single ready nodes, %d keys missed by all ready nodes in one round, %d rounds without a ready node",
		restarted, took.Seconds(), strings.Join(ready, ", "), s.rounds, s.unsure, s.missed, len(s.lost), s.alone)
	if len(s.lost) > 0 {
		t.Errorf("all ready nodes missed a key at the same time: %d of %d keys, key-%d among them", len(s.lost), keys, s.lost[0])
	}
	if s.unsure > s.rounds/3 {
		t.Errorf("too few probes: %d of %d rounds are incomplete", s.unsure, s.rounds)
	}
	if s.alone > 0 {
		t.Errorf("for %d rounds no node was ready", s.alone)
	}
	t.Logf("afterwards: %s", c.agreed(time.Now()))
}

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
