//go:build linux

package e2e_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/testkit"
)

// One of three nodes is cut off, for less and for longer than deletions are remembered,
// while both sides write, delete and evict. Healed, all agree, and nothing that was
// deleted comes back.
func TestNetnsCut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                   string
		maxKeys, deletionDelay int
		d                      time.Duration
		cut                    func(*host)
	}{
		{"Short", roomy, 100, 10 * time.Second, (*host).cut},
		{"ShortEvicting", tight, 100, 10 * time.Second, (*host).cut},
		{"ShortRefused", roomy, 100, 10 * time.Second, (*host).refuse},
		{"ShortRefusedEvicting", tight, 100, 10 * time.Second, (*host).refuse},
		{"BeyondDeletionDelay", roomy, 5, 20 * time.Second, (*host).cut},
		{"BeyondDeletionDelayEvicting", tight, 5, 20 * time.Second, (*host).cut},
		{"BeyondDeletionDelayRefused", roomy, 5, 20 * time.Second, (*host).refuse},
		{"BeyondDeletionDelayRefusedEvicting", tight, 5, 20 * time.Second, (*host).refuse},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cutOff(t, ipv4, c.maxKeys, c.deletionDelay, c.d, c.cut)
		})
	}
}

func cutOff(t *testing.T, f family, maxKeys, deletionDelay int, d time.Duration, cut func(*host)) {
	c := newNetnsCluster(t, f, 3, func(cfg *bcache.Config) {
		cfg.MaxKeys, cfg.DeletionDelay = maxKeys, deletionDelay
	})
	if time.Duration(deletionDelay)*time.Second < d {
		// A floor stands for the tombstones that were collected, and refuses what else is older in
		// its bucket: a miss.
		c.all = false
	}
	const doomed, loaded = 200, 500
	c.prepare(doomed)
	x, y, z := c.nodes[0], c.nodes[1], c.nodes[2]
	x.must(nil, "sets", "shared-", 0, 300, "before")
	c.share("shared-", 300)
	c.settle()

	cut(c.hosts[2])
	start := time.Now()
	c.deletes(x, "doomed-", 0, doomed/2)
	c.deletes(z, "doomed-", doomed/2, doomed)
	for _, p := range c.nodes {
		p.must(nil, "load", "load-"+p.name+"-", loaded, 200, 10)
		c.sets(p, p.name+"-", 0, 500, "cut")
		c.deletes(p, p.name+"-", 500, 600)
		c.sets(p, p.name+"-", 1000, 1500, "cut")
	}
	x.must(nil, "sets", "shared-", 0, 200, "x")
	x.must(nil, "deletes", "shared-", 200, 300)
	z.must(nil, "deletes", "shared-", 0, 100)
	z.must(nil, "sets", "shared-", 100, 300, "z")
	_, err := replicates(x, y, "marker-0", "cut")
	testkit.Ok(t, err)
	z.must(nil, "set", "marker-1", "cut")
	c.oracle.sets("marker-", 0, 2, "cut")
	for i, took := 0, time.Duration(0); took < d; i, took = i+1, time.Since(start) {
		testkit.Ok(t, throughout(min(time.Second, d-took), func() error { // the cut is one
			var atZ, atX, atY got
			err := errors.Join(z.ask(&atZ, "get", "marker-0"), x.ask(&atX, "get", "marker-1"), y.ask(&atY, "get", "marker-1"))
			if err == nil && (atZ.Found || atX.Found || atY.Found) {
				err = fmt.Errorf("the cut leaks: %v %v %v", atZ, atX, atY)
			}
			return err
		}))
		// The connected side goes on as if nothing was.
		_, err := replicates(x, y, fmt.Sprint("during-", i), "cut")
		testkit.Ok(t, err)
		c.oracle.sets("during-", i, i+1, "cut")
	}
	written := 0
	for _, p := range c.nodes {
		written += c.stopLoad(p, "load-"+p.name+"-", loaded).Count
	}
	dumps, err := c.dumps()
	testkit.Ok(t, err)
	if c.check(dumps, c.all) == nil {
		t.Error("nothing has to be repaired")
	}
	lasted := time.Since(start)

	c.hosts[2].heal()
	outcome := c.agreed(time.Now())
	c.noneReturned(doomed)
	dumps, err = c.dumps()
	testkit.Ok(t, err)
	t.Logf("cut for %.1f s, DeletionDelay %d s, MaxKeys %d, under load (%d writes): %s, "+
		"%d keys on all nodes, %d evictions, %d keys deleted",
		lasted.Seconds(), deletionDelay, maxKeys, written, outcome, overlap(dumps), c.evictions(), doomed)
}
