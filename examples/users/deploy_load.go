package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// zipfSkew is how much more often the first users are asked for than the last. Updates go the
// same way: who is in demand has news.
const zipfSkew = 1.01

// shownFailures is how many errors of requests are printed in full.
const shownFailures = 5

var errNoNode = errors.New("no other node is up")

// A deployLoad is clients that send requests at a steady rate to whichever nodes are up, and
// judge what comes back.
type deployLoad struct {
	opts     options
	client   client
	nodes    *balancer
	users    *ledger
	requests atomic.Uint64 // sent so far
}

// A deployTally is what clients saw.
type deployTally struct {
	nodes          [nodeCount]nodeTally // that answered
	whole          nodeTally            // while all nodes were up
	hit, miss, put histogram
	retried        uint64 // requests sent to another node, as the first one didn't answer
	failed         uint64 // requests without a good answer
	failures       []error
	stale          histogram // GETs behind an update that was acknowledged more than staleAfter before
	unseen         histogram // GETs behind one that was acknowledged since: how long before
	lost           uint64    // GETs behind one that was lost with its process
}

// run sends requests until stop is closed.
func (l *deployLoad) run(ctx context.Context, stop <-chan struct{}) *deployTally {
	var group sync.WaitGroup
	var mu sync.Mutex
	var sum deployTally
	start, rate := time.Now(), l.opts.gets+l.opts.puts
	every := time.Duration(float64(time.Second) / rate)
	for i := range l.opts.clients {
		group.Go(func() {
			rnd := rand.New(rand.NewPCG(2, uint64(i)))
			c := &deployClient{deployLoad: l, rnd: rnd}
			first, all := start.Add(time.Duration(i)*every), time.Duration(l.opts.clients)*every
			c.send(ctx, pace{next: first, every: all}, stop)
			mu.Lock()
			defer mu.Unlock()
			sum.merge(&c.tally)
		})
	}
	group.Wait()
	return &sum
}

// A deployClient is one of a load's clients.
type deployClient struct {
	*deployLoad
	rnd   *rand.Rand
	tally deployTally
}

// send sends the client's requests.
func (c *deployClient) send(ctx context.Context, p pace, stop <-chan struct{}) {
	popular := rand.NewZipf(c.rnd, zipfSkew, 1, uint64(c.opts.users-1))
	share := c.opts.puts / (c.opts.gets + c.opts.puts)
	for ctx.Err() == nil {
		start, ok := p.wait(stop)
		if !ok {
			return
		}
		id := 1 + int64(popular.Uint64())
		var err error
		if c.rnd.Float64() < share {
			err = c.put(ctx, id, start)
		} else {
			err = c.get(ctx, id, start)
		}
		c.requests.Add(1)
		if err != nil {
			c.tally.fail(err)
		}
	}
}

func (c *deployClient) get(ctx context.Context, id int64, start time.Time) error {
	var u User
	var hit, whole bool
	var began time.Time
	node, err := c.try(func(url string) (err error) {
		began, whole = time.Now(), c.nodes.whole()
		u, hit, err = c.client.get(ctx, url, id)
		return err
	})
	if err != nil {
		return err
	}
	if u.ID != id {
		return fmt.Errorf("node %d answers user %d when asked for user %d", node+1, u.ID, id)
	}
	t := &c.tally
	n, took := nodeTally{gets: 1}, &t.miss
	if hit {
		n.hits, took = 1, &t.hit
	}
	took.add(time.Since(start))
	t.nodes[node].add(n)
	if whole {
		t.whole.add(n)
	}
	switch age, lost := c.users.behind(u, began); {
	case lost:
		t.lost++
	case age > staleAfter:
		t.stale.add(age)
	case age > 0:
		t.unseen.add(age)
	}
	return nil
}

func (c *deployClient) put(ctx context.Context, id int64, start time.Time) error {
	return c.users.update(id, func(name string) (int, error) {
		node, err := c.try(func(url string) error { return c.client.rename(ctx, url, id, name) })
		if err == nil {
			c.tally.nodes[node].puts++
			c.tally.put.add(time.Since(start))
		}
		return node, err
	})
}

// try sends a request to a node and, if that doesn't answer, to another one, as load balancers do
// with a GET or PUT: sent twice, these do the same as sent once. It returns the node that answered.
func (c *deployClient) try(send func(url string) error) (node int, err error) {
	node = c.nodes.pick(c.rnd, -1)
	if node < 0 {
		return node, errNoNode
	}
	err = send(c.nodes.urls[node])
	if status := (*statusError)(nil); err == nil || errors.As(err, &status) {
		return node, err
	}
	c.nodes.failed(node)
	other := c.nodes.pick(c.rnd, node)
	if other < 0 {
		return node, fmt.Errorf("%w, after %w", errNoNode, err)
	}
	c.tally.retried++
	return other, send(c.nodes.urls[other])
}

func (t *deployTally) fail(err error) {
	t.failed++
	if len(t.failures) < shownFailures {
		t.failures = append(t.failures, err)
	}
}

// merge adds what o saw.
func (t *deployTally) merge(o *deployTally) {
	for i, n := range o.nodes {
		t.nodes[i].add(n)
	}
	t.whole.add(o.whole)
	t.hit.merge(&o.hit)
	t.miss.merge(&o.miss)
	t.put.merge(&o.put)
	t.stale.merge(&o.stale)
	t.unseen.merge(&o.unseen)
	t.retried += o.retried
	t.failed += o.failed
	t.lost += o.lost
	t.failures = append(t.failures, o.failures...)
	t.failures = t.failures[:min(len(t.failures), shownFailures)]
}

// total adds up the nodes.
func (t *deployTally) total() (sum nodeTally) {
	for _, n := range t.nodes {
		sum.add(n)
	}
	return sum
}
