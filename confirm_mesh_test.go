package bcache_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/testkit/live"
)

// Over real connections: a node whose address nobody reaches is asked through the one that it dials.
func TestConfirmOverMesh(t *testing.T) {
	testkit.SkipIfMeshRaces(t)
	hidden := func(c *bcache.Config) { c.AdvertiseAddr = "127.0.0.1:1" }
	hub := live.Node(t)
	nodes := []*bcache.Bcache{hub}
	for range 2 {
		nodes = append(nodes, live.Node(t, hidden, func(c *bcache.Config) { c.Peers = []string{hub.Addr()} }))
	}
	for _, b := range nodes {
		testkit.Within(t, 20*time.Second, func() error {
			if m := b.Members(); len(m) != 2 || b.Ready() != nil {
				return fmt.Errorf("%s sees %+v", b.Addr(), m)
			}
			return nil
		})
	}
	if far := nodes[1].Members(); far[0].Direct && far[1].Direct {
		t.Fatal("nobody is reached through another one")
	}
	for i, b := range nodes {
		testkit.Ok(t, b.Set("k", "v", 60))
		start := time.Now()
		testkit.Ok(t, within(func(ctx context.Context) error { return b.DeleteConfirmed(ctx, "k") }))
		for _, o := range nodes {
			if _, ok := o.Get("k"); ok {
				t.Errorf("node %d has confirmed a Delete, and serves the key", i)
			}
		}
		t.Logf("confirmed after %v", time.Since(start))
	}

	begin, most := time.Now(), 5*time.Second
	if testkit.Ok(t, nodes[2].Close()); time.Since(begin) > 100*time.Millisecond {
		most = 15 * time.Second // the machine is busy: the goodbye may not have been heard
	}
	for i, b := range nodes[:2] {
		testkit.Ok(t, b.Set("k", "v", 60))
		start := time.Now()
		if testkit.Ok(t, within(b.Confirm)); time.Since(start) > most {
			t.Errorf("node %d has confirmed after %v, though the other one has closed in order", i, time.Since(start))
		}
	}
	testkit.Ok(t, nodes[1].Close())
	if err := nodes[1].Confirm(t.Context()); !errors.Is(err, bcache.ErrClosed) ||
		!strings.Contains(err.Error(), "confirmed") {
		t.Error(err)
	}
}

// within calls something that may take 20 seconds.
func within(f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return f(ctx)
}
