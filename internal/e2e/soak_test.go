package e2e_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/testkit/live"
)

var soak = flag.Duration("soak", 0, "how long TestSoak takes; 0 skips it")

// Three nodes are in use, with Loaders, subscribers, Deletes and Clears, values up to a megabyte and failing fills,
// while others come and go, in order and by a cut. What they take must not grow: after a fifth of the time as much
// as in the end.
func TestSoak(t *testing.T) {
	if *soak == 0 {
		t.Skip("it takes minutes; run it with -soak, as .ci/run long does")
	}
	testkit.SkipIfMeshRaces(t)
	limits := func(c *bcache.Config) { c.MaxKeys, c.MaxBytes = 20_000, 32<<20 }
	nodes := live.Cluster(t, 3, limits)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	loop := func(every time.Duration, f func()) {
		wg.Go(func() {
			tick := time.NewTicker(every)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
					f()
				}
			}
		})
	}
	for i, b := range nodes {
		soakUse(t, b, i, loop)
	}
	loop(3*time.Second, func() { // a life of a few seconds
		guest, err := bcache.New(bcache.Config{
			ListenAddr: "127.0.0.1:0", Peers: []string{nodes[rand.IntN(3)].Addr()}, MaxKeys: 20_000, MaxBytes: 32 << 20,
		})
		if err != nil {
			t.Error(err)
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		_ = guest.WaitSynced(ctx)
		cancel()
		for i := range 200 {
			_ = guest.Set(fmt.Sprint("guest", i), "v", 10)
		}
		if err := guest.Close(); err != nil && !errors.Is(err, bcache.ErrUnconfirmed) {
			t.Error(err)
		}
	})

	type sample struct {
		heap            uint64
		goroutines, fds int
	}
	take := func() (s sample) { // the least of some: nothing is kept that one of them doesn't show
		for i := range 20 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			fds, _ := os.ReadDir("/proc/self/fd")
			x := sample{m.HeapAlloc, runtime.NumGoroutine(), len(fds)}
			if i == 0 {
				s = x
			}
			s.heap, s.goroutines, s.fds = min(s.heap, x.heap), min(s.goroutines, x.goroutines), min(s.fds, x.fds)
			<-time.After(200 * time.Millisecond)
		}
		return s
	}
	var first, last sample
	begin := time.Now()
	for n := 1; n <= 5; n++ {
		<-time.After(time.Until(begin.Add(*soak * time.Duration(n) / 5)))
		last = take()
		if n == 1 {
			first = last
		}
		st := nodes[0].Stats()
		t.Logf("%v: heap %d MiB, %d goroutines, %d descriptors; node 0: %d keys, %d full syncs served, %d lives known",
			time.Since(begin).Round(time.Second), last.heap>>20, last.goroutines, last.fds, st.Keys, st.SyncsServed, st.Origins)
	}
	close(stop)
	wg.Wait()
	if last.heap > first.heap*5/4+(16<<20) || last.goroutines > first.goroutines+20 || last.fds > first.fds+10 {
		t.Errorf("it grows: from %+v to %+v", first, last)
	}
}

// soakUse uses a node in all the ways there are.
func soakUse(t *testing.T, b *bcache.Bcache, seed int, loop func(time.Duration, func())) {
	rng := rand.New(rand.NewPCG(uint64(seed), 0))
	var mu sync.Mutex
	draw := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return rng.IntN(n)
	}
	key := func() string { return fmt.Sprint("k", draw(30_000)) }
	fl := func(_ context.Context, key string) (bcache.Loaded, error) {
		switch draw(50) {
		case 0:
			return bcache.Loaded{}, errors.New(strings.Repeat("the database is down ", 100))
		case 1:
			return bcache.Loaded{}, bcache.ErrNotFound
		}
		return bcache.Loaded{Value: key + strings.Repeat("v", draw(2000))}, nil
	}
	var loaders []*bcache.Loader
	for i := range 2 {
		l, err := bcache.NewLoader(b, bcache.LoaderConfig{
			Prefix: fmt.Sprint("l", i, ":"), Fill: fl, TTL: 5 * time.Second, StaleFor: time.Second, StaleOnErrorFor: 5 * time.Second,
			NegativeTTL: time.Second, RefreshAhead: 0.2, Jitter: 0.1, ClusterWide: i == 1, OnStale: func(string, error) {},
		})
		if err != nil {
			t.Fatal(err)
		}
		loaders = append(loaders, l)
	}
	get := func(l *bcache.Loader, keys int) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		var ks []string
		for range keys {
			ks = append(ks, key())
		}
		_, _ = l.GetMany(ctx, ks)
	}
	loop(2*time.Millisecond, func() { _ = b.Set(key(), strings.Repeat("v", draw(2000)), 1+draw(20)) })
	loop(3*time.Millisecond, func() { _ = b.Delete(key()) })
	loop(time.Second, func() { _ = b.Set(key(), strings.Repeat("large", draw(200_000)), 5) })
	loop(40*time.Second, func() { _ = b.Clear() })
	loop(5*time.Millisecond, func() { get(loaders[draw(2)], 1) })
	loop(50*time.Millisecond, func() { get(loaders[draw(2)], 50) })
	loop(5*time.Millisecond, func() {
		_, _ = b.GetWithFiller(key(), func(string) (string, error) { return "filled", nil }, 5)
	})
	loop(time.Second, func() {
		cancel := b.Subscribe(func(bcache.Event) {})
		for range 100 {
			b.Get(key())
		}
		cancel()
	})
	b.Subscribe(func(bcache.Event) { <-time.After(time.Millisecond) }) // a slow one
}
