// Package bcachetest runs a cluster of bcache nodes in memory, for the tests of services that use
// bcache: what becomes of your code when a node is cut off, dies, restarts, has a wrong clock, or loses
// what others send.
//
// It needs no ports and works under the race detector. Within a bubble of testing/synctest time is
// virtual, so a test that waits an hour takes a millisecond; create the cluster inside the bubble then.
//
//	synctest.Test(t, func(t *testing.T) {
//		c := bcachetest.New(t, 3, bcache.Config{MaxKeys: 1000})
//		if err := c.Node(0).Set("k", "v", 60); err != nil {
//			t.Fatal(err)
//		}
//		c.WaitAll()
//		c.Partition([]int{0}, []int{1, 2})
//		// ...
//	})
package bcachetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/env"
	"github.com/iwanbk/bcache/internal/linelog"
	"github.com/iwanbk/bcache/internal/transport/memnet"
	"github.com/iwanbk/bcache/transport"
)

const (
	loopback  = "127.0.0.1:1"         // where nodes listen, by their Config: nobody is warned of strangers
	waitLimit = time.Minute           // after which a wait fails the test
	waitEvery = 10 * time.Millisecond // to look again
)

// A Cluster is a number of nodes in one process. Its methods may be called from several goroutines;
// those that fail a test, only from the test's own.
type Cluster struct {
	t   testing.TB
	cfg bcache.Config
	net *memnet.Net

	mu    sync.Mutex
	nodes []*member
}

// A member is a node over all its lives.
type member struct {
	life  chan struct{} // holds one while a life begins or ends; a mutex would stop a bubble's time
	id    uint64
	skew  atomic.Int64 // what its clock is ahead, in ns
	cache *bcache.Bcache
	alive bool
	seen  env.Node
}

// New starts n nodes, of PeerIDs 1 to n, and waits until all are connected and synced. They are closed
// when the test ends. cfg is that of every node; what says who and where a node is (PeerID, ListenAddr,
// AdvertiseAddr, Peers, Secret, ClusterName) is replaced or has no effect. A cfg that isn't valid fails
// the test.
func New(t testing.TB, n int, cfg bcache.Config) *Cluster {
	t.Helper()
	c := &Cluster{t: t, cfg: cfg, net: memnet.New()}
	for i := range n {
		c.nodes = append(c.nodes, &member{id: uint64(i + 1), life: make(chan struct{}, 1)})
	}
	t.Cleanup(c.close)
	for i := range n {
		c.start(i)
	}
	c.WaitConnected()
	return c
}

func (c *Cluster) close() {
	for i := range c.nodes {
		_ = c.Stop(i) // who is still there doesn't matter any more
	}
}

// end notes that the life of a node is over, and returns the node if it was alive. Its life is held.
func (c *Cluster) end(m *member) (b *bcache.Bcache, was bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was, m.alive = m.alive, false
	return m.cache, was
}

