//go:build linux

package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/e2e/nodeprocess"
	"github.com/iwanbk/bcache/internal/testkit"
)

// A netnsCluster is what a scenario works with.
type netnsCluster struct {
	*oracle
	t     *testing.T
	net   *network
	hosts []*host // of the nodes
	nodes []*process
	nats  *process // the server; nil: none
	roomy bool     // the nodes have room for everything
	all   bool     // and nothing was forgotten: they must hold the same keys
}

// newNetnsCluster makes n nodes, a, b, c and so on, that know each other's addresses, and
// starts none. They run over the engine that was asked for.
func newNetnsCluster(t *testing.T, f family, n int, edit func(*bcache.Config)) *netnsCluster {
	t.Helper()
	c := &netnsCluster{oracle: newOracle(), t: t, net: newNetwork(t, f)}
	for range n {
		c.hosts = append(c.hosts, c.net.host())
	}
	for i, h := range c.hosts {
		cfg := bcache.Config{PeerID: uint64(i + 1), MaxKeys: roomy}
		edit(&cfg)
		c.roomy = cfg.MaxKeys == roomy
		c.all = c.roomy
		c.nodes = append(c.nodes, newProcess(t, string(rune('a'+i)), cfg, h.inside()...))
	}
	c.place(*engine)
	return c
}

const (
	roomy = 100_000 // MaxKeys: nothing is evicted
	tight = 2_000   // much is

	mostReady = 30 * time.Second // until a node that starts is ready
	mostAgree = 15 * time.Second // until nodes agree that can reach each other again
)

// start starts all nodes and waits until they have found each other and are ready.
func (c *netnsCluster) start() {
	c.t.Helper()
	for _, p := range c.nodes {
		testkit.Ok(c.t, p.start())
	}
	allConnected(c.t, c.nodes)
	for _, p := range c.nodes {
		testkit.Within(c.t, mostReady, func() error { return p.ask(nil, "ready") })
	}
}

// prepare starts all nodes, and has each write 1,000 keys. The first one also writes keys
// that are to be deleted: all nodes hold them, and probe them from then on.
func (c *netnsCluster) prepare(doomed int) {
	c.t.Helper()
	c.start()
	for _, p := range c.nodes {
		c.sets(p, p.name+"-", 0, 1000, "before")
	}
	c.settle() // what comes later would push out what is to be deleted
	c.sets(c.nodes[0], "doomed-", 0, doomed, "before")
	c.settle()
	_, err := c.agree(time.Now(), mostAgree)
	testkit.Ok(c.t, err)
	for _, p := range c.nodes {
		if n := c.held(p, "doomed-", doomed); n != doomed {
			c.t.Fatalf("%s holds %d of the %d keys to be deleted", p.name, n, doomed)
		}
		p.must(nil, "probe", "doomed-", doomed)
	}
}

// held counts the keys of a range that a node holds.
func (c *netnsCluster) held(p *process, prefix string, keys int) int {
	c.t.Helper()
	var held map[string]string
	p.must(&held, "dump", prefix, keys)
	return len(held)
}

// sets and deletes write to one node, and have the oracle know.
func (c *netnsCluster) sets(p *process, prefix string, from, to int, val string) {
	c.t.Helper()
	p.must(nil, "sets", prefix, from, to, val)
	c.oracle.sets(prefix, from, to, val)
}

func (c *netnsCluster) deletes(p *process, prefix string, from, to int) {
	c.t.Helper()
	p.must(nil, "deletes", prefix, from, to)
	c.oracle.deletes(prefix, from, to)
}

// stopLoad ends a load, and has the oracle know what it wrote.
func (c *netnsCluster) stopLoad(p *process, prefix string, keys int) nodeprocess.LoadReport {
	c.t.Helper()
	var r nodeprocess.LoadReport
	p.must(&r, "stop", prefix)
	c.load(p.life(), prefix, keys, r.Count)
	return r
}

