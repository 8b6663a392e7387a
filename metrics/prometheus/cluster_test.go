package bcacheprom

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/bcachetest"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/testkit/live"
)

// use has three nodes write, read and fill, and returns an endpoint for each.
func use(t *testing.T, nodes []*bcache.Bcache) (urls []string) {
	t.Helper()
	for _, b := range nodes { // how long writes take is known when the clocks have been compared
		testkit.Within(t, 20*time.Second, func() error {
			for _, p := range b.Stats().Peers {
				if p.RoundTrip < 0 || !p.Synced {
					return fmt.Errorf("the clock of %x isn't known, or it isn't synced", p.ID)
				}
			}
			return nil
		})
	}
	down := errors.New("down")
	for i, b := range nodes {
		c, err := New(b, Options{Cache: "users"})
		testkit.Ok(t, err)
		urls = append(urls, endpoint(t, c))
		l, err := bcache.NewLoader(b, bcache.LoaderConfig{Prefix: "user:", TTL: time.Hour,
			NegativeTTL: time.Hour,
			Fill: func(_ context.Context, key string) (bcache.Loaded, error) {
				switch {
				case strings.HasPrefix(key, "none"):
					return bcache.Loaded{}, bcache.ErrNotFound
				case key == "down":
					return bcache.Loaded{}, down
				}
				return bcache.Loaded{Value: key}, nil
			}})
		testkit.Ok(t, err)
		for k := range 10 {
			testkit.Ok(t, b.Set(fmt.Sprint("set", i, k), "v", 3600))
			_, _ = b.Get(fmt.Sprint("set", i, k)) // a hit
		}
		_, _ = b.Get("absent")
		for range 2 { // a miss, and what is remembered
			_, _ = l.Get(t.Context(), fmt.Sprint(i))
			if _, err := l.Get(t.Context(), fmt.Sprint("none", i)); !errors.Is(err, bcache.ErrNotFound) {
				t.Fatal(err)
			}
		}
		if _, err := l.Get(t.Context(), "down"); !errors.Is(err, down) {
			t.Fatal(err)
		}
		filler := func(key string) (string, error) { return key, nil }
		_, err = b.GetWithFiller(fmt.Sprint("filler", i), filler, 60)
		testkit.Ok(t, err)
	}
	return urls
}

// check looks at what the endpoints say when all nodes have everything.
func check(t *testing.T, urls []string) []scrape {
	t.Helper()
	var all []scrape
	for _, url := range urls {
		s := get(t, url)
		all = append(all, s)
		s.is(t, 11, "bcache_requests_total", "result", "hit") // 10 of the cache, 1 of the Loader
		s.is(t, 10, "bcache_writes_total", "operation", "set")
		s.is(t, 2, "bcache_peers")
		s.is(t, 2, "bcache_members")
		s.is(t, 1, "bcache_ready")
		s.is(t, 1, "bcache_synced")
		s.is(t, 0, "bcache_refused_records_total")
		s.is(t, 1, "bcache_info")
		s.is(t, 2, "bcache_peer_synced")
		for _, name := range []string{"bcache_peer_silence_seconds", "bcache_peer_clock_offset_seconds"} {
			if got := len(s.series(name)); got != 2 {
				t.Errorf("%s has %d series", name, got)
			}
		}
		if n, _ := s.sum("bcache_propagation_seconds"); n == 0 {
			t.Error("no write has been timed")
		}
		for _, p := range s.series("bcache_peer_propagation_seconds") {
			q := p.GetSummary().GetQuantile()
			if p.GetSummary().GetSampleCount() == 0 || len(q) != 2 || !(q[0].GetValue() <= q[1].GetValue()) {
				t.Errorf("of a peer writes were timed so: %v", p.GetSummary())
			}
		}
	}
	sum := func(want float64, name string, labels ...string) {
		t.Helper()
		got := 0.0
		for _, s := range all {
			n, _ := s.sum(name, labels...)
			got += n
		}
		if got != want {
			t.Errorf("%s%v of all nodes is %v, want %v", name, labels, got, want)
		}
	}
	sum(3, "bcache_fills_total", "loader", "user:", "result", "found")
	sum(3, "bcache_fills_total", "loader", "user:", "result", "failed")
	sum(3, "bcache_fills_total", "loader", "(fillers)", "result", "found")
	sum(9, "bcache_fills_started_total", "loader", "user:")
	sum(9, "bcache_fill_duration_seconds", "loader", "user:")
	sum(3, "bcache_fill_duration_seconds", "loader", "(fillers)")
	sum(3, "bcache_fills_total", "loader", "user:", "result", "not_found")
	sum(3, "bcache_requests_total", "result", "negative")
	sum(3*1000, "bcache_max_entries")
	return all
}

// Three nodes on a network in memory, which has no frames and bytes.
func TestClusterInMemory(t *testing.T) {
	c := bcachetest.New(t, 3, bcache.Config{MaxKeys: 1000})
	var nodes []*bcache.Bcache
	for i := range c.Len() {
		nodes = append(nodes, c.Node(i))
	}
	urls := use(t, nodes)
	c.WaitAll()
	check(t, urls)
}

// Three nodes that are connected over TCP, on loopback.
func TestClusterOverTCP(t *testing.T) {
	nodes := live.Cluster(t, 3)
	urls := use(t, nodes)
	testkit.Within(t, 20*time.Second, func() error {
		for _, b := range nodes {
			if err := b.Ready(); err != nil {
				return err
			}
			if s := b.Stats(); s.RecordsIn < 20 {
				return fmt.Errorf("%d writes have come", s.RecordsIn)
			}
		}
		return nil
	})
	for _, s := range check(t, urls) {
		for _, of := range []string{"frames", "bytes", "records"} {
			name := "bcache_wire_" + of + "_total"
			for _, direction := range []string{"in", "out"} {
				if n, _ := s.sum(name, "direction", direction); n == 0 {
					t.Errorf("%s has none of %s", name, direction)
				}
			}
		}
	}
}
