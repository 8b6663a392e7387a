//go:build linux

package bcache_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
)

// A node is killed under load and started again with the same PeerID and address: soon it
// has what the others have, and nothing that was deleted comes back.
func TestNetnsKill(t *testing.T) {
	for name, maxKeys := range map[string]int{"Roomy": roomy, "Evicting": tight} {
		t.Run(name, func(t *testing.T) { killed(t, maxKeys) })
	}
}

func killed(t *testing.T, maxKeys int) {
	c := newNetnsCluster(t, 3, func(cfg *bcache.Config) { cfg.MaxKeys = maxKeys })
	c.start()
	x, y, z := c.nodes[0], c.nodes[1], c.nodes[2]
	for _, p := range c.nodes {
		c.sets(p, p.name+"-", 0, 1000, "before")
	}
	const doomed, loaded = 300, 500
	c.settle() // what comes later would push out what is to be deleted
	c.sets(x, "doomed-", 0, doomed, "before")
	c.settle()
	c.agree(time.Now(), 10*time.Second)
	c.probe("doomed-", doomed, x, y)
	for _, p := range c.nodes {
		p.must(nil, "load", "load-"+p.name+"-", loaded, 500, 10)
	}
	c.deletes(z, "doomed-", 0, 100)
	var last loadReport
	within(t, 10*time.Second, func() error {
		var held map[string]string
		err := errors.Join(z.ask(&last, "loaded", "load-"+z.name+"-"), x.ask(&held, "dump", "doomed-", doomed))
		if err == nil && (last.Count < 1000 || len(held) != doomed-100) {
			err = fmt.Errorf("the victim has written %d values, %s holds %d", last.Count, x.name, len(held))
		}
		return err
	})

	z.kill()
	c.share("load-"+z.name+"-", loaded) // nobody knows what it wrote last
	within(t, 5*time.Second, func() error {
		direct, err := x.lists()
		if direct[z.cfg.PeerID] {
			err = errors.New("the killed node is still listed")
		}
		return err
	})
	c.deletes(x, "doomed-", 100, 200)
	c.sets(x, x.name+"-", 0, 500, "away")
	c.deletes(y, y.name+"-", 0, 500)
	c.sets(y, z.name+"-", 0, 500, "away")

	ok(t, z.start())
	listening := time.Now()
	c.probe("doomed-", doomed, z)
	c.deletes(x, "doomed-", 200, doomed)
	within(t, 15*time.Second, func() error { return z.ask(nil, "ready") })
	ready := time.Since(listening)
	for _, p := range []*process{x, y} {
		c.stopLoad(p, "load-"+p.name+"-", loaded)
	}
	took := c.agree(listening, 15*time.Second)
	c.noneReturned("doomed-", doomed, c.nodes...)
	dumps, err := c.dumps()
	ok(t, err)
	t.Logf("killed under 3 × 500 Sets/s and started again, MaxKeys %d: ready %.2f s after it listened, agreed after %.2f s, "+
		"%d keys on all nodes, none of %d deleted keys returned", maxKeys, ready.Seconds(), took.Seconds(), overlap(dumps), doomed)
}
