package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// healthEvery is the pause between two questions whether a node is ready.
const healthEvery = 50 * time.Millisecond

// A balancer spreads requests over the nodes that are ready, as far as it knows.
type balancer struct {
	urls []string
	up   []atomic.Bool
}

func newBalancer(urls []string) *balancer {
	return &balancer{urls: urls, up: make([]atomic.Bool, len(urls))}
}

// watch asks every node again and again whether it is ready, until ctx ends.
func (b *balancer) watch(ctx context.Context, c client) {
	var group sync.WaitGroup
	for node, url := range b.urls {
		group.Go(func() {
			for {
				checkCtx, cancel := context.WithTimeout(ctx, time.Second)
				b.up[node].Store(c.read(checkCtx, url+"/ready", nil) == nil)
				cancel()
				if pause(ctx, healthEvery) != nil {
					return
				}
			}
		})
	}
	group.Wait()
}

// failed notes that a node didn't answer a request. The next health check asks it again.
func (b *balancer) failed(node int) { b.up[node].Store(false) }

// pick returns a node that is up, and isn't the one given; -1 if there is none.
func (b *balancer) pick(rnd *rand.Rand, not int) int {
	chosen, seen := -1, 0
	for node := range b.up {
		if node == not || !b.up[node].Load() {
			continue
		}
		seen++
		if rnd.IntN(seen) == 0 {
			chosen = node
		}
	}
	return chosen
}

// whole tells whether all nodes are up.
func (b *balancer) whole() bool {
	for node := range b.up {
		if !b.up[node].Load() {
			return false
		}
	}
	return true
}
