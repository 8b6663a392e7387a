//go:build linux

package e2e_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/e2e/nodeprocess"
	"github.com/iwanbk/bcache/internal/testkit"
)

// A node is killed under load and started again with the same PeerID and address: soon it
// has what the others have, and nothing that was deleted comes back.
func TestNetnsKill(t *testing.T) {
	t.Parallel()
	t.Run("Roomy", func(t *testing.T) { killed(t, ipv4, roomy) })
	t.Run("Evicting", func(t *testing.T) { killed(t, ipv4, tight) })
}

func killed(t *testing.T, f family, maxKeys int) {
	t.Parallel()
	c := newNetnsCluster(t, f, 3, func(cfg *bcache.Config) { cfg.MaxKeys = maxKeys })
	const doomed, late, loaded = 200, 100, 500
	c.prepare(doomed)
	x, y, z := c.nodes[0], c.nodes[1], c.nodes[2]
	c.sets(x, "late-", 0, late, "before")
	c.settle()
	for _, p := range c.nodes {
		p.must(nil, "load", "load-"+p.name+"-", loaded, 500, 10)
	}
	c.deletes(z, "doomed-", 0, 100)
	testkit.Within(t, 10*time.Second, func() error {
		var r nodeprocess.LoadReport
		err := z.ask(&r, "loaded", "load-"+z.name+"-")
		n := c.held(x, "doomed-", doomed)
		evicted := maxKeys == tight && n < doomed-100 // some of them, by the load: they don't come back
		if err == nil && (r.Count < 1000 || n != doomed-100 && !evicted) {
			err = fmt.Errorf("the victim has written %d values, %s holds %d", r.Count, x.name, n)
		}
		return err
	})

	z.kill()
	c.share("load-"+z.name+"-", loaded) // nobody knows what it wrote last
	testkit.Within(t, 3*time.Second+unnoticed(), func() error {
		direct, err := x.lists()
		if direct[z.cfg.PeerID] {
			err = errors.New("the killed node is still listed")
		}
		return err
	})
	c.deletes(x, "doomed-", 100, doomed)
	c.sets(x, x.name+"-", 0, 500, "away")
	c.deletes(y, y.name+"-", 0, 500)
	c.sets(y, z.name+"-", 0, 500, "away")

	testkit.Ok(t, z.start())
	listening := time.Now()
	z.must(nil, "probe", "doomed-", doomed)
	c.deletes(x, "late-", 0, late) // of which it may get the values first
	testkit.Within(t, mostAgree, func() error { return z.ask(nil, "ready") })
	ready := time.Since(listening)
	z.must(nil, "probe", "late-", late)
	for _, p := range []*process{x, y} {
		c.stopLoad(p, "load-"+p.name+"-", loaded)
	}
	outcome := c.agreed(listening)
	c.noneReturned(doomed)
	c.gone(z, "late-", late)
	dumps, err := c.dumps()
	testkit.Ok(t, err)
	t.Logf("killed under 3 × 500 Sets/s and started again, MaxKeys %d: ready %.2f s after it listened, %s, "+
		"%d keys on all nodes, %d keys deleted",
		maxKeys, ready.Seconds(), outcome, overlap(dumps), doomed+late)
}
