package natstest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/transport/nats"
)

// A logger is a bcache.Logger that keeps its lines.
type logger struct{ lines }

func (l *logger) Errorf(format string, v ...any) { l.add("E", format, v) }

func (l *logger) Printf(format string, v ...any) { l.add("P", format, v) }

func (l *logger) Debugf(string, ...any) {}

// startCaches starts so many nodes of bcache, and waits until each is connected with all others.
func startCaches(t testing.TB, n int, cfg nats.Config) []*bcache.Bcache {
	t.Helper()
	var all []*bcache.Bcache
	for i := range n {
		cfg.Name = fmt.Sprintf("host-%d", i+1)
		tr, err := nats.New(cfg)
		testkit.Ok(t, err)
		log := &logger{}
		b, err := bcache.New(bcache.Config{
			PeerID: uint64(i + 1), MaxKeys: 10_000, ClusterName: t.Name(), Transport: tr, Logger: log,
			SyncTimeout: 2 * time.Second,
		})
		testkit.Ok(t, err)
		t.Cleanup(func() {
			if err := b.Close(); err != nil && !errors.Is(err, bcache.ErrUnconfirmed) {
				t.Errorf("Close: %v", err)
			}
			if t.Failed() {
				t.Logf("node %d: %s", i+1, log)
			}
		})
		all = append(all, b)
	}
	connected(t, all)
	return all
}

func connected(t testing.TB, all []*bcache.Bcache) {
	t.Helper()
	for _, b := range all {
		testkit.Within(t, limit, func() error {
			if got := len(b.Members()); got != len(all)-1 {
				return fmt.Errorf("%s has %d members", b.Addr(), got)
			}
			return nil
		})
	}
}

// hold waits until all nodes have a value.
func hold(t testing.TB, all []*bcache.Bcache, key, want string) {
	t.Helper()
	for _, b := range all {
		testkit.Within(t, limit, func() error {
			if got, _ := b.Get(key); got != want {
				return fmt.Errorf("%s has %q of %q, want %q", b.Addr(), got, key, want)
			}
			return nil
		})
	}
}

// ready waits until all nodes are.
func ready(t testing.TB, all []*bcache.Bcache) {
	t.Helper()
	for _, b := range all {
		testkit.Within(t, limit, b.Ready)
	}
}

func TestCaches(t *testing.T) {
	for _, n := range []int{3, 20} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			s := newServer(t)
			all := startCaches(t, n, nats.Config{Servers: []string{s.ClientURL()}})
			ready(t, all)
			large := strings.Repeat("x", 900_000)
			for i, b := range all {
				testkit.Ok(t, b.Put(fmt.Sprint("key-", i), fmt.Sprint("value-", i), time.Hour))
			}
			testkit.Ok(t, all[0].Put("large", large, time.Hour))
			for i := range all {
				hold(t, all, fmt.Sprint("key-", i), fmt.Sprint("value-", i))
			}
			hold(t, all, "large", large)

			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			testkit.Ok(t, all[n-1].DeleteConfirmed(ctx, "key-0"))
			for _, b := range all {
				if val, ok := b.Get("key-0"); ok {
					t.Errorf("%s has %q of a key whose deletion is confirmed", b.Addr(), val)
				}
			}
		})
	}
}

// A node that comes later gets what the others have.
func TestCacheSyncs(t *testing.T) {
	s := newServer(t)
	cfg := nats.Config{Servers: []string{s.ClientURL()}}
	first := startCaches(t, 1, cfg)
	for i := range 5000 {
		testkit.Ok(t, first[0].Put(fmt.Sprint("key-", i), strings.Repeat("v", 1000), time.Hour))
	}
	ready(t, first) // alone, after SyncTimeout
	tr, err := nats.New(cfg)
	testkit.Ok(t, err)
	b, err := bcache.New(bcache.Config{MaxKeys: 10_000, ClusterName: t.Name(), Transport: tr})
	testkit.Ok(t, err)
	defer func() { testkit.Ok(t, b.Close()) }()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	testkit.Ok(t, b.WaitSynced(ctx))
	if got := b.Len(); got != 5000 {
		t.Errorf("the second node has %d keys", got)
	}
}

// Who is the First waits for nobody, and others get what it has without an election. One that comes to a
// cluster gets what is there.
func TestFirst(t *testing.T) {
	s := newServer(t)
	start := func(first bool) *bcache.Bcache {
		tr, err := nats.New(nats.Config{Servers: []string{s.ClientURL()}, First: first})
		testkit.Ok(t, err)
		b, err := bcache.New(bcache.Config{
			MaxKeys: 1000, ClusterName: t.Name(), Transport: tr, SyncTimeout: time.Hour,
		})
		testkit.Ok(t, err)
		t.Cleanup(func() { _ = b.Close() })
		return b
	}
	a := start(true)
	testkit.Ok(t, a.Ready())
	testkit.Ok(t, a.Put("key", "value", time.Hour))
	b := start(false)
	ready(t, []*bcache.Bcache{b})
	testkit.Ok(t, a.Close())
	again := start(true)
	testkit.Ok(t, again.Ready())
	hold(t, []*bcache.Bcache{b, again}, "key", "value")
}

// While the server is away nodes go on; once it is back they have what was written everywhere meanwhile.
func TestServerRestartsUnderLoad(t *testing.T) {
	s := newServer(t)
	all := startCaches(t, 3, nats.Config{Servers: []string{s.ClientURL()}})
	ready(t, all)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for i, b := range all {
		wg.Go(func() {
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for n := 0; ; n++ {
				select {
				case <-tick.C:
				case <-stop:
					return
				}
				if err := b.Put(fmt.Sprintf("load-%d-%d", i, n%100), fmt.Sprint(n), time.Hour); err != nil {
					t.Errorf("Put: %v", err)
					return
				}
			}
		})
	}
	for round := range 3 {
		s.stop()
		for _, b := range all {
			testkit.Within(t, limit, func() error {
				if got := len(b.Members()); got != 0 {
					return fmt.Errorf("%s still has %d members", b.Addr(), got)
				}
				return nil
			})
		}
		for i, b := range all {
			testkit.Ok(t, b.Put(fmt.Sprint("meanwhile-", i), fmt.Sprint(round), time.Hour))
		}
		s.start()
		connected(t, all)
		for i := range all {
			hold(t, all, fmt.Sprint("meanwhile-", i), fmt.Sprint(round))
		}
	}
	close(stop)
	wg.Wait()
	for i := range all {
		for n := range 100 {
			key := fmt.Sprintf("load-%d-%d", i, n)
			want, ok := all[i].Get(key)
			if !ok {
				continue
			}
			hold(t, all, key, want)
		}
	}
}