// start begins a life of node i, which is held.
func (c *Cluster) start(i int) {
	c.t.Helper()
	m := c.nodes[i]
	cfg := c.cfg
	cfg.PeerID, cfg.ListenAddr, cfg.AdvertiseAddr, cfg.Secret = m.id, loopback, "", ""
	cfg.Peers = nil
	if len(c.nodes) > 1 {
		cfg.Peers = []string{loopback} // there are others: it waits for them before it is synced
	}
	clock := func() time.Time { return time.Now().Add(time.Duration(m.skew.Load())) }
	place := func(id, origin uint64, _ *linelog.Log) (transport.Transport, error) {
		return c.net.Transport(id, origin), nil
	}
	var seen env.Node
	cfg.Env = env.New(clock, place, func(n env.Node) { seen = n })
	b, err := bcache.New(cfg)
	if err != nil {
		c.t.Fatalf("node %d doesn't start: %v", i, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	m.cache, m.seen, m.alive = b, seen, true
}

// Len is the number of nodes, dead ones included.
func (c *Cluster) Len() int { return len(c.nodes) }

// Node returns node i, from 0: its life of now, or its last one.
func (c *Cluster) Node(i int) *bcache.Bcache {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes[i].cache
}

// Stop closes node i, and returns what Close returns: the nodes that it is connected with have what it
// wrote last, or the error says that they may not.
func (c *Cluster) Stop(i int) error {
	m := c.nodes[i]
	m.life <- struct{}{}
	defer func() { <-m.life }()
	if b, was := c.end(m); was {
		return b.Close()
	}
	return nil
}

// Kill ends node i as if its process had died: nothing more of what it wrote arrives, and it says
// goodbye to nobody. Its cache is closed for those who still use it.
func (c *Cluster) Kill(i int) {
	m := c.nodes[i]
	m.life <- struct{}{}
	defer func() { <-m.life }()
	c.kill(m)
}

func (c *Cluster) kill(m *member) {
	if b, was := c.end(m); was {
		c.net.Kill(m.id)
		_ = b.Close()
	}
}

// Restart starts node i again after Kill or Stop, with an empty cache, its PeerID and its clock; one
// that is alive is killed first. Loaders belong to a life of a node: make new ones.
func (c *Cluster) Restart(i int) {
	c.t.Helper()
	m := c.nodes[i]
	m.life <- struct{}{}
	defer func() { <-m.life }()
	c.kill(m)
	c.start(i)
}

// Skew sets by how much the clock of node i is ahead of the others'; a negative d is behind. Gets that
// compare deadlines with it follow within 10 ms.
func (c *Cluster) Skew(i int, d time.Duration) { c.nodes[i].skew.Store(int64(d)) }

// Partition cuts the connections between nodes of different groups, until Heal or the next Partition.
// Nodes that no group has form one together.
func (c *Cluster) Partition(groups ...[]int) {
	side := map[uint64]int{}
	for g, nodes := range groups {
		for _, i := range nodes {
			side[c.nodes[i].id] = g + 1
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.net.Partition(side)
}

// Heal ends a partition: all nodes connect again.
func (c *Cluster) Heal() { c.Partition() }

// Delay has everything that nodes send from now on take d to arrive; 0 is at once.
func (c *Cluster) Delay(d time.Duration) { c.net.Delay(d) }

// Loss has what nodes send from now on be lost with probability p: 0 is never, 1 always. What is lost is
// repaired within seconds once p is small enough.
func (c *Cluster) Loss(p float64) { c.net.Loss(p) }

// WaitConnected waits until every living node is connected to all that it can reach, and is ready. It
// fails the test after a minute.
func (c *Cluster) WaitConnected() {
	c.t.Helper()
	c.wait(func(alive []*member) error {
		for _, m := range alive {
			want := 0
			for _, o := range alive {
				if o != m && c.net.Linked(m.id, o.id) {
					want++
				}
			}
			if got := len(m.cache.Members()); got != want {
				return fmt.Errorf("other nodes that node %d knows: %d, not %d", m.id-1, got, want)
			}
			if err := m.cache.Ready(); err != nil {
				return fmt.Errorf("node %d: %w", m.id-1, err)
			}
		}
		return nil
	})
}

// WaitAll waits until all living nodes that reach each other have processed the same writes, of all
// nodes: what one of them shows, all show, but for provisional values, which are no writes, and for what
// a node had no room for. It fails the test after a minute. While nodes write, it may never come to an
// end.
func (c *Cluster) WaitAll() {
	c.t.Helper()
	c.wait(func(alive []*member) error {
		for i, m := range alive {
			sum, _ := m.seen.Processed() // there may be gaps: what the dead wrote last nobody has
			for _, o := range alive[:i] {
				if other, _ := o.seen.Processed(); c.net.Linked(m.id, o.id) && other != sum {
					return fmt.Errorf("nodes %d and %d have processed different writes", o.id-1, m.id-1)
				}
			}
		}
		return nil
	})
}

// wait waits until nothing is wrong with the living nodes.
func (c *Cluster) wait(wrong func(alive []*member) error) {
	c.t.Helper()
	limit := time.After(waitLimit)
	again := time.NewTicker(waitEvery)
	defer again.Stop()
	for {
		c.mu.Lock()
		var alive []*member
		for _, m := range c.nodes {
			if m.alive {
				alive = append(alive, m)
			}
		}
		c.mu.Unlock()
		err := wrong(alive)
		if err == nil {
			return
		}
		select {
		case <-limit:
			c.t.Fatalf("after %v: %v", waitLimit, err)
		case <-again.C:
		}
	}
}