func (c *netnsCluster) dumps() ([]map[string]string, error) {
	dumps := make([]map[string]string, len(c.nodes))
	for i, p := range c.nodes {
		if err := p.ask(&dumps[i], c.dump()); err != nil {
			return nil, err
		}
	}
	return dumps, nil
}

// agree waits until the nodes hold what they must, and checks that it stays so for two
// seconds. It returns how long it took since then.
func (c *netnsCluster) agree(since time.Time, most time.Duration) (took time.Duration, err error) {
	check := func() error {
		dumps, err := c.dumps()
		if err != nil {
			return err
		}
		if err := c.check(dumps, c.all); err != nil {
			return err
		}
		// Which keys a full node keeps depends on what was read there, so that the keys held by
		// all may be few. That a node isn't nearly empty is what makes its agreement worth something.
		for i, d := range dumps {
			if len(d) < tight/10 {
				return fmt.Errorf("%s agrees because it has lost nearly all: it holds %d keys", c.nodes[i].name, len(d))
			}
		}
		return nil
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for err = check(); err != nil && time.Since(since) < most; err = check() {
		<-tick.C
	}
	if took = time.Since(since); err != nil {
		return took, fmt.Errorf("no agreement after %v: %w", took, err)
	}
	if err := throughout(2*time.Second, check); err != nil {
		return took, fmt.Errorf("agreed after %v, but then no more: %w", took, err)
	}
	return took, nil
}

// agreed is agree for the end of a scenario, when what else was seen is of interest too. It
// says how it went.
func (c *netnsCluster) agreed(since time.Time) string {
	c.t.Helper()
	took, err := c.agree(since, mostAgree)
	if err != nil {
		c.t.Error(err)
		return "no agreement"
	}
	return fmt.Sprintf("agreed after %.2f s", took.Seconds())
}

// throughout checks again and again, for that long, that something is so.
func throughout(d time.Duration, check func() error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); time.Since(start) < d; <-tick.C {
		if err := check(); err != nil {
			return fmt.Errorf("after %v: %w", time.Since(start), err)
		}
	}
	return nil
}

// settle waits until everything that was written has arrived everywhere.
func (c *netnsCluster) settle() {
	c.t.Helper()
	for i, from := range c.nodes {
		for j, to := range c.nodes {
			if i == j {
				continue
			}
			// What a third node wrote may come after it, and in a full node push it out before it is
			// looked for: then it is written again.
			testkit.Within(c.t, mostAgree, func() error {
				_, err := replicates(from, to, fmt.Sprint("settle-", len(c.nodes)*i+j), "v")
				return err
			})
		}
	}
}

// noneReturned ends the probing of deleted keys, and checks that all are gone, and that
// what was gone on a node stayed gone there.
func (c *netnsCluster) noneReturned(doomed int) {
	c.t.Helper()
	for _, p := range c.nodes {
		c.gone(p, "doomed-", doomed)
	}
}

// gone is noneReturned for one node and one range of keys.
func (c *netnsCluster) gone(p *process, prefix string, keys int) {
	c.t.Helper()
	var runs []nodeprocess.ProbeRun
	p.must(&runs, "probed", prefix)
	if len(runs) == 0 {
		c.t.Errorf("%s didn't probe", p.name)
	}
	if back := returned(runs, keys); len(back) > 0 {
		c.t.Errorf("%d deleted keys returned on %s, %s%d among them", len(back), p.name, prefix, back[0])
	}
	if n := c.held(p, prefix, keys); n > 0 {
		c.t.Errorf("%s holds %d deleted keys", p.name, n)
	}
}

// evictions checks that there were some, or none if there is room for all.
func (c *netnsCluster) evictions() (total uint64) {
	c.t.Helper()
	for _, p := range c.nodes {
		var s bcache.Stats
		p.must(&s, "stats")
		total += s.Evictions
		if (s.Evictions == 0) != c.roomy {
			c.t.Errorf("%s has evicted %d entries", p.name, s.Evictions)
		}
		if s.Keys > p.cfg.MaxKeys {
			c.t.Errorf("%s holds %d keys", p.name, s.Keys)
		}
	}
	return total
}
