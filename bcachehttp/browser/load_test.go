package browser

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
)

// A load is what a service does with its caches, at some 700 requests a second: most of them for few
// keys. Its database is slow for some, and fails for others.
type load struct {
	loaders [][]*bcache.Loader // of each node
	done    chan struct{}
	wg      sync.WaitGroup
}

var errDatabase = errors.New("the database is overloaded")

// start puts the nodes of a site under load, until the test ends.
func (s *site) start(t *testing.T) {
	t.Helper()
	l := &load{done: make(chan struct{})}
	for _, node := range s.nodes {
		l.loaders = append(l.loaders, newLoaders(t, node))
	}
	for i, node := range s.nodes {
		for worker := range 3 {
			random := rand.New(rand.NewPCG(uint64(i), uint64(worker)))
			l.wg.Go(func() { l.work(node, l.loaders[i], random) })
		}
	}
	t.Cleanup(func() {
		close(l.done)
		l.wg.Wait()
	})
}

func newLoaders(t *testing.T, node *bcache.Bcache) []*bcache.Loader {
	t.Helper()
	short := bcache.LoaderConfig{
		TTL: 3 * time.Second, Jitter: 0.3, StaleFor: 2 * time.Second, StaleOnErrorFor: time.Minute,
		NegativeTTL: 5 * time.Second,
	}
	users, products, reports := short, short, short
	users.Prefix, users.Fill = "user:", query(8*time.Millisecond, 0)
	products.Prefix, products.Fill, products.RefreshAhead = "product:", query(3*time.Millisecond, 0.05), 0.3
	reports.Prefix, reports.Fill, reports.TTL = "report:", query(150*time.Millisecond, 0.02), 20*time.Second
	var all []*bcache.Loader
	for _, cfg := range []bcache.LoaderConfig{users, products, reports} {
		l, err := bcache.NewLoader(node, cfg)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

// query is a Fill that takes about so long, and of which a part fails.
func query(typical time.Duration, failing float64) func(context.Context, string) (bcache.Loaded, error) {
	return func(ctx context.Context, key string) (bcache.Loaded, error) {
		timer := time.NewTimer(time.Duration(float64(typical) * rand.ExpFloat64()))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return bcache.Loaded{}, ctx.Err()
		}
		switch {
		case rand.Float64() < failing:
			return bcache.Loaded{}, errDatabase
		case rand.Float64() < 0.01:
			return bcache.Loaded{}, bcache.ErrNotFound
		}
		return bcache.Loaded{Value: "the row of " + key + " in the database"}, nil
	}
}

// work asks for things, and writes now and then, in waves of a minute.
func (l *load) work(node *bcache.Bcache, loaders []*bcache.Loader, random *rand.Rand) {
	start := time.Now()
	popular := rand.NewZipf(random, 1.1, 4, 299)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-l.done:
			return
		case now := <-tick.C:
			wave := 4 + 2*math.Sin(2*math.Pi*now.Sub(start).Minutes())
			for range int(wave + random.Float64()) {
				l.request(node, loaders, fmt.Sprint(popular.Uint64()), random.IntN(100))
			}
		}
	}
}

// request is one of a user: of a hundred kinds.
func (l *load) request(node *bcache.Bcache, loaders []*bcache.Loader, id string, kind int) {
	users, products, reports := loaders[0], loaders[1], loaders[2]
	ctx := context.Background()
	switch {
	case kind < 60:
		_, _ = users.Get(ctx, id)
	case kind < 85:
		_, _ = products.Get(ctx, id)
	case kind < 90:
		l.wg.Go(func() { _, _ = reports.Get(ctx, id) }) // it takes long
	case kind < 96:
		_ = node.Set("session:"+id, "the user is logged in", 60)
	case kind < 98:
		_ = users.Delete(id)
	default:
		l.wg.Go(func() { _, _ = users.Get(ctx, id) })
		_ = users.Delete(id) // while it is looked up: the fill is refused
	}
}
