package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// watched is how many users, those with the highest IDs, the load leaves to
// the visibility measurement, which must be alone in changing them.
const watched = 50

// A load is a number of clients that send requests to all nodes, as fast as they
// are answered.
type load struct {
	what     string // for the progress line
	client   client
	urls     []string
	clients  int
	duration time.Duration
	updates  float64     // percent of the requests
	seen     *visibility // measured meanwhile, unless nil
}

// A tally is what clients saw.
type tally struct {
	nodes     [nodeCount]nodeTally
	hit, miss histogram          // GETs
	changed   map[int64]struct{} // the IDs of changed users
}

type nodeTally struct{ gets, hits, puts uint64 }

// run sends requests for the load's duration. It returns as soon as one fails.
func (l load) run(ctx context.Context, pr *progress) (tally, error) {
	start := time.Now()
	end := start.Add(l.duration)
	tallies := make([]tally, l.clients+1) // the last one is of the measurement
	for i := range tallies {
		tallies[i].changed = make(map[int64]struct{})
	}
	var requests atomic.Uint64

	group, groupCtx := errgroup.WithContext(ctx)
	for i := range l.clients {
		group.Go(func() error { return l.send(groupCtx, i, end, &tallies[i], &requests) })
	}
	if l.seen != nil {
		group.Go(func() error { return l.watch(groupCtx, end, &tallies[l.clients]) })
	}
	done := make(chan error, 1)
	go func() { done <- group.Wait() }()

	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			var sum tally
			sum.changed = make(map[int64]struct{})
			for i := range tallies {
				sum.merge(&tallies[i])
			}
			return sum, err
		case now := <-tick.C:
			elapsed := min(now.Sub(start), l.duration)
			pr.step(now, "%-18s %4.1f of %.1f s, %s requests", l.what, elapsed.Seconds(), l.duration.Seconds(), count(requests.Load()))
		}
	}
}

// send is one client. What it reads follows a Zipf distribution: few users are
// read often, most rarely. What it changes doesn't: everybody edits their own
// profile now and then.
func (l load) send(ctx context.Context, number int, end time.Time, t *tally, requests *atomic.Uint64) error {
	rnd := rand.New(rand.NewPCG(1, uint64(number)))
	popular := rand.NewZipf(rnd, 1.1, 1, userCount-watched-1)
	for n := 0; time.Now().Before(end); n++ {
		node := rnd.IntN(len(l.urls))
		var err error
		if 100*rnd.Float64() < l.updates {
			id := 1 + rnd.Int64N(userCount-watched)
			err = l.put(ctx, node, id, fmt.Sprintf("Name %d of client %d", n, number), t)
		} else {
			_, err = l.get(ctx, node, 1+int64(popular.Uint64()), t)
		}
		if err != nil {
			return err
		}
		requests.Add(1)
	}
	return nil
}

func (l load) get(ctx context.Context, node int, id int64, t *tally) (User, error) {
	start := time.Now()
	u, hit, err := l.client.get(ctx, l.urls[node], id)
	if err != nil {
		return u, err
	}
	t.nodes[node].gets++
	if hit {
		t.nodes[node].hits++
		t.hit.add(time.Since(start))
	} else {
		t.miss.add(time.Since(start))
	}
	return u, nil
}

func (l load) put(ctx context.Context, node int, id int64, name string, t *tally) error {
	t.nodes[node].puts++
	t.changed[id] = struct{}{}
	return l.client.rename(ctx, l.urls[node], id, name)
}

// merge adds what o saw.
func (t *tally) merge(o *tally) {
	for i, n := range o.nodes {
		t.nodes[i].add(n)
	}
	t.hit.merge(&o.hit)
	t.miss.merge(&o.miss)
	for id := range o.changed {
		t.changed[id] = struct{}{}
	}
}

func (n *nodeTally) add(o nodeTally) {
	n.gets += o.gets
	n.hits += o.hits
	n.puts += o.puts
}

// total adds up the nodes.
func (t *tally) total() nodeTally {
	var sum nodeTally
	for _, n := range t.nodes {
		sum.add(n)
	}
	return sum
}

func (n nodeTally) requests() uint64 { return n.gets + n.puts }

// hitRatio is the share of GETs that needed no database, 0 if there were none.
func (n nodeTally) hitRatio() float64 {
	if n.gets == 0 {
		return 0
	}
	return float64(n.hits) / float64(n.gets)
}
